package bottles

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"bottle-tui/queue"
	"bottle-tui/state"
)

// ErrNoProfile: the catalog has no profile for an agent, or for a state that another program left.
var ErrNoProfile = errors.New("no profile")

// Profile is everything that the operator declared for a bottle: its agent program and the
// boundary around it. It is data; a launch adds the identity, the session and the task.
type Profile struct {
	Agent    string // the agent's name
	Name     string // the profile's name
	Manifest string // where the agent is declared: a path, or "builtin:…"
	Home     string // where the profile is; "": at the same place

	// What the agent is told, as it was declared, for the operator to see: Program and Files have it already.
	Prompt  string
	Skills  []string // names
	Command []string // the program that runs in the place of Claude Code; empty: none
	Args    []string
	Model   string `json:",omitempty"`
	// Settings and MCPServers are Claude Code's, by name, without what every bottle's has.
	Settings   map[string]json.RawMessage `json:",omitempty"`
	MCPServers map[string]json.RawMessage `json:",omitempty"`

	Dockerfile   []byte // what the agent's image is built from while the bottle has no Dockerfile of its own
	BuildNetwork string // "none", "default" or "host"
	Program      Program
	Env          []string // NAME=value; no secrets
	Files        []File   // put into every agent container of the bottle
	Supervise    bool     // the agent may ask the operator
	Egress       []string // the allowlist, in the notation of sidecars/egress
	EgressEngine string   // "builtin" or "pipelock"; "" is builtin
	EgressImage  string   // reference of pipelock's image, with that engine
	Routes       []Route  // through cred-proxy
	CA           []byte   // PEM of roots that cred-proxy trusts besides the usual ones
	Git          []Remote // through git-gate
	GitUser      GitUser  // who commits; what is empty is git's on the host
	SkipIgnored  bool     // a directory is copied without what git ignores
	Memory       int64    // bytes; 0: DefaultMemory
	Pids         int64    // 0: DefaultPids

	// Prepare makes what the Dockerfile is based on, where that is not to be pulled: nil for most.
	Prepare func(ctx context.Context, engine Engine) error `json:"-"`
}

// HomeManifest is where the profile is declared.
func (p Profile) HomeManifest() string { return orDefault(p.Home, p.Manifest) }

// RunsClaude says whether the agent is Claude Code, and not a program in its place or the image's own.
func (p Profile) RunsClaude() bool { return len(p.Command) == 0 && len(p.Program.Command) > 0 }

// shown is a hash of all that was declared, by which a plan that was shown is told from another.
func (p Profile) shown() string {
	text, err := json.Marshal(p)
	if err != nil {
		return "" // it has no type that JSON does not
	}
	return queue.Hash(text)
}

// Program is the agent's program as a container runs it. Its flags are Claude Code's: --session-id
// at the first start, --resume afterwards, and a prompt behind "--".
type Program struct {
	Command  []string // nil: the image's entrypoint
	UID, GID int
	Home     string        // what Claude Code keeps, in the agent's home directory, e.g. /home/agent/.claude
	Dir      string        `json:",omitempty"` // where it is started; "": Workspace
	Grace    time.Duration // from SIGTERM to SIGKILL
	// NoteFile is a file that the program tells its agent of when it starts, without a turn of the conversation; "": it
	// has no such way, and is told everything by a message.
	NoteFile string
	// Own says that the program is none that takes Claude Code's flags for a session: it is started with Command alone,
	// and goes on with Again, or with Command where that is nil. In an argument of them {session} stands for an
	// identifier that the bottle keeps, {task} for the task of the first start, and {message} for what the agent is told
	// when it goes on; an argument with a task or a message that there is not is left out.
	Own   bool     `json:",omitempty"`
	Again []string `json:",omitempty"`
}

// The places in the arguments of a program of the manifest's own.
const (
	PlaceSession = "{session}"
	PlaceTask    = "{task}"
	PlaceMessage = "{message}"
)

// TakesTask says whether the program can be given a task.
func (p Program) TakesTask() bool {
	return !p.Own || slices.ContainsFunc(p.Command, func(arg string) bool { return strings.Contains(arg, PlaceTask) })
}

// ownArgs fills in the places of arguments.
func ownArgs(args []string, session, task, message string) []string {
	out := []string{}
	for _, arg := range args {
		if task == "" && strings.Contains(arg, PlaceTask) || message == "" && strings.Contains(arg, PlaceMessage) {
			continue
		}
		out = append(out, strings.NewReplacer(PlaceSession, session, PlaceTask, task, PlaceMessage, message).Replace(arg))
	}
	return out
}

// File is one file of an agent container, made through the engine before the container starts.
type File struct {
	Path     string // absolute
	Content  []byte
	Mode     fs.FileMode // permission bits
	UID, GID int
	Merge    bool // a JSON object: laid over the one that the file holds, of which the rest stays
	// Hash is of Content where that was kept apart and is not here: see filesOf.
	Hash string `json:",omitempty"`
}

func (f File) hash() string {
	if f.Content == nil && f.Hash != "" {
		return f.Hash
	}
	return queue.Hash(f.Content)
}

// Route is one way through cred-proxy: what the agent sends to Path goes to Upstream with a credential that the
// agent never holds.
type Route struct {
	Path       string   `json:"path"`        // "/npm/": begins and ends with a slash
	Upstream   string   `json:"upstream"`    // "https://host[:port][/base]"
	AuthScheme string   `json:"auth_scheme"` // one of sidecars/credproxy
	TokenRef   string   `json:"token_ref"`   // where the credential comes from; towards the agent, its TokenName
	Roles      []string `json:"role"`
}

