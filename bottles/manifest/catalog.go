package manifest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"bottle-tui/bottles"
	"bottle-tui/bottles/claudecode"
	"bottle-tui/sidecars/gitgate"
	"bottle-tui/state"
)

const (
	maxDockerfile = 256 << 10 // bytes, as of a request
	maxCA         = 1 << 20   // bytes of the PEM file with a company's roots
)

// Catalog is what the manifests declare, as the bottles are launched from it. It looks at the files again whenever
// it is asked, so that an edit holds without a restart; a file with faults is told by Problems, and by Profile
// to whoever asks for one of its agents. It may be used by several goroutines.
type Catalog struct {
	home, project string

	mu   sync.Mutex
	read map[string]*reading // by project directory; "" is the operator's own manifest alone
}

// reading is a manifest as it was read, and how its files looked then.
type reading struct {
	home, project look
	m             *Manifest
	err           error
}

// look is how a file can be told from itself after a change, without reading it.
type look struct {
	there    bool
	size     int64
	modified time.Time
	file     fs.FileInfo
}

func lookAt(path string) look {
	info, err := os.Stat(path)
	if err != nil {
		return look{}
	}
	return look{true, info.Size(), info.ModTime(), info}
}

func (l look) same(other look) bool {
	return l.there == other.there && l.size == other.size && l.modified.Equal(other.modified) &&
		(!l.there || os.SameFile(l.file, other.file))
}

// settled says whether the file is old enough that a later change shows in its time: file systems count in steps.
func (l look) settled() bool { return !l.there || time.Since(l.modified) > 2*time.Second }

// maxReadings bounds how many projects are remembered.
const maxReadings = 64

// NewCatalog makes the catalog of the operator's own manifest, a file, and of the one in the directory project,
// if any; "" is no project. It reads nothing yet.
func NewCatalog(home, project string) *Catalog {
	if path, err := filepath.Abs(home); err == nil {
		home = path
	}
	if project != "" {
		if path, err := filepath.Abs(project); err == nil {
			project = path
		}
	}
	return &Catalog{home: home, project: project, read: map[string]*reading{}}
}

