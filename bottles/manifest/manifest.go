// Package manifest reads claude-bottle.json, in which the operator declares profiles (the top-level
// "bottles") and agents: strictly, with every fault at once, each at its line and column and with what to
// write instead. It explains the format (a JSON Schema made from the same types), changes a profile without
// disturbing the rest of the file, finds the values that a token_ref names, and is the catalog from which
// bottles are launched.
//
// It must not start anything, speak to an engine, or write a file. A token's value passes through Resolve alone,
// and is in no error.
//
// The format is JSON as RFC 8259 has it, plus comments and trailing commas.
package manifest

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// Name is the name of a manifest file, in the operator's home directory or in a project.
const Name = "claude-bottle.json"

// ErrNone: there is no manifest in the operator's home.
var ErrNone = errors.New("no manifest")

// Manifest is what can be launched: profiles and agents in order of declaration. Paths in it are absolute.
type Manifest struct {
	Home     string // the operator's own manifest
	Project  string // the project's, which adds agents; "" for none
	Profiles []Profile
	Agents   []Agent // the operator's own, then the project's

	places map[string]map[string]Position // of the values, by file and path
}

// Agent finds an agent by its name.
func (m *Manifest) Agent(name string) (Agent, bool) {
	i := slices.IndexFunc(m.Agents, func(a Agent) bool { return a.Name == name })
	if i < 0 {
		return Agent{}, false
	}
	return m.Agents[i], true
}

// Near is the agent that was most likely meant by a name that none has, or "".
func (m *Manifest) Near(name string) string { return nearest(name, m.names()) }

// Profile finds a profile by its name.
func (m *Manifest) Profile(name string) (Profile, bool) {
	i := slices.IndexFunc(m.Profiles, func(p Profile) bool { return p.Name == name })
	if i < 0 {
		return Profile{}, false
	}
	return m.Profiles[i], true
}

// Position is a place in a file.
type Position struct {
	File         string
	Line, Column int // from 1; a column is one character
}

func (p Position) String() string { return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column) }

// File is a manifest file as it is written. The tags are read by encoding/json, by Schema (jsonschema), and by
// the reader (kind: what a text must look like, see kinds).
type File struct {
	Schema  string           `json:"$schema,omitempty" jsonschema:"The address of the JSON Schema of this file, for editors. It is not read."`
	Bottles Entries[Profile] `json:"bottles,omitempty" names:"name" jsonschema:"The profiles, each the boundary around an agent, by name. Only in the operator's own manifest, never in a project's."`
	Agents  Entries[Agent]   `json:"agents,omitempty" names:"name" jsonschema:"The agents, by name: what is launched, and in which profile."`
}

// Profile is an entry of "bottles": the boundary around an agent.
type Profile struct {
	Name string   `json:"-"`
	At   Position `json:"-"`

	Supervise    bool            `json:"supervise,omitempty" jsonschema:"Whether the agent may ask the operator for a capability, a host or a route. Default false."`
	Egress       Egress          `json:"egress,omitzero" jsonschema:"The way out to the network. Without it nothing but the routes can be reached."`
	CredProxy    CredProxy       `json:"cred_proxy,omitzero" jsonschema:"Services that the agent reaches with credentials which it never holds."`
	Git          []Remote        `json:"git,omitempty" jsonschema:"Git remotes that are brokered, with keys that the agent never holds."`
	GitUser      GitUser         `json:"git_user,omitzero" jsonschema:"Who the agent's commits are by. Default: user.name and user.email as git has them in the directory that is copied."`
	Env          Entries[string] `json:"env,omitempty" kind:"value" names:"env" jsonschema:"Environment variables of the agent, by name. They are not secret: the agent reads them, plans show their names."`
	Image        Image           `json:"image,omitzero" jsonschema:"What the agent's image is made from; exactly one of its keys. Default: the built-in Dockerfile with Claude Code."`
	BuildNetwork string          `json:"build_network,omitempty" kind:"build_network" jsonschema:"The network of the build of the agent's image. Default default."`
	Copy         Copy            `json:"copy,omitzero" jsonschema:"What of a directory is copied into the workspace, besides what its .bottleignore says."`
	Limits       Limits          `json:"limits,omitzero" jsonschema:"Limits of the agent's container."`
}

