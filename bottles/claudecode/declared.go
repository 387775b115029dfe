package claudecode

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"bottle-tui/bottles"
)

// Why an argument is refused: what is to be written in its place.
const (
	whySession    = "the session is chosen at each start: a new one at first, later the one that the agent was in; take it out"
	whyPermission = "the bottle is the boundary, so Claude Code is run without questions of its own; take it out, and narrow the profile instead"
	whyHooks      = "Claude Code would leave out what bottle-tui gives it (its settings, the hook that follows the session, supervise); take it out"
	whyElsewhere  = "the session would be elsewhere than in the agent's terminal; take it out"
)

// refusedFlags are what bottle-tui passes itself, and what takes that away again, with what to write instead.
var refusedFlags = map[string]string{
	"--settings":                           `bottle-tui passes it with settings of its own, and only one of them holds; write what it should say under the agent's "settings"`,
	"--managed-settings":                   `it would overrule the settings that bottle-tui passes; write what it should say under the agent's "settings"`,
	"--mcp-config":                         `bottle-tui passes it; write the servers under the agent's "mcp_servers"`,
	"--session-id":                         whySession,
	"--resume":                             whySession,
	"--continue":                           whySession,
	"--fork-session":                       whySession,
	"--from-pr":                            whySession,
	"--resume-session-at":                  whySession,
	"--no-session-persistence":             whySession,
	"--teleport":                           whyElsewhere,
	"--dangerously-skip-permissions":       "bottle-tui passes it; take it out",
	"--allow-dangerously-skip-permissions": whyPermission,
	"--permission-mode":                    whyPermission,
	"--permission-prompt-tool":             whyPermission,
	"--bare":                               whyHooks,
	"--safe-mode":                          whyHooks,
	"--background":                         whyElsewhere,
	"--bg":                                 whyElsewhere,
	"--cloud":                              whyElsewhere,
	"--desktop":                            whyElsewhere,
	"--":                                   "bottle-tui writes it in front of the first message, and the arguments of the session would stand behind it; take it out, and give the message with --task",
}

// shortFlags are the short forms of refused flags; those of the others that take no value may stand before them in one
// argument.
var (
	shortFlags  = map[byte]string{'r': "--resume", 'c': "--continue"}
	shortSimple = "pvh"
)

// RefusedArgs says which of the arguments that an operator declared clash with those that Program passes, by their
// index, with what to write instead. model and prompt say that these are declared, too.
func RefusedArgs(args []string, model, prompt bool) map[int]string {
	refused := map[int]string{}
	for i, arg := range args {
		flag, _, _ := strings.Cut(arg, "=")
		why := refusedFlags[flag]
		switch {
		case why != "":
		case flag == "--model" && model:
			why = `bottle-tui passes it with the agent's "model"; keep one of them`
		case strings.HasPrefix(flag, "--append-system-prompt") && prompt:
			why = `bottle-tui passes the agent's "prompt" with it; keep one of them`
		case len(arg) > 1 && arg[0] == '-' && arg[1] != '-':
			for j := 1; j < len(arg) && why == ""; j++ {
				if long := shortFlags[arg[j]]; long != "" {
					flag, why = fmt.Sprintf("-%c (%s)", arg[j], long), refusedFlags[long]
				} else if !strings.ContainsRune(shortSimple, rune(arg[j])) {
					break
				}
			}
		case i == 0 && !strings.HasPrefix(arg, "-"):
			flag, why = fmt.Sprintf("%q", shortened(arg)), "the first argument is a flag of Claude Code, since what precedes it may take more than one value; give the first message with --task"
		}
		if why != "" {
			refused[i] = flag + ": " + why
		}
	}
	return refused
}

// shortened is at most the beginning of a text, for an error.
func shortened(s string) string {
	if r := []rune(s); len(r) > 40 {
		return string(r[:40]) + "…"
	}
	return s
}

// refusedSettings are the keys of Claude Code's settings that bottle-tui sets, or that would take away what it gives.
var refusedSettings = map[string]string{
	"skipDangerousModePermissionPrompt": "bottle-tui sets it; take it out",
	"enableAllProjectMcpServers":        "bottle-tui sets it; take it out",
	"cleanupPeriodDays":                 "bottle-tui sets it, so that a bottle can come back after a long time; take it out",
	"prefersReducedMotion":              "bottle-tui sets it, since many agents wait at once; take it out",
	"disableAllHooks":                   "the hook that follows the session would be off, too; take it out",
	"allowManagedHooksOnly":             "the hook that follows the session would be off, too; take it out",
	"disableBypassPermissionsMode":      whyPermission,
	"model":                             `write it as the agent's "model"`,
	"mcpServers":                        `write them as the agent's "mcp_servers"`,
	"env":                               `write it as the "env" of the profile`,
	"apiKeyHelper":                      `the agent holds no credential; give it a route with the role anthropic-base-url (cred_proxy.routes of the profile)`,
}