// load is Load, which reads again only what has changed. With an error the manifest is what can be used
// nevertheless, and may be nil.
func (c *Catalog) load(project string) (*Manifest, error) {
	home, other := lookAt(c.home), look{}
	if project != "" {
		other = lookAt(filepath.Join(project, Name))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.read[project]; r != nil && home.settled() && other.settled() && r.home.same(home) && r.project.same(other) {
		return r.m, r.err
	}
	m, err := Load(c.home, project)
	if len(c.read) >= maxReadings {
		clear(c.read)
	}
	c.read[project] = &reading{home, other, m, err}
	return m, err
}

// Agents are the names of the agents, in order of declaration: the operator's own, then the project's.
func (c *Catalog) Agents() []string {
	m, _ := c.load(c.project)
	if m == nil {
		return nil
	}
	var names []string
	for _, a := range m.Agents {
		names = append(names, a.Name)
	}
	return names
}

// Problems are the faults of the manifests. That there is none is no fault.
func (c *Catalog) Problems() []bottles.Problem {
	_, err := c.load(c.project)
	if err == nil || errors.Is(err, ErrNone) {
		return nil
	}
	faults := asErrors(err)
	if faults == nil {
		return []bottles.Problem{{Path: c.home, Err: err.Error()}}
	}
	var all []bottles.Problem
	for _, f := range faults {
		p := bottles.Problem{Path: f.File, Err: strings.TrimPrefix(strings.TrimPrefix(f.Error(), f.File+":"), " ")}
		all = append(all, p)
	}
	return all
}

// Profile finds what an agent was declared as. The state of an earlier launch names the manifest that it was
// started from; one of the predecessor does not, and is looked for by its agent's name in the operator's own
// manifest. For a new launch the project's is looked at, too: that of meta.CWD, or the catalog's.
func (c *Catalog) Profile(meta state.Metadata) (bottles.Profile, error) {
	m, a, err := c.find(meta)
	if err != nil {
		return bottles.Profile{}, err
	}
	p, _ := m.Profile(a.Bottle) // it has one, or the manifest would not have been read
	return p.bottle(a)
}

// find finds an agent and the manifest that declares it.
func (c *Catalog) find(meta state.Metadata) (*Manifest, Agent, error) {
	var projects []string // where to look; "" is the operator's own manifest
	switch {
	case meta.Manifest == "":
		projects = []string{"", meta.CWD, c.project}
	case sameFile(meta.Manifest, c.home):
		projects = []string{""}
	case filepath.Base(meta.Manifest) == Name && filepath.IsAbs(meta.Manifest):
		projects = []string{filepath.Dir(meta.Manifest)}
	default:
		return nil, Agent{}, c.another(meta)
	}
	var known []string
	for i, project := range projects {
		if i > 0 && (project == "" || slices.Contains(projects[:i], project)) {
			continue
		}
		m, err := c.load(project)
		if m != nil {
			// What a project declared is not what the operator's own manifest has by the same name.
			if a, ok := m.Agent(meta.AgentName); ok && (meta.Manifest == "" || sameFile(a.At.File, meta.Manifest)) {
				return m, a, nil
			}
			known = m.names()
		}
		switch {
		case errors.Is(err, ErrNone):
			return nil, Agent{}, fmt.Errorf("%w for %s: %w", bottles.ErrNoProfile, quoted(meta.AgentName), err)
		case slices.ContainsFunc(asErrors(err), func(e Error) bool { return e.Path == "bottles" && e.File == meta.Manifest }):
			return nil, Agent{}, c.another(meta) // it is no project's
		case err != nil:
			return nil, Agent{}, fmt.Errorf("%w for %s: the manifest has faults:\n%w", bottles.ErrNoProfile, quoted(meta.AgentName), err)
		}
	}
	where := c.home
	if meta.Manifest != "" {
		where = meta.Manifest
	}
	advice := "it declares no agent; declare this one"
	if len(known) > 0 {
		advice = "declare it, or take one of " + list(known)
		if near := nearest(meta.AgentName, known); near != "" {
			advice = "did you mean " + quoted(near) + "?"
		}
	}
	return nil, Agent{}, fmt.Errorf("%w: %s has no agent %s; %s", bottles.ErrNoProfile, where, quoted(meta.AgentName), advice)
}

// another is the error for a state that was launched from another operator's manifest.
func (c *Catalog) another(meta state.Metadata) error {
	return fmt.Errorf("%w for %s: it was declared in %s, and the manifest here is %s; name that one with --manifest",
		bottles.ErrNoProfile, quoted(meta.AgentName), quoted(meta.Manifest), c.home)
}

// sameFile says whether two paths lead to one file.
func sameFile(a, b string) bool {
	if a == b {
		return true
	}
	x, errA := os.Stat(a)
	y, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(x, y)
}

func (m *Manifest) names() []string {
	var names []string
	for _, a := range m.Agents {
		names = append(names, a.Name)
	}
	return names
}

// Edit works out what a change of its profile makes of the operator's own manifest; profiles are nowhere else. It
// writes nothing.
func (c *Catalog) Edit(meta state.Metadata, change bottles.Change) (bottles.Edit, error) {
	_, a, err := c.find(meta)
	if err != nil {
		return bottles.Edit{}, err
	}
	before, _, err := readFile(c.home, true)
	if err != nil {
		return bottles.Edit{}, fmt.Errorf("changing %s: %w", c.home, err)
	}
	after, err := Edit(c.home, before, a.Bottle, change)
	if err != nil {
		return bottles.Edit{}, err
	}
	return bottles.Edit{Path: c.home, Before: before, After: after}, nil
}

// bottle is what a bottle of an agent is launched from. It reads the files that the profile names; an error says which
// one, and where it is named.
func (p Profile) bottle(a Agent) (bottles.Profile, error) {
	fail := func(at Position, path string, err error) (bottles.Profile, error) {
		return bottles.Profile{}, fmt.Errorf("%v: %s: %w", at, path, err)
	}
	options := claudecode.Options{Prompt: a.Prompt, Skills: a.Skills, Command: a.Command, Args: a.Args, Supervise: p.Supervise}
	files, err := claudecode.Files(options)
	if err != nil {
		return fail(a.At, join("agents", a.Name), err)
	}
	out := bottles.Profile{
		Agent: a.Name, Name: p.Name, Manifest: a.At.File,
		BuildNetwork: p.BuildNetwork, Program: claudecode.Program(options), Env: p.environment(), Files: files,
		Supervise: p.Supervise, Egress: slices.Clone(p.Egress.Allow), EgressEngine: p.Egress.Engine, EgressImage: p.Egress.Image,
		Memory: int64(p.Limits.Memory), Pids: p.Limits.Pids,
	}
	if out.BuildNetwork == "" {
		out.BuildNetwork = "default"
	}
	if out.EgressEngine == "" {
		out.EgressEngine = EngineBuiltin
	}
	path := join("bottles", p.Name)
	switch {
	case p.Image.Dockerfile != "":
		out.Dockerfile, err = small(p.Image.Dockerfile, maxDockerfile)
		if err != nil {
			return fail(p.At, path+".image.dockerfile", err)
		}
	case p.Image.Reference != "":
		out.Dockerfile = []byte("FROM " + p.Image.Reference + "\n")
	default:
		out.Dockerfile = claudecode.Dockerfile(p.Image.Base)
	}
	if p.CredProxy.CAFile != "" {
		if out.CA, err = small(p.CredProxy.CAFile, maxCA); err != nil {
			return fail(p.At, path+".cred_proxy.ca_file", err)
		}
	}
	for _, r := range p.CredProxy.Routes {
		out.Routes = append(out.Routes, bottles.Route{Path: r.Path, Upstream: r.Upstream, AuthScheme: r.AuthScheme,
			TokenRef: r.TokenRef, Roles: slices.Clone([]string(r.Role))})
	}
	for _, g := range p.Git {
		out.Git = append(out.Git, bottles.Remote{Name: g.Name, Upstream: g.Upstream, IdentityFile: g.IdentityFile,
			KnownHost: g.KnownHost, TokenRef: g.TokenRef, AllowRefs: g.allowRefs(), AllowPushOptions: slices.Clone(g.AllowOptions),
			AllowForce: g.AllowForce, Approve: g.Approve, MaxPush: int64(g.MaxPush), MaxObject: int64(g.MaxObject)})
	}
	return out, nil
}

// allowRefs are the refs that may be pushed; none written is every branch, and an empty list none.
func (g Remote) allowRefs() []string {
	if g.AllowRefs == nil {
		return gitgate.DefaultAllowRefs()
	}
	return append([]string{}, g.AllowRefs...)
}

// environment is Claude Code's, then the profile's own, which wins where both name a variable.
func (p Profile) environment() []string {
	var env []string
	for _, e := range claudecode.Env() {
		name, _, _ := strings.Cut(e, "=")
		if !slices.ContainsFunc(p.Env, func(own Entry[string]) bool { return own.Name == name }) {
			env = append(env, e)
		}
	}
	for _, e := range p.Env {
		env = append(env, e.Name+"="+e.Value)
	}
	return env
}
