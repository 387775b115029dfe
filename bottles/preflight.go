package bottles

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"bottle-tui/bottles/workspace"
	"bottle-tui/queue"
	"bottle-tui/state"
)

// Preflight is the whole plan of a launch or a resume, for the operator to say yes or no to: the screen and
// `start --dry-run --format json` show this one thing. It has no secrets in it.
type Preflight struct {
	Identity  string         `json:"identity"`
	Agent     string         `json:"agent"`
	Profile   string         `json:"profile"`
	Was       string         `json:"was_profile,omitempty"` // of a resume in another profile than the bottle lived in: that one
	Manifest  string         `json:"manifest"`              // that declares the agent: path, or "builtin:…"
	Home      string         `json:"profile_manifest"`      // that declares the profile
	Resume    bool           `json:"resume"`
	Command   []string       `json:"command"`     // the program of the agent; empty: the image's
	Claude    bool           `json:"claude_code"` // it is Claude Code, and not a program that was put in its place
	Args      []string       `json:"args"`        // what of it the agent's manifest adds
	Model     string         `json:"model"`       // of Claude Code; empty: its own choice
	Settings  []string       `json:"settings"`    // the keys of Claude Code's settings that the manifest adds
	Servers   []string       `json:"mcp_servers"` // the names of MCP servers besides supervise
	Prompt    string         `json:"prompt"`
	Skills    []string       `json:"skills"` // names
	Task      string         `json:"task"`   // of a launch: the first message
	Image     PlannedImage   `json:"image"`
	Network   string         `json:"build_network"`
	Memory    int64          `json:"memory"` // bytes
	Pids      int64          `json:"pids"`
	CWD       string         `json:"cwd"`  // "": none
	Copy      *PlannedCopy   `json:"copy"` // nil: nothing is copied
	EnvNames  []string       `json:"env_names"`
	Egress    PlannedEgress  `json:"egress"`
	Routes    []PlannedRoute `json:"cred_proxy"`
	Remotes   []Remote       `json:"git_remotes"`
	GitGate   []Forward      `json:"git_gate"`
	GitUser   GitUser        `json:"git_user"` // who the agent's commits are by
	Supervise bool           `json:"supervise"`
	Grants    []Grant        `json:"grants"` // of a resume: what is in force beyond the profile
	Notices   []Notice       `json:"notices"`
	Conflicts []Conflict     `json:"conflicts"` // with any of these nothing is created
	Shown     string         `json:"-"`         // tells this plan's profile from a changed one
}

// PlannedImage is the image that the agent will run on.
type PlannedImage struct {
	Reference string `json:"reference"`
	Rebuilt   bool   `json:"rebuilt"` // from the bottle's own Dockerfile, after a capability was approved
	Build     bool   `json:"build"`   // the engine does not have it: it is built first
}

