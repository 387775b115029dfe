package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"unicode/utf8"

	"bottle-tui/bottles"
	"bottle-tui/bottles/manifest"
	"bottle-tui/queue"
	"bottle-tui/state"
)

// declared is the manifest as package manifest gives it.
type declared interface {
	bottles.Catalog
	bottles.Troubled
	bottles.Editor
	bottles.Locator
}

// catalog is what can be launched: the agents of the manifest and, where there are none, the demo's. Bottles that a
// demo left are known in any case, so that every command can resume them.
type catalog struct {
	manifest declared
	demo     *demoCatalog
}

// Agents are the agents of the manifest. Without any, and with nothing to complain of, they are the demo's: somebody
// who has no manifest yet finds something to try.
func (c *catalog) Agents() []string {
	if agents := c.manifest.Agents(); len(agents) > 0 || len(c.Problems()) > 0 {
		return agents
	}
	return c.demo.Agents()
}

// Profile finds a profile in the manifest, or the demo's.
func (c *catalog) Profile(meta state.Metadata) (bottles.Profile, error) {
	if meta.Manifest == builtinDemo {
		return c.demo.Profile(meta)
	}
	profile, err := c.manifest.Profile(meta)
	if errors.Is(err, bottles.ErrNoProfile) && meta.Manifest == "" && len(c.manifest.Agents()) == 0 && len(c.Problems()) == 0 {
		if profile, err := c.demo.Profile(meta); !errors.Is(err, bottles.ErrNoProfile) {
			return profile, err
		}
	}
	return profile, err
}

// Problems are what is wrong with the manifest.
func (c *catalog) Problems() []bottles.Problem { return c.manifest.Problems() }

// Edit works out a change of the manifest.
func (c *catalog) Edit(meta state.Metadata, change bottles.Change) (bottles.Edit, error) {
	if meta.Manifest == builtinDemo {
		return bottles.Edit{}, fmt.Errorf("the demo's %s has no manifest that could be changed: choose another scope", meta.AgentName)
	}
	return c.manifest.Edit(meta, change)
}

// Where says where the manifest names a credential.
func (c *catalog) Where(ref string) string { return c.manifest.Where(ref) }

func (c *catalog) close() { c.demo.close() }

// manifestPath is the operator's own manifest: of --manifest, or in the home directory.
func (p *program) manifestPath() (string, error) {
	if p.manifest != "" {
		path, err := filepath.Abs(p.manifest)
		if err != nil { // the current directory is gone
			return "", fmt.Errorf("find the manifest %q: %w; name it by its whole path", p.manifest, err)
		}
		return path, spelled("the manifest", path, "rename it")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find the manifest: %w: set HOME, or name it with --manifest", err)
	}
	path := filepath.Join(home, manifest.Name)
	return path, spelled("the manifest in HOME", path, "name another with --manifest")
}

// spelled refuses a path that is not UTF-8: in JSON it would turn into another one.
func spelled(what, path, fix string) error {
	if utf8.ValidString(path) {
		return nil
	}
	return fmt.Errorf("find %s: the path %q is not UTF-8, and could not be written down as it is; %s", what, path, fix)
}

// project is the directory whose manifest may add agents: cwd, or the current one. "" is none: a current directory that
// was deleted or may not be entered, or whose path is not UTF-8, has no agents to add, and is in nobody's way.
func project(cwd string) (string, error) {
	dir, err := filepath.Abs(cmp.Or(cwd, "."))
	if err == nil && cwd == "" {
		_, err = os.Stat(filepath.Join(dir, manifest.Name))
		if errors.Is(err, fs.ErrNotExist) {
			_, err = os.Stat(dir)
		}
	}
	switch {
	case cwd == "" && (err != nil || !utf8.ValidString(dir)):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("find the directory %q: %w; name it by its whole path", cwd, err)
	}
	return dir, spelled("the directory", dir, "rename it, or name another with --cwd")
}

