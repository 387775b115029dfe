// Package claudecode is what makes a container Claude Code: its image, its command line, its environment, and the
// files that it finds at its first start, so that it begins at its prompt.
//
// It knows Claude Code and nothing of a manifest, an engine or a launch: it gives data, and reads nothing but the
// directories of skills. It must not hold or place a credential: those are cred-proxy's.
//
// What is said here about Claude Code was seen by experiment on the version that Version names.
package claudecode

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"regexp"
	"time"

	"bottle-tui/bottles"
	"bottle-tui/sidecars"
	"bottle-tui/sidecars/supervise"
)

// Version is the version of Claude Code that the default image has.
const Version = "2.1.328"

// DefaultBase is what the default image is built on where the operator names nothing else.
const DefaultBase = "node:22-bookworm-slim"

// The agent's user, and its home, both kept between launches. ConfigDir is a volume of its own: "home".
const (
	UID       = 1000
	GID       = 1000
	HomeDir   = "/home/agent"
	ConfigDir = HomeDir + "/.claude"
)

// Where the files are that Claude Code is told of by its flags. They are root's, and outside of the volume: the agent
// can't change them, and each launch has those of its own.
const (
	etc          = "/etc/claude-bottle"
	SettingsFile = etc + "/settings.json"
	MCPFile      = etc + "/mcp.json"
	PromptFile   = etc + "/prompt.md"
	NoteFile     = etc + "/resumed.md"       // there only where the agent is resumed and was not in the middle of something
	StateFile    = HomeDir + "/.claude.json" // Claude Code's own notes; it writes into them
	SkillsDir    = ConfigDir + "/skills"
)

// grace is from SIGTERM, at which Claude Code ends within 0.35 s, to SIGKILL.
const grace = 5 * time.Second

// callTimeout is how long a call of supervise may wait for a person.
const callTimeout = 24 * time.Hour

// Options say what an agent is.
type Options struct {
	// Prompt is added to Claude Code's own system prompt. A conversation that is resumed goes on with the prompt that it
	// began with, until Claude Code compacts it; Args of "--system-prompt-snapshot", "off" let a changed one hold at
	// once, where the version knows that flag.
	Prompt string
	// Skills are directories on this machine, each with a SKILL.md; a skill is called as its directory is.
	Skills []string
	// Command replaces Claude Code: it is started with Args only, and goes on with ResumeArgs, or nil: with Args; see
	// bottles.Program.Own. nil is Claude Code.
	Command    []string
	ResumeArgs []string
	// Sessions says that Command takes Claude Code's flags for a session, and keeps its transcripts as Claude Code does.
	Sessions bool
	// Args are added to the command, before the session's flags. RefusedArgs says which clash with it.
	Args []string
	// Model is what Claude Code begins with, as its --model takes it; "": its own choice.
	Model string
	// Settings are Claude Code's, merged with those that a bottle needs: RefusedSettings says which can't be.
	Settings map[string]any
	// MCPServers are servers besides supervise, by name; each was accepted by CheckServer.
	MCPServers map[string]map[string]any
	// Supervise says that the bottle has supervise, whose tools the agent may call.
	Supervise bool
}

//go:embed Dockerfile
var dockerfile []byte

// Dockerfile is what an agent's image is built from. base replaces DefaultBase, e.g. "node@sha256:…"; "" keeps it. It
// should be accepted by CheckBase; npm has to be in it, and Debian's apt-get.
func Dockerfile(base string) []byte {
	if base == "" {
		base = DefaultBase
	}
	return bytes.Replace(dockerfile, []byte("FROM "+DefaultBase+"\n"), []byte("FROM "+base+"\n"), 1)
}