// The roles of a route: what the agent's programs are told of it. The first two are on one route at most.
const (
	RoleBaseURL    = "anthropic-base-url" // ANTHROPIC_BASE_URL
	RoleNPM        = "npm-registry"       // ~/.npmrc
	RoleInsteadOf  = "git-insteadof"      // ~/.gitconfig
	RoleTea        = "tea-login"          // ~/.config/tea/config.yml
	Placeholder    = "claude-bottle-placeholder"
	refFile        = "file:"
	refCommand     = "cmd:"
	tokenNameBytes = 6
)

// TokenName is the public name of a token_ref: the name of an environment variable as it is, and for a file or a
// command, which say something of the operator's machine, a hash of the whole reference.
func TokenName(ref string) string {
	for _, kind := range []string{refFile, refCommand} {
		if strings.HasPrefix(ref, kind) {
			sum := sha256.Sum256([]byte(ref))
			return kind + hex.EncodeToString(sum[:tokenNameBytes])
		}
	}
	return ref
}

// Remote is a git remote that git-gate brokers.
type Remote struct {
	Name         string   `json:"name"`
	Upstream     string   `json:"upstream"`
	IdentityFile string   `json:"identity_file,omitempty"` // in a Preflight, its TokenName
	KnownHost    string   `json:"known_host,omitempty"`
	TokenRef     string   `json:"token_ref,omitempty"` // in a Preflight, its TokenName
	AllowRefs    []string `json:"allow_refs"`          // empty: none
	AllowForce   bool     `json:"allow_force,omitempty"`
	// AllowPushOptions are patterns of the options that a push may give the upstream; empty: none.
	AllowPushOptions []string `json:"allow_push_options,omitempty"`
	Approve          bool     `json:"approve,omitempty"`    // each push waits for the operator
	MaxPush          int64    `json:"max_push,omitempty"`   // bytes of one push; 0: git-gate's default
	MaxObject        int64    `json:"max_object,omitempty"` // bytes of one file of it; 0: git-gate's default
}

// An agent's container, and the network of the build of its image, where its profile says nothing.
const (
	DefaultMemory  = 4 << 30
	DefaultPids    = 1024
	DefaultNetwork = "default"
)

// Workspace is where the agent finds its project.
const Workspace = "/workspace"

// Catalog knows what can be launched. The manifest is one; the demo is another.
type Catalog interface {
	// Agents are the names that can be launched, in the order to show them.
	Agents() []string
	// Profile finds what an agent was declared as. meta is the state of an earlier launch, or has
	// only AgentName and the directory for a new one, and no start. It wraps ErrNoProfile and says what to do when there is none.
	Profile(meta state.Metadata) (Profile, error)
}

// Troubled is a Catalog that may have something to say to the operator, such as a manifest that can't be read.
type Troubled interface {
	Problems() []Problem
}

// Locator is a Catalog that knows where the operator named a credential.
type Locator interface {
	// Where is the place of a token_ref, for people, such as "bottles.dev.git[0].token_ref in /home/op/claude-bottle.json"; ""
	// when it is not known. It has nothing of the reference itself.
	Where(ref string) string
}

// Editor is a Catalog whose profiles the operator may change for good.
type Editor interface {
	// Edit works out what a change makes of the manifest that the bottle of meta came from. It writes nothing.
	Edit(meta state.Metadata, c Change) (Edit, error)
}

// Change is what a grant adds to a profile and takes from it.
type Change struct {
	Allow    []string `json:"allow,omitempty"`    // rules added
	Disallow []string `json:"disallow,omitempty"` // rules taken away
	Routes   []Route  `json:"routes,omitempty"`   // added, or in the place of the one with the same path
	Unroute  []string `json:"unroute,omitempty"`  // paths taken away
}

// Edit is a file as it is and as it would be.
type Edit struct {
	Path          string
	Before, After []byte
}

// startArgs are the arguments of an agent's first start.
func (p Program) startArgs(session, task string) []string {
	if p.Own {
		return ownArgs(p.Command, session, task, "")
	}
	args := append([]string{}, p.Command...)
	args = append(args, "--session-id", session)
	if task != "" {
		args = append(args, "--", task)
	}
	return args
}

// resumeArgs are the arguments with which an agent goes on with an earlier session.
func (p Program) resumeArgs(session, message string) []string {
	switch {
	case p.Own && p.Again != nil:
		return ownArgs(p.Again, session, "", message)
	case p.Own:
		return ownArgs(p.Command, session, "", message)
	}
	args := append(append([]string{}, p.Command...), "--resume", session)
	if message == "" {
		return args // it waits for its operator
	}
	return append(args, "--", message)
}

// projects is the directory of the transcripts; its base name is "projects".
func (p Program) projects() string { return p.Home + "/projects" }

// transcript is the file that the agent's session is recorded in: the directory is named after the
// working directory with every non-alphanumeric as "-".
func (p Program) transcript(session string) string {
	name := strings.Map(func(r rune) rune {
		if r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r)) {
			return r
		}
		return '-'
	}, p.dir())
	return p.projects() + "/" + name + "/" + session + ".jsonl"
}

// dir is the directory that the agent is started in.
func (p Program) dir() string { return orDefault(p.Dir, Workspace) }

// in is the program for a directory that is a part of the repository that was copied with it; "": the whole workspace.
func (p Program) in(part string) Program {
	if p.Dir = ""; part != "" {
		p.Dir = path.Join(Workspace, part)
	}
	return p
}