// catalog gives what can be launched on a directory; cwd "" is the current one.
func (p *program) catalog(engine bottles.Engine, cwd string) (*catalog, error) {
	path, err := p.manifestPath()
	if err != nil {
		return nil, err
	}
	dir, err := project(cwd)
	if err != nil {
		return nil, err
	}
	return &catalog{manifest: manifest.NewCatalog(path, dir), demo: &demoCatalog{engine: engine}}, nil
}

// example is the shortest manifest that runs Claude Code on a subscription.
const example = `{
  "bottles": {"dev": {"supervise": true, "cred_proxy": {"routes": [
    {"path": "/anthropic/", "upstream": "https://api.anthropic.com", "auth_scheme": "anthropic-oauth",
     "token_ref": "CLAUDE_CODE_OAUTH_TOKEN", "role": "anthropic-base-url"}]}}},
  "agents": {"coder": {"bottle": "dev"}}
}`

// needManifest fails with everything that is wrong with the manifests, for the commands that can't do without. name is
// the agent that is asked for: where it can be used in spite of faults, as one of the operator's own can be while a
// project's manifest has some, they are told only.
func (p *program) needManifest(cwd, name string) error {
	path, err := p.manifestPath()
	if err != nil {
		return err
	}
	dir, err := project(cwd)
	if err != nil {
		return err
	}
	m, err := manifest.Load(path, dir)
	if errors.Is(err, manifest.ErrNone) {
		own := "looked for: " + filepath.Join(dir, manifest.Name)
		if dir == "" {
			own = "the current directory can't be looked at, or its path is not UTF-8"
		}
		return noAgent{fmt.Errorf("there is no agent %q, for there is no manifest: looked for %s (--manifest names another).\n"+
			"A project's own (%s) may add agents, but no profiles, so it does not do by itself. A manifest is, for example:\n\n%s\n\n"+
			"To see bottles at work without a manifest: %s demo",
			name, path, own, example, p.called())}
	}
	found := false
	if m != nil {
		_, found = m.Agent(name)
	}
	switch {
	case err != nil && found:
		fmt.Fprintf(p.err, "bottle-tui: a manifest can't be used, and %s is of another:\n%v\n", queue.Visible(name), err)
	case err != nil:
		return fmt.Errorf("the manifest can't be used:\n%w", err)
	case !found:
		return noAgent{unknownAgent(m, name)}
	}
	return nil
}

// noAgent is the error of a name that is no agent's.
type noAgent struct{ error }

func (n noAgent) Unwrap() error { return n.error }

// unknownAgent says which agents there are, for somebody who named one that is not.
func unknownAgent(m *manifest.Manifest, name string) error {
	var names []string
	for _, a := range m.Agents {
		names = append(names, a.Name)
	}
	where := m.Home
	if m.Project != "" {
		where += " and " + m.Project
	}
	if len(names) == 0 {
		return fmt.Errorf("there is no agent %s: %s declares none", queue.Visible(name), where)
	}
	near := ""
	if n := m.Near(name); n != "" {
		near = "did you mean " + n + "? "
	}
	return fmt.Errorf("there is no agent %s in %s; %sthere are: %s", queue.Visible(name), where, near, strings.Join(names, ", "))
}

// resolver gives the values of token_refs to a plain command. At a terminal it lets a command of one ask, one at a time, and
// runs it once: the plan that is shown and the start after it need the same.
func (p *program) resolver() func(context.Context, string) (string, error) {
	if !p.terminal {
		return manifest.Resolve
	}
	var one sync.Mutex
	known := map[string]string{}
	return func(ctx context.Context, ref string) (string, error) {
		one.Lock()
		defer one.Unlock()
		if value, ok := known[ref]; ok {
			return value, nil
		}
		value, err := manifest.ResolveAsking(ctx, ref)
		if err == nil {
			known[ref] = value
		}
		return value, err
	}
}