// RefusedSettings says which settings that an operator declared can't be merged with those of Files, by their path, with
// what to write instead.
func RefusedSettings(declared map[string]any) map[string]string {
	refused := map[string]string{}
	for key := range declared {
		if why := refusedSettings[key]; why != "" {
			refused[key] = why
		}
	}
	if permissions, ok := declared["permissions"].(map[string]any); ok {
		for _, key := range []string{"defaultMode", "disableBypassPermissionsMode"} {
			if _, has := permissions[key]; has {
				refused["permissions."+key] = whyPermission
			}
		}
	}
	switch hooks := declared["hooks"].(type) {
	case nil:
		if _, has := declared["hooks"]; has {
			refused["hooks"] = "want an object, by the name of the event"
		}
	case map[string]any:
		if start, has := hooks[sessionStart]; has {
			if _, list := start.([]any); !list {
				refused["hooks."+sessionStart] = "want a list; bottle-tui's own hook comes before it"
			}
		}
	default:
		refused["hooks"] = "want an object, by the name of the event"
	}
	return refused
}

const sessionStart = "SessionStart"

// mergedSettings are the settings of a launch: those declared, over them our own, with both their hooks of a session's start.
func mergedSettings(declared map[string]any) []byte {
	ours := settings{
		SkipDangerousModePermissionPrompt: true, EnableAllProjectMCPServers: true, CleanupPeriodDays: 3650, PrefersReducedMotion: true,
		Hooks: map[string][]any{sessionStart: {hooks{Hooks: []hook{{Type: "command", Command: noteSession, Timeout: 10}}}}},
	}
	if len(declared) == 0 {
		return encode(ours)
	}
	all, merged := maps.Clone(declared), map[string]any{}
	if theirs, ok := declared["hooks"].(map[string]any); ok {
		maps.Copy(merged, theirs)
	}
	own, _ := merged[sessionStart].([]any)
	merged[sessionStart] = append(ours.Hooks[sessionStart], own...)
	var set map[string]any
	if err := json.Unmarshal(encode(ours), &set); err != nil {
		panic(err) // it was just encoded
	}
	maps.Copy(all, set)
	all["hooks"] = merged
	return encode(all)
}

// CheckServerName says what is wrong with the name of an MCP server that an operator declared.
func CheckServerName(name string) error {
	switch {
	case strings.EqualFold(name, string(bottles.RoleSupervise)):
		return fmt.Errorf("%s is bottle-tui's own server, by which the agent asks you; write another name", name)
	case name == "" || len(name) > 64 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != "":
		return fmt.Errorf("%q is no name of an MCP server: write up to 64 letters, digits, dashes and underscores", shortened(name))
	}
	return nil
}

// remoteTypes are the types of servers that are reached by an address.
var remoteTypes = []string{"http", "sse", "ws"}

// CheckServer says what is wrong with an MCP server that an operator declared, so far that Claude Code would not take its
// whole file.
func CheckServer(server map[string]any) error {
	kind, typed := server["type"].(string)
	url, hasURL := server["url"].(string)
	command, hasCommand := server["command"].(string)
	_, anyType := server["type"]
	switch {
	case anyType && !typed:
		return errors.New(`"type" is a text: "stdio", "http" or "sse"`)
	case slices.Contains(remoteTypes, kind) && (!hasURL || url == ""):
		return fmt.Errorf(`a server of the type %q needs a "url"`, kind)
	case slices.Contains(remoteTypes, kind):
		return nil
	case typed && kind != "stdio":
		return fmt.Errorf(`the type %q is not known; write "stdio", "http" or "sse"`, shortened(kind))
	case hasURL:
		return errors.New(`a server with a "url" needs its "type": "http" or "sse"`)
	case !hasCommand || strings.TrimSpace(command) == "":
		return errors.New(`a server is a "command" with "args", or a "type" ("http" or "sse") with a "url"`)
	}
	return nil
}
