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
	"bottle-tui/state"
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
// manifest, and then in the one of its directory. So is one whose manifest is gone, moved or renamed: the profile's
// Manifest then shows that it is another. For a new launch, which has no start yet, it is the agent that
// Agents lists: the project is the catalog's, whatever directory is copied.
//
// An error of the files that the profile or the agent names is Errors, with all that is wrong with them.
func (c *Catalog) Profile(meta state.Metadata) (bottles.Profile, error) {
	m, a, err := c.find(meta)
	if err != nil {
		return bottles.Profile{}, err
	}
	p, _ := m.Profile(a.Bottle) // it has one, or the manifest would not have been read
	return m.bottle(p, a)
}

// find finds an agent and the manifest that declares it.
func (c *Catalog) find(meta state.Metadata) (*Manifest, Agent, error) {
	var projects []string // where to look; "" is the operator's own manifest
	was := meta.Manifest
	switch {
	case meta.Manifest == "" && meta.StartedAt.IsZero():
		projects = []string{"", c.project}
	case meta.Manifest == "":
		projects = []string{"", meta.CWD, c.project}
	case bottles.SameFile(meta.Manifest, c.home):
		projects = []string{""}
	case gone(meta.Manifest): // moved or renamed: what is declared here is shown to the operator, who is asked
		projects, meta.Manifest = []string{"", c.project}, ""
	case isDefault(meta.Manifest):
		return nil, Agent{}, c.another(meta)
	case filepath.Base(meta.Manifest) == Name && filepath.IsAbs(meta.Manifest):
		projects = []string{filepath.Dir(meta.Manifest)}
	default:
		return nil, Agent{}, c.another(meta)
	}
	var known []string
	elsewhere := false // an agent of that name is declared, and not in the manifest that was named
	for i, project := range projects {
		if i > 0 && (project == "" || slices.Contains(projects[:i], project)) {
			continue
		}
		m, err := c.load(project)
		if m != nil {
			// What a project declared is not what the operator's own manifest has by the same name.
			if a, ok := m.Agent(meta.AgentName); ok && (meta.Manifest == "" || bottles.SameFile(a.At.File, meta.Manifest)) {
				return m, a, nil
			}
			known = m.names()
			elsewhere = slices.Contains(known, meta.AgentName)
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
	switch {
	case elsewhere:
		advice = fmt.Sprintf("declare it there again; the agent of that name in %s is another one", c.home)
	case was != meta.Manifest:
		return nil, Agent{}, fmt.Errorf("%w for %s: it was declared in %s, which is gone, and %s does not declare it; put that file back, or name with --manifest the one that declares it now",
			bottles.ErrNoProfile, quoted(meta.AgentName), quoted(was), where)
	}
	return nil, Agent{}, fmt.Errorf("%w: %s has no agent %s; %s", bottles.ErrNoProfile, where, quoted(meta.AgentName), advice)
}

// gone says whether a manifest's file is no longer there. One that can't be looked at is there.
func gone(file string) bool {
	_, err := os.Stat(file)
	return filepath.IsAbs(file) && errors.Is(err, fs.ErrNotExist)
}

// another is the error for a state that was launched from another operator's manifest.
func (c *Catalog) another(meta state.Metadata) error {
	return fmt.Errorf("%w for %s: it was declared in %s, and the manifest here is %s; name that one with --manifest",
		bottles.ErrNoProfile, quoted(meta.AgentName), quoted(meta.Manifest), c.home)
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
	profile := a.Bottle
	if meta.Profile != "" {
		profile = meta.Profile // the agent may be in another one now, and the bottle is not
	}
	before, _, err := readFile(c.home, true)
	if err != nil {
		return bottles.Edit{}, fmt.Errorf("changing %s: %w", c.home, err)
	}
	after, err := Edit(c.home, before, profile, change)
	if err != nil {
		return bottles.Edit{}, err
	}
	return bottles.Edit{Path: c.home, Before: before, After: after}, nil
}