// Egress is the way out.
type Egress struct {
	Allow  []string `json:"allow,omitempty" kind:"host" jsonschema:"The hosts that can be reached: a name, *.name for it and all below it, or an address; with :port for another port than 443 and 80."`
	Engine string   `json:"engine,omitempty" kind:"engine" jsonschema:"What keeps the allowlist. Default builtin."`
	Image  string   `json:"image,omitempty" kind:"reference" jsonschema:"The image of pipelock; needed by that engine, refused with the other."`
}

// CredProxy adds credentials to what the agent sends.
type CredProxy struct {
	Routes []Route `json:"routes,omitempty" jsonschema:"The routes. Those with the same token_ref share a token."`
	CAFile string  `json:"ca_file,omitempty" kind:"file" jsonschema:"A PEM file with roots that are trusted for upstreams besides the usual ones; relative to this file."`
}

// Route is one way through cred-proxy.
type Route struct {
	At Position `json:"-"`

	Path       string `json:"path" kind:"path" jsonschema:"Where the agent finds it under http://cred-proxy:8080, such as /npm/. No route may lie within another."`
	Upstream   string `json:"upstream" kind:"upstream" jsonschema:"Where it leads to, such as https://host/base. http:// is for loopback addresses alone."`
	AuthScheme string `json:"auth_scheme" kind:"auth_scheme" jsonschema:"How the credential is given to the upstream."`
	TokenRef   string `json:"token_ref" kind:"token_ref" jsonschema:"Where the credential comes from when a bottle is launched. The name of an environment variable, file:PATH (absolute, or below ~/), or cmd:COMMAND, of which the first line of output is taken."`
	Role       Roles  `json:"role,omitempty" kind:"role" jsonschema:"What the agent's programs are told of the route; one role, or a list."`
}

// Roles are the roles of a route; a single one may be written without brackets.
type Roles []string

// GitUser is who commits.
type GitUser struct {
	Name  string `json:"name,omitempty" kind:"git_user" jsonschema:"The name."`
	Email string `json:"email,omitempty" kind:"git_user" jsonschema:"The address."`
}

// Remote is a git remote.
type Remote struct {
	At Position `json:"-"`

	Name         string   `json:"name" kind:"remote" jsonschema:"What the agent knows it by."`
	Upstream     string   `json:"upstream" kind:"remote_upstream" jsonschema:"Where it is, such as ssh://user@host/path, user@host:path, or https://host/path."`
	IdentityFile string   `json:"identity_file,omitempty" kind:"file" jsonschema:"The private key for an ssh upstream; relative to this file."`
	KnownHost    string   `json:"known_host,omitempty" kind:"known_host" jsonschema:"The upstream's public host key, as known_hosts has it: ssh-ed25519 AAAA…. Needed for an ssh upstream."`
	TokenRef     string   `json:"token_ref,omitempty" kind:"token_ref" jsonschema:"Where the token for an https upstream comes from, as for a route. Without it the upstream is asked without one."`
	AllowRefs    []string `json:"allow_refs,omitempty" kind:"ref" jsonschema:"The refs that may be pushed, such as refs/heads/agent/*; a * stands only at the end. Default: every branch, refs/heads/*."`
	AllowOptions []string `json:"allow_push_options,omitempty" kind:"push_option" jsonschema:"The push options (git push -o) that go on to the upstream, such as ci.skip or ci.variable=*; a * stands only at the end. Default: none."`
	AllowForce   bool     `json:"allow_force,omitempty" jsonschema:"Whether a push may rewrite or delete what is there. Default false."`
	Approve      bool     `json:"approve,omitempty" jsonschema:"Whether every push waits until you have seen it and said yes. Default false."`
	MaxPush      Bytes    `json:"max_push,omitempty" kind:"push_size" jsonschema:"How large a push may be as it comes: a number of bytes, or a text such as 64m, up to 4g. Default 512m."`
	MaxObject    Bytes    `json:"max_object,omitempty" kind:"object_size" jsonschema:"How large one file of a push may be, likewise, up to 1g. Default 128m."`
}

