package cli

import (
	"context"
	"fmt"
	"time"

	"bottle-tui/bottles"
	"bottle-tui/sidecars"
	"bottle-tui/state"
	"bottle-tui/ui/cli/demo"
)

// builtinDemo is what the metadata of a demo's bottle names as its manifest.
const builtinDemo = "builtin:demo"

// catalog knows the demo's agents; base is the image that they are built on, nil where no new ones are
// to be launched from here. Bottles that a demo left can be resumed by every command.
type catalog struct{ base *demo.Image }

// Agents are the agents that can be launched.
func (c catalog) Agents() []string {
	if c.base == nil {
		return nil
	}
	var names []string
	for _, r := range append(demo.Roles, demo.QuietRole) {
		names = append(names, r.Name)
	}
	return names
}

// Profile finds the profile of a demo's agent; this version reads no manifest.
func (c catalog) Profile(meta state.Metadata) (bottles.Profile, error) {
	if c.base == nil || meta.Manifest != "" && meta.Manifest != builtinDemo {
		return bottles.Profile{}, fmt.Errorf("%w for %q: this version runs the demo's agents only, and reads no manifest yet", bottles.ErrNoProfile, meta.AgentName)
	}
	for _, r := range append(demo.Roles, demo.QuietRole) {
		if r.Name != meta.AgentName {
			continue
		}
		return bottles.Profile{
			Agent: r.Name, Name: "demo", Manifest: builtinDemo,
			Dockerfile: demo.Dockerfile(c.base.Ref), BuildNetwork: "none",
			Program: bottles.Program{UID: demo.UID, GID: demo.UID, Home: demo.Home + "/.claude", Grace: 2 * time.Second},
			Env:     r.Env, Supervise: true, Memory: 256 << 20, Pids: 128,
			Prepare: c.prepare,
		}, nil
	}
	return bottles.Profile{}, fmt.Errorf("%w for %q: the demo has no such agent", bottles.ErrNoProfile, meta.AgentName)
}

// prepare puts the demo's base image on the engine.
func (c catalog) prepare(ctx context.Context, engine bottles.Engine) error {
	return bottles.ImportShared(ctx, engine, c.base.Ref, c.base.RootFS(), bottles.ImageConfig(c.base.Config))
}

// openCatalog makes the catalog for the platform of the engine. Without an engine it has no agents; the
// screen opens all the same.
func openCatalog(ctx context.Context, engine bottles.Engine) (c catalog, close func(), err error) {
	info, err := engine.Info(ctx)
	if err != nil {
		return catalog{}, func() {}, err
	}
	binary, err := sidecars.Binary(ctx, info.OS, info.Arch)
	if err != nil {
		return catalog{}, func() {}, err
	}
	base, err := demo.BaseImage(binary, binary.Size)
	if err != nil {
		_ = binary.Close()
		return catalog{}, func() {}, err
	}
	return catalog{base}, func() { _ = binary.Close() }, nil
}

// catalog is openCatalog for commands that go on without one.
func (p *program) catalog(ctx context.Context, engine bottles.Engine) (catalog, func()) {
	c, close, err := openCatalog(ctx, engine)
	if err != nil {
		return catalog{}, func() {}
	}
	return c, close
}
