package manifest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"bottle-tui/bottles"
)

// Load reads the operator's own manifest, a file, and the one that the directory project holds, if any; project
// may be "". The project's may add agents that use profiles of the operator's own, and nothing else: what is
// checked out of a repository must neither draw a boundary nor change what a name means.
//
// The error is Errors, with every fault of both files, or wraps ErrNone when there is no file home. When only
// the project's manifest has faults, the Manifest is what the operator's own declares, beside the error.
func Load(home, project string) (*Manifest, error) {
	home, err := filepath.Abs(home)
	if err != nil {
		return nil, fmt.Errorf("the place of the manifest: %w", err)
	}
	text, info, err := readFile(home, true)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf(`%w: there is no %s; write one with "bottles" and "agents", or name another with --manifest`, ErrNone, home)
	}
	if err != nil {
		return nil, err
	}
	m, r, ok := parseHome(home, text)
	if project == "" {
		return m.orNil(r), joined(r.sorted(), nil)
	}
	more := m.addProject(project, info, ok)
	return m.orNil(r), joined(r.sorted(), more)
}

// Parse reads the text of an operator's own manifest, as Load does. file is its path, which errors name and
// from which relative paths start.
func Parse(file string, text []byte) (*Manifest, error) {
	m, r, _ := parseHome(file, text)
	return m.orNil(r), joined(r.sorted(), nil)
}

func (m *Manifest) orNil(r *reader) *Manifest {
	if r.count() > 0 {
		return nil
	}
	return m
}

// parseHome reads the operator's own manifest. ok says whether the names of the profiles are known.
func parseHome(file string, text []byte) (m *Manifest, r *reader, ok bool) {
	m = &Manifest{Home: file}
	r = newReader(file, text, false)
	f, ok := r.read()
	if !ok {
		return m, r, false
	}
	for _, e := range f.Bottles {
		e.Value.Name, e.Value.At = e.Name, e.At
		r.profile(e.Value, join("bottles", e.Name))
		m.Profiles = append(m.Profiles, e.Value)
	}
	m.addAgents(r, f.Agents, true)
	m.places = map[string]map[string]Position{file: r.values}
	return m, r, true
}

func (m *Manifest) addAgents(r *reader, agents Entries[Agent], profilesKnown bool) {
	names := m.profileNames()
	for _, e := range agents {
		e.Value.Name, e.Value.At = e.Name, e.At
		r.agent(e.Value, join("agents", e.Name), names, profilesKnown)
		m.Agents = append(m.Agents, e.Value)
	}
}

func (m *Manifest) profileNames() []string {
	var names []string
	for _, p := range m.Profiles {
		names = append(names, p.Name)
	}
	return names
}

// isDefault says whether a file is the manifest in the operator's home directory. Where --manifest names another, it is
// not read; it never is a project's.
func isDefault(file string) bool {
	home, err := os.UserHomeDir()
	return err == nil && bottles.SameFile(file, filepath.Join(home, Name))
}

// addProject adds the agents of a project's manifest, unless it has faults. own is the operator's own file;
// profilesKnown whether that file could be read so far that its profiles are known.
func (m *Manifest) addProject(project string, own fs.FileInfo, profilesKnown bool) Errors {
	project, err := filepath.Abs(project)
	if err != nil {
		return Errors{{Position: Position{File: project}, Text: err.Error()}}
	}
	file := filepath.Join(project, Name)
	if there, err := os.Stat(file); err == nil && os.SameFile(there, own) || isDefault(file) {
		return nil
	}
	text, _, err := readFile(file, false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return asErrors(err)
	}
	r := newReader(file, text, true)
	f, ok := r.read()
	if !ok {
		return r.sorted()
	}
	if r.has("bottles") {
		r.add(r.names["bottles"], "bottles", "a project's manifest has no profiles: a checked-out repository must not draw the boundary around its agent; move them to %s", m.Home)
	}
	added := &Manifest{Home: m.Home, Profiles: m.Profiles}
	added.addAgents(r, f.Agents, profilesKnown)
	for _, a := range added.Agents {
		if i := slices.IndexFunc(m.Agents, func(own Agent) bool { return own.Name == a.Name }); i >= 0 {
			r.add(a.At, "agents", "the agent %s is declared at %s, too, and a project must not change what a name means; write another name here", quoted(a.Name), m.Agents[i].At)
		}
	}
	if r.count() > 0 {
		return r.sorted()
	}
	m.Project = file
	m.places[file] = r.values
	m.Agents = append(m.Agents, added.Agents...)
	return nil
}