// Image is what the agent's image is made from. At most one field is set.
type Image struct {
	Dockerfile string `json:"dockerfile,omitempty" kind:"file" jsonschema:"A Dockerfile of your own, relative to this file. It is built with no other file."`
	Reference  string `json:"reference,omitempty" kind:"reference" jsonschema:"A ready image that holds Claude Code."`
	Base       string `json:"base,omitempty" kind:"base" jsonschema:"What the built-in Dockerfile stands on, such as a node image pinned by its digest."`
}

// Copy says what of a directory is copied.
type Copy struct {
	SkipIgnored bool `json:"skip_ignored,omitempty" jsonschema:"Whether what git ignores is left out. What git tracks is copied all the same. Default false."`
}

// Limits of the agent's container; 0 is the default of package bottles.
type Limits struct {
	Memory Bytes `json:"memory,omitempty" jsonschema:"Memory: a number of bytes, or a text such as 512m or 4g. Default 4g."`
	Pids   int64 `json:"pids,omitempty" kind:"pids" jsonschema:"The number of processes and threads. Default 1024."`
}

// Bytes is an amount of memory or of data.
type Bytes int64

// Agent is an entry of "agents".
type Agent struct {
	Name string   `json:"-"`
	At   Position `json:"-"`

	Bottle  string   `json:"bottle" kind:"name" jsonschema:"The profile it runs in."`
	Prompt  string   `json:"prompt,omitempty" kind:"prompt" jsonschema:"What it is told besides Claude Code's own system prompt."`
	Skills  []string `json:"skills,omitempty" kind:"skill" jsonschema:"Skills: names of those in ~/.claude/skills, or directories with a slash in them, relative to this file."`
	Command []string `json:"command,omitempty" kind:"argument" jsonschema:"The program that is run instead of Claude Code, with args and nothing else."`
	Args    []string `json:"args,omitempty" kind:"argument" jsonschema:"Arguments for the program. Claude Code's stand before the ones that a launch adds, and what bottle-tui passes itself is refused, with the key that is for it. In those of a command {task} stands for the task, which is left out where there is none, and {session} for an identifier that the bottle keeps."`

	ResumeArgs []string `json:"resume_args,omitempty" kind:"argument" jsonschema:"With a command: its arguments when the bottle comes back, in place of args. {message} stands for what the agent is told then, and {session} for the identifier."`
	Session    string   `json:"session,omitempty" kind:"session" jsonschema:"With a command: claude-code, where that takes Claude Code's flags for a session and keeps its transcripts as Claude Code does. They are passed after args then."`

	Model      string          `json:"model,omitempty" kind:"model" jsonschema:"The model that Claude Code begins with, such as opus."`
	Settings   Object          `json:"settings,omitempty" jsonschema:"Settings of Claude Code, as in its settings.json. Those that bottle-tui makes itself are refused."`
	MCPServers Entries[Object] `json:"mcp_servers,omitempty" names:"mcp_server" jsonschema:"MCP servers besides supervise, by name, each as in Claude Code's .mcp.json."`
}

// Entries are the members of an object whose names the operator chose, in order of declaration.
type Entries[T any] []Entry[T]

// Entry is one member.
type Entry[T any] struct {
	Name  string
	Value T
	At    Position // of the name
}

// MarshalJSON writes the object in order of declaration.
func (e Entries[T]) MarshalJSON() ([]byte, error) {
	out := []byte{'{'}
	for i, entry := range e {
		if i > 0 {
			out = append(out, ',')
		}
		name, err := json.Marshal(entry.Name)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(entry.Value)
		if err != nil {
			return nil, err
		}
		out = append(append(append(out, name...), ':'), value...)
	}
	return append(out, '}'), nil
}