// imageRef is what may follow FROM: a reference to an image, by tag or digest or both.
var imageRef = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._/-]*(:[0-9]+/[a-zA-Z0-9._/-]+)?(:[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(@sha256:[0-9a-f]{64})?$`)

// CheckBase says what is wrong with the reference of a base image.
func CheckBase(base string) error {
	if len(base) > 512 || !imageRef.MatchString(base) {
		return fmt.Errorf("%q is not the reference of an image: write name:tag, or name@sha256: and 64 hexadecimal digits", base)
	}
	return nil
}

// Program is the agent's program. The session's flags come behind it: see bottles.Program.
func Program(o Options) bottles.Program {
	p := bottles.Program{UID: UID, GID: GID, Home: ConfigDir, Grace: grace}
	if o.Command != nil {
		p.Command, p.Own = append(append([]string{}, o.Command...), o.Args...), !o.Sessions
		if o.ResumeArgs != nil {
			p.Again = append(append([]string{}, o.Command...), o.ResumeArgs...)
		}
		return p
	}
	p.NoteFile = NoteFile
	// The bottle is the boundary, not a question at each step.
	p.Command = []string{"claude", "--dangerously-skip-permissions", "--settings", SettingsFile}
	if o.Model != "" {
		p.Command = append(p.Command, "--model", o.Model)
	}
	if o.Prompt != "" {
		p.Command = append(p.Command, "--append-system-prompt-file", PromptFile)
	}
	if o.Supervise || len(o.MCPServers) > 0 {
		// It takes all that follows up to the next flag, of which there always is one. It wins over a server of the
		// same name in the project's .mcp.json, so that a project can't stand in for the operator.
		p.Command = append(p.Command, "--mcp-config", MCPFile)
	}
	p.Command = append(p.Command, o.Args...)
	return p
}

// Env is the environment, NAME=value. That of a route with the role anthropic-base-url comes with the routes: without
// one Claude Code begins, too, and answers each message that it is not logged in.
func Env() []string {
	return []string{
		"HOME=" + HomeDir,
		"LANG=C.UTF-8",
		"DISABLE_AUTOUPDATER=1",
		"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1",
		"CLAUDE_CODE_DISABLE_OFFICIAL_MARKETPLACE_AUTOINSTALL=1",
		// Whole frames: the screen that shows them holds its drawing in between.
		"CLAUDE_CODE_FORCE_SYNC_OUTPUT=1",
		// A call that waits for the operator stays a call. Else it is put into the background after two minutes, and
		// its answer comes with the remark that it must not be taken for an approval.
		"CLAUDE_CODE_MCP_AUTO_BACKGROUND_MS=0",
	}
}

// Files are put into the container before each start. In the agent's home are the skills, and StateFile, of which only
// what is said here is set: the servers and projects that were added to it stay. The agent's own settings,
// ~/.claude/settings.json, stay as it left them, and are overruled by SettingsFile where both say something.
//
// The error names the skill that can't be taken, and why.
func Files(o Options) ([]bottles.File, error) {
	var files []bottles.File
	if o.Command == nil || o.Sessions {
		files = []bottles.File{
			{Path: SettingsFile, Content: mergedSettings(o.Settings), Mode: 0o644},
			{Path: StateFile, Content: encode(stateFile{
				HasCompletedOnboarding: true,
				Projects:               map[string]project{bottles.Workspace: {true, true, true}},
			}), Mode: 0o600, UID: UID, GID: GID, Merge: true},
		}
	}
	if o.Prompt != "" {
		files = append(files, bottles.File{Path: PromptFile, Content: []byte(o.Prompt), Mode: 0o644})
	}
	if servers := o.servers(); len(servers) > 0 {
		files = append(files, bottles.File{Path: MCPFile, Content: encode(mcpFile{servers}), Mode: 0o644})
	}
	skills, err := skillFiles(o.Skills)
	if err != nil {
		return nil, err
	}
	return append(files, skills...), nil
}

// servers are the MCP servers of the file for --mcp-config.
func (o Options) servers() map[string]any {
	all := map[string]any{}
	for name, server := range o.MCPServers {
		all[name] = server
	}
	if o.Supervise {
		all[string(bottles.RoleSupervise)] = mcpServer{
			Type:       "http",
			URL:        fmt.Sprintf("http://%s:%d%s", bottles.RoleSupervise, sidecars.PortSupervise, supervise.Path),
			Timeout:    callTimeout.Milliseconds(),
			AlwaysLoad: true,
		}
	}
	return all
}

// settings is the file for --settings.
type settings struct {
	// The question whether to go on without permissions is not asked.
	SkipDangerousModePermissionPrompt bool `json:"skipDangerousModePermissionPrompt"`
	// Nor is each server of the project's .mcp.json asked for: in a bottle it can do no more than the agent itself.
	EnableAllProjectMCPServers bool `json:"enableAllProjectMcpServers"`
	// At its start Claude Code removes transcripts that are older; a bottle may come back after that.
	CleanupPeriodDays int `json:"cleanupPeriodDays"`
	// An agent that waits for its operator takes 2.9 % of a core with it, and 5.8 % without; many wait at once.
	PrefersReducedMotion bool `json:"prefersReducedMotion"`
	// By event: hooks, or what was declared.
	Hooks map[string][]any `json:"hooks"`
}

type hooks struct {
	Hooks []hook `json:"hooks"`
}

// hook is a command for sh. It gets a JSON object on its standard input.
type hook struct {
	Type    string `json:"type"`
	Command string `json:"command"`
	Timeout int    `json:"timeout"` // seconds
}

// noteSession writes down which session Claude Code is in. It runs whenever one begins or is chosen: at the start, and
// at /clear, /resume, /branch and /compact. What it prints the model would read.
const noteSession = `f=` + ConfigDir + "/" + bottles.SessionFileName + `; { cat >"$f.new" && mv -f "$f.new" "$f"; } >/dev/null 2>&1; cat ` + NoteFile + ` 2>/dev/null; exit 0`

// stateFile is ~/.claude.json: that the questions of a first start were answered.
type stateFile struct {
	HasCompletedOnboarding bool               `json:"hasCompletedOnboarding"`
	Projects               map[string]project `json:"projects"`
}

type project struct {
	HasTrustDialogAccepted                 bool `json:"hasTrustDialogAccepted"`
	HasClaudeMdExternalIncludesApproved    bool `json:"hasClaudeMdExternalIncludesApproved"`
	HasClaudeMdExternalIncludesWarningShow bool `json:"hasClaudeMdExternalIncludesWarningShown"`
}

// mcpFile is the file for --mcp-config.
type mcpFile struct {
	MCPServers map[string]any `json:"mcpServers"`
}

type mcpServer struct {
	Type string `json:"type"`
	URL  string `json:"url"`
	// Timeout is in milliseconds. It lifts the limits of 60 s until the headers of an answer and of 300 s of silence.
	Timeout int64 `json:"timeout"`
	// AlwaysLoad shows the model the tools themselves. Else it sees their names, and has to ask for what they take.
	AlwaysLoad bool `json:"alwaysLoad"`
}

func encode(v any) []byte {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		panic(err) // only the types above come here, and what was read as JSON
	}
	return append(b, '\n')
}
