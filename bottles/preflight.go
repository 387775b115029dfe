package bottles

import "context"

// Preflight is the whole plan of a launch or a resume, for the operator to say yes or no to: the screen and
// `start --dry-run --format json` show this one thing. It has no secrets in it.
type Preflight struct {
	Identity  string         `json:"identity"`
	Agent     string         `json:"agent"`
	Profile   string         `json:"profile"`
	Manifest  string         `json:"manifest"` // path, or "builtin:…"
	Resume    bool           `json:"resume"`
	Image     PlannedImage   `json:"image"`
	CWD       string         `json:"cwd"`  // "": none
	Copy      *PlannedCopy   `json:"copy"` // nil: nothing is copied
	EnvNames  []string       `json:"env_names"`
	Egress    PlannedEgress  `json:"egress"`
	Routes    []PlannedRoute `json:"cred_proxy"`
	Remotes   []Remote       `json:"git_remotes"`
	GitGate   []Forward      `json:"git_gate"`
	Supervise bool           `json:"supervise"`
	Grants    []Grant        `json:"grants"`    // of a resume: what is in force beyond the profile
	Conflicts []Conflict     `json:"conflicts"` // with any of these nothing is created
}

// PlannedImage is the image that the agent will run on.
type PlannedImage struct {
	Reference string `json:"reference"`
	Rebuilt   bool   `json:"rebuilt"` // from the bottle's own Dockerfile, after a capability was approved
	Build     bool   `json:"build"`   // the engine does not have it: it is built first
}

// PlannedCopy is what would be copied into the workspace.
type PlannedCopy struct {
	Files   int   `json:"files"`
	Bytes   int64 `json:"bytes"`
	Ignored int   `json:"ignored"` // entries that .dockerignore leaves out; a directory counts once
}

// PlannedEgress is the way out.
type PlannedEgress struct {
	Engine string   `json:"engine"` // "builtin" or "pipelock"
	Allow  []string `json:"allow"`
}

// PlannedRoute is a route of cred-proxy with its token slot.
type PlannedRoute struct {
	Path       string   `json:"path"`
	Upstream   string   `json:"upstream"`
	AuthScheme string   `json:"auth_scheme"`
	TokenRef   string   `json:"token_ref"` // public name
	Slot       int      `json:"slot"`      // routes with one token share one
	Roles      []string `json:"role"`
}

// Forward is a remote as the agent reaches it.
type Forward struct {
	Name string `json:"name"`
	From string `json:"from"` // the upstream's URL
	To   string `json:"to"`   // git-gate's
}

// Conflict is a reason why a launch can't go on, with the way out.
type Conflict struct {
	What string `json:"what"`
	Fix  string `json:"fix"` // what to do; a command where there is one
}

// Preflight works out what a Launch or a Resume would do. It creates nothing. The identity of a new bottle is
// free at that moment; give it back in Launch.Identity.
func (s *Supervisor) Preflight(ctx context.Context, a Action) (*Preflight, error) {
	return nil, refuse("no preflight of %T", a)
}