// PlannedEgress is the way out.
type PlannedEgress struct {
	Engine string   `json:"engine"`          // "builtin" or "pipelock"
	Image  string   `json:"image,omitempty"` // of pipelock
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

// Notice is a fact about a launch or a resume that the operator should know before saying yes.
type Notice struct {
	ID   string `json:"id"`            // names the fact for programs, e.g. "workspace-missing"
	What string `json:"what"`          // the fact, one sentence
	Fix  string `json:"fix,omitempty"` // what to do where it is not wanted; "": nothing
	Ask  bool   `json:"ask"`           // a resume, which does not ask otherwise, asks because of it
}

// Asks are the IDs of the notices that need the operator's yes, sorted and joined by commas: what goes into
// Resume.Agreed once the operator said yes. "" when there are none.
func (p *Preflight) Asks() string {
	var ids []string
	for _, n := range p.Notices {
		if n.Ask {
			ids = append(ids, n.ID)
		}
	}
	slices.Sort(ids)
	return strings.Join(slices.Compact(ids), ",")
}

// Noticed says whether the plan has the notice of that ID.
func (p *Preflight) Noticed(id string) bool {
	return slices.ContainsFunc(p.Notices, func(n Notice) bool { return n.ID == id })
}

// Yes is what the operator asks for by saying yes to the plan of a resume: with its notices that need a yes, and in the
// profile that it shows where that is another one.
func (p *Preflight) Yes() Resume {
	r := Resume{Identity: p.Identity, Agreed: p.Asks()}
	if p.Was != "" {
		r.Profile = p.Profile
	}
	return r
}

// unagreed are the notices that need a yes and are not among those that the operator said yes to.
func unagreed(notices []Notice, agreed string) (out []Notice) {
	known := strings.Split(agreed, ",")
	for _, n := range notices {
		if n.Ask && !slices.Contains(known, n.ID) {
			out = append(out, n)
		}
	}
	return out
}

// Preflight works out what a Launch or a Resume would do. It creates nothing. The identity of a new bottle is
// free at that moment; give it back in Launch.Identity. Tokens are resolved to see that they can be, and forgotten.
func (s *Supervisor) Preflight(ctx context.Context, a Action) (*Preflight, error) {
	x := &execution{sup: s}
	var p Preflight
	meta, grants, err := s.planned(a, x, &p)
	if err != nil {
		return nil, err
	}
	profile, err := s.cfg.Catalog.Profile(meta)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	profile.Program = profile.Program.in(meta.Part)
	own := []byte(nil)
	if x.bottle != nil {
		if own, err = x.bottle.Dockerfile(); err != nil {
			return nil, err
		}
	}
	l := &x.layout
	l.identity, l.root, l.profile = p.Identity, s.cfg.Root.ID(), profile
	l.dress(own)
	stages := timeline(declared(profile), grants, s.cfg.Now())
	l.force, l.later, l.tokens = stages[0].inForce, stages[1:], tokensOf(profile, grants)
	p.declared(meta, profile)
	if p.Task != "" && !profile.Program.TakesTask() {
		p.conflict(Conflict{"its program is not told the task: none of its arguments has " + PlaceTask, "put " + PlaceTask + " into the agent's args, or start it without a task"})
	}
	if p.Resume && sameProfile(meta, profile) != nil {
		p.Was = meta.Profile
	}
	p.Image = PlannedImage{Reference: l.image, Rebuilt: l.own}
	p.Grants = grants
	p.Egress = PlannedEgress{Engine: orDefault(profile.EgressEngine, engineBuiltin), Image: profile.EgressImage, Allow: rulesOf(l.force.allow)}
	p.EnvNames, p.Routes = envNames(*l), slots(l.force.routes)
	if err := l.force.check(profile.EgressEngine); err != nil {
		p.conflict(Conflict{err.Error(), "change the manifest, or revoke the grant"})
	}
	_, missing := x.tokens(ctx, l.allRoutes(), l.tokens)
	p.conflict(missing...)
	_, missing = x.keys(ctx, profile.Git)
	p.conflict(missing...)
	if s.planEngine(ctx, x, meta, &p); meta.CopyCWD && (!meta.Filled || p.Noticed(NoticeWorkspace)) {
		skip, part := meta.SkipIgnored, meta.Part
		if l, ok := a.(Launch); ok {
			skip, part = l.skipsIgnored(profile), partOf(meta)
		}
		planCopy(ctx, meta.CWD, workspace.Options{SkipIgnored: skip, Part: part, Never: []string{s.cfg.Root.Dir()}}, &p)
	}
	p.planGitUser(ctx, profile, meta)
	p.noNulls()
	return &p, ctx.Err()
}

// declared fills in what stands in the manifest, as the operator may see it.
func (p *Preflight) declared(meta state.Metadata, profile Profile) {
	p.Agent, p.Profile, p.Manifest, p.Home = meta.AgentName, profile.Name, profile.Manifest, profile.HomeManifest()
	p.Command, p.Claude, p.Args = profile.Program.Command, profile.RunsClaude(), profile.Args
	p.Prompt, p.Skills, p.Model = profile.Prompt, profile.Skills, profile.Model
	p.Settings, p.Servers = slices.Sorted(maps.Keys(profile.Settings)), slices.Sorted(maps.Keys(profile.MCPServers))
	p.Network, p.Memory, p.Pids = orDefault(profile.BuildNetwork, DefaultNetwork), profile.Memory, profile.Pids
	if p.Memory == 0 {
		p.Memory = DefaultMemory
	}
	if p.Pids == 0 {
		p.Pids = DefaultPids
	}
	p.CWD, p.Supervise, p.Shown = meta.CWD, profile.Supervise, profile.shown()
	p.Remotes, p.GitGate = ShownRemotes(profile.Git), forwards(profile.Git)
}

// ShownRemotes are remotes as the operator sees them: a key or token by its TokenName.
func ShownRemotes(remotes []Remote) []Remote {
	out := append([]Remote{}, remotes...)
	for i, r := range out {
		out[i].TokenRef = TokenName(r.TokenRef)
		if r.IdentityFile != "" {
			out[i].IdentityFile = TokenName(refFile + r.IdentityFile)
		}
	}
	return out
}

// planned fills in what a Launch or a Resume names, and gives the state that it is made from.
func (s *Supervisor) planned(a Action, x *execution, p *Preflight) (state.Metadata, []Grant, error) {
	switch a := a.(type) {
	case Launch:
		p.Task = a.Task
		if !slices.Contains(s.cfg.Catalog.Agents(), a.Agent) {
			return state.Metadata{}, nil, s.noAgent(a.Agent)
		}
		p.Identity = a.Identity
		if p.Identity == "" {
			identity, err := s.cfg.Root.NewIdentity(a.Agent)
			if err != nil {
				return state.Metadata{}, nil, err
			}
			p.Identity = identity
		} else if !state.ValidIdentity(p.Identity) {
			return state.Metadata{}, nil, refuse("%s is not an identity", queue.Visible(p.Identity))
		}
		return state.Metadata{AgentName: a.Agent, CWD: a.CWD, CopyCWD: a.CopyCWD && a.CWD != ""}, nil, nil
	case Resume:
		p.Identity, p.Resume = a.Identity, true
		b, err := s.cfg.Root.Bottle(a.Identity)
		if err != nil {
			return state.Metadata{}, nil, fmt.Errorf("%w: %w", ErrRefused, err)
		}
		x.bottle = b
		meta, err := b.Metadata()
		if err != nil {
			return meta, nil, err
		}
		if !meta.TaskGiven {
			p.Task = meta.Task
		}
		grants, err := readGrants(b)
		running := slices.DeleteFunc(slices.Clone(grants), func(g Grant) bool { return !g.running(s.cfg.Now()) || g.Scope.Profile })
		return meta, running, err
	}
	return state.Metadata{}, nil, refuse("there is no preflight of %T", a)
}

func (s *Supervisor) noAgent(name string) error {
	agents := s.cfg.Catalog.Agents()
	if len(agents) == 0 {
		return refuse("there is no agent %q, nor any other: declare one in the manifest", name)
	}
	return refuse("there is no agent %q; there are: %s", name, strings.Join(agents, ", "))
}

// planEngine looks at what the engine has already.
func (s *Supervisor) planEngine(ctx context.Context, x *execution, meta state.Metadata, p *Preflight) {
	p.planChoice(s.cfg.Engine)
	s.planBinary(p)
	have, others, err := observeRoot(ctx, s.cfg.Engine, s.cfg.Root)
	if err != nil {
		p.conflict(Conflict{"the container engine can't be used: " + err.Error(), "put that right, then try again"})
		return
	}
	there, err := s.hasImage(ctx, x.layout.image)
	if err != nil {
		p.conflict(Conflict{"the agent's image can't be looked for: " + err.Error(), "see whether the engine answers"})
	}
	p.Image.Build = err == nil && !there
	here, found := groupAll(have, others)[p.Identity]
	switch {
	case !found:
		here = newParts()
	case !p.Resume:
		p.conflict(s.orphans(here)...)
	case here.containers[RoleAgent].State == StateRunning:
		p.conflict(Conflict{p.Identity + " is live already", s.cfg.Command("")})
	}
	if p.Resume {
		notices, err := resumeNotices(x.bottle, meta, x.layout.profile, here)
		if err != nil {
			p.conflict(Conflict{"what the bottle last ran on can't be read: " + err.Error(), "put the file back"})
		}
		p.notice(notices...)
	}
	missing, err := s.lacksPipelock(ctx, x.layout.profile)
	if err != nil {
		p.conflict(Conflict{"pipelock's image can't be looked for: " + err.Error(), "see whether the engine answers"})
	}
	p.conflict(missing...)
	if here.other != nil {
		here = here.other.parts // they are taken over
	}
	strangers, err := s.strangers(ctx, x.layout, here)
	if err != nil {
		p.conflict(Conflict{"the names on the engine can't be looked at: " + err.Error(), "see whether the engine answers"})
	}
	p.conflict(strangers...)
}

// strangers are the names that a bottle needs and that somebody else has.
func (s *Supervisor) strangers(ctx context.Context, l layout, have parts) ([]Conflict, error) {
	var containers, networks, volumes []string
	for _, role := range append([]Role{RoleAgent}, l.sidecarRoles()...) {
		if _, ok := have.containers[role]; !ok {
			containers = append(containers, containerName(role, l.identity))
		}
	}
	for _, role := range []string{labelNet, labelOut} {
		if _, ok := have.networks[role]; !ok {
			networks = append(networks, networkName(role, l.identity))
		}
	}
	for _, role := range volumeRoles {
		if _, ok := have.volumes[role]; !ok {
			volumes = append(volumes, volumeName(role, l.identity))
		}
	}
	if len(containers)+len(networks)+len(volumes) == 0 {
		return nil, nil
	}
	holders, err := s.cfg.Engine.Holders(ctx, containers, networks, volumes)
	var out []Conflict
	for _, h := range holders {
		id, identity := h.Labels[LabelRoot], h.Labels[LabelIdentity]
		if s.cfg.Root.Owns(identity, id) {
			continue // it came since the look
		}
		whose, fix := "something that bottle-tui did not make", "see what it is with: docker "+h.Kind+" inspect "+h.Name+"; if it is needed, start another bottle, which gets another name"
		switch {
		case id != "" && s.cfg.Root.Has(identity):
			whose = "this bottle under the id of another state root (" + id + ")"
			fix = s.cfg.Command("resume "+identity) + ", which shows what it takes over"
		case id != "":
			whose = "a bottle of another state root (" + id + ")"
			fix = "leave it to that one (bottle-tui --home DIR) and start another bottle, which gets another name"
		}
		out = append(out, Conflict{fmt.Sprintf("the %s name %s is in use by %s", h.Kind, h.Name, whose), fix})
	}
	return out, err
}

// orphans are objects that a bottle of the same identity left.
func (s *Supervisor) orphans(have parts) []Conflict {
	var out []Conflict
	for _, name := range have.names() {
		out = append(out, Conflict{"an orphan has the name of the " + name, s.cfg.Command("cleanup")})
	}
	return out
}

// noStrangers refuses to begin where a name is in use.
func (s *Supervisor) noStrangers(ctx context.Context, x *execution, have parts) error {
	found, err := s.strangers(ctx, x.layout, have)
	if err != nil || len(found) == 0 {
		return err
	}
	return conflictError(found)
}

func conflictError(found []Conflict) error {
	var lines []string
	for _, c := range found {
		lines = append(lines, c.What+"; to do: "+c.Fix)
	}
	return refuse("%s", strings.Join(lines, "\n"))
}

func (p *Preflight) notice(n ...Notice) { p.Notices = append(p.Notices, n...) }

func (p *Preflight) conflict(c ...Conflict) { p.Conflicts = append(p.Conflicts, c...) }

// noNulls makes lists of the lists that are empty, for those who read the JSON.
func (p *Preflight) noNulls() {
	p.Notices, p.Conflicts = append([]Notice{}, p.Notices...), append([]Conflict{}, p.Conflicts...)
	p.EnvNames = append([]string{}, p.EnvNames...)
	p.Egress.Allow = append([]string{}, p.Egress.Allow...)
	p.Routes = append([]PlannedRoute{}, p.Routes...)
	p.Command, p.Args, p.Skills = append([]string{}, p.Command...), append([]string{}, p.Args...), append([]string{}, p.Skills...)
	p.Settings, p.Servers = append([]string{}, p.Settings...), append([]string{}, p.Servers...)
	p.GitGate = append([]Forward{}, p.GitGate...)
	p.Grants = append([]Grant{}, p.Grants...)
	for i := range p.Grants {
		p.Grants[i].Tokens = nil // references are the operator's own
	}
}

// slots are routes with their token slots: one for each token, numbered in the order of the routes.
func slots(routes []Route) []PlannedRoute {
	var out []PlannedRoute
	var seen []string
	for _, r := range routes {
		slot := slices.Index(seen, r.TokenRef)
		if slot < 0 {
			slot = len(seen)
			seen = append(seen, r.TokenRef)
		}
		out = append(out, PlannedRoute{r.Path, r.Upstream, r.AuthScheme, r.TokenRef, slot, append([]string{}, r.Roles...)})
	}
	return out
}

// envNames are the names of what the agent's environment has beside what every bottle's has.
func envNames(l layout) []string {
	var names []string
	for _, e := range append(slices.Clone(l.profile.Env), roleEnv(l.force.routes)...) {
		name, _, _ := strings.Cut(e, "=")
		names = append(names, name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// forwards are remotes as the agent would reach them.
func forwards(remotes []Remote) []Forward {
	var out []Forward
	for _, r := range remotes {
		out = append(out, Forward{r.Name, r.Upstream, r.address()})
	}
	return out
}

func orDefault(s, def string) string {
	if s == "" {
		return def
	}
	return s
}
