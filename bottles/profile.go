package bottles

import (
	"context"
	"errors"
	"time"

	"bottle-tui/state"
)

// ErrNoProfile: the catalog has no profile for an agent, or for a state that another program left.
var ErrNoProfile = errors.New("no profile")

// Profile is everything that the operator declared for a bottle: its agent program and the
// boundary around it. It is data; a launch adds the identity, the session and the task.
type Profile struct {
	Agent    string // the agent's name
	Name     string // the profile's name
	Manifest string // where both are declared: a path, or "builtin:…"

	Dockerfile   []byte // what the agent's image is built from while the bottle has no Dockerfile of its own
	BuildNetwork string // "none", "default" or "host"
	Program      Program
	Env          []string // NAME=value; no secrets
	Supervise    bool     // the agent may ask the operator
	Egress       []string // the allowlist, in the notation of sidecars/egress
	Memory       int64    // bytes; 0: DefaultMemory
	Pids         int64    // 0: DefaultPids

	// Prepare makes what the Dockerfile is based on, where that is not to be pulled: nil for most.
	Prepare func(ctx context.Context, engine Engine) error
}

// Program is the agent's program as a container runs it. Its flags are Claude Code's: --session-id
// at the first start, --resume afterwards, and a prompt behind "--".
type Program struct {
	Command  []string // nil: the image's entrypoint
	UID, GID int
	Home     string        // the directory that the volume "home" keeps, e.g. /home/agent/.claude
	Grace    time.Duration // from SIGTERM to SIGKILL
}

// Limits of an agent container where its profile says nothing.
const (
	DefaultMemory = 4 << 30
	DefaultPids   = 1024
)

// Workspace is where the agent finds its project.
const Workspace = "/workspace"

// Catalog knows what can be launched. The manifest is one; the demo is another.
type Catalog interface {
	// Agents are the names that can be launched, in the order to show them.
	Agents() []string
	// Profile finds what an agent was declared as. meta is the state of an earlier launch, or has
	// only AgentName for a new one. It wraps ErrNoProfile and says what to do when there is none.
	Profile(meta state.Metadata) (Profile, error)
}

// startArgs are the arguments of an agent's first start.
func (p Program) startArgs(session, task string) []string {
	args := append([]string{}, p.Command...)
	args = append(args, "--session-id", session)
	if task != "" {
		args = append(args, "--", task)
	}
	return args
}

// resumeArgs are the arguments with which an agent goes on with an earlier session.
func (p Program) resumeArgs(session, message string) []string {
	args := append([]string{}, p.Command...)
	return append(args, "--resume", session, "--", message)
}

// projects is the directory of the transcripts; its base name is "projects".
func (p Program) projects() string { return p.Home + "/projects" }

// transcript is the file that the agent's session is recorded in: the directory is named after the
// working directory with every non-alphanumeric as "-".
func (p Program) transcript(session string) string {
	return p.projects() + "/-workspace/" + session + ".jsonl"
}
