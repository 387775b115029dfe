package cli

import (
	"context"
	"fmt"
	"sync"
	"time"

	"bottle-tui/bottles"
	"bottle-tui/sidecars"
	"bottle-tui/state"
	"bottle-tui/ui/cli/demo"
)

// builtinDemo is what the metadata of a demo's bottle names as its manifest.
const builtinDemo = "builtin:demo"

// demoCatalog knows the demo's agents, so that bottles that a demo left can be resumed by every command. The image
// that they are built on is made from this program for the platform of the engine, when it is first asked for:
// the engine may come later than the screen.
type demoCatalog struct {
	engine bottles.Engine

	mu     sync.Mutex
	base   *sidecars.Image
	binary *sidecars.Executable // what base is made from, open with it
}

// Agents are the agents that can be launched.
func (c *demoCatalog) Agents() []string {
	var names []string
	for _, r := range append(demo.Roles, demo.QuietRole) {
		names = append(names, r.Name)
	}
	return names
}

// askTimeout bounds the question for the engine's platform.
const askTimeout = 10 * time.Second

// image is the base image. It reads the whole program, once.
func (c *demoCatalog) image(ctx context.Context) (*sidecars.Image, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.base != nil {
		return c.base, nil
	}
	info, err := c.engine.Info(ctx)
	if err != nil {
		return nil, err
	}
	binary, err := sidecars.Binary(ctx, info.OS, info.Arch)
	if err != nil {
		return nil, err
	}
	base, err := demo.BaseImage(binary, binary.Size)
	if err != nil {
		_ = binary.Close()
		return nil, err
	}
	c.base, c.binary = base, binary
	return base, nil
}

// close gives back what image opened.
func (c *demoCatalog) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.binary != nil {
		_ = c.binary.Close()
	}
	c.base, c.binary = nil, nil
}

// Profile finds the profile of a demo's agent.
func (c *demoCatalog) Profile(meta state.Metadata) (bottles.Profile, error) {
	for _, r := range append(demo.Roles, demo.QuietRole) {
		if r.Name != meta.AgentName {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
		defer cancel()
		base, err := c.image(ctx)
		if err != nil {
			return bottles.Profile{}, err
		}
		return bottles.Profile{
			Agent: r.Name, Name: "demo", Manifest: builtinDemo,
			Dockerfile: demo.Dockerfile(base.Ref), BuildNetwork: "none",
			Program: bottles.Program{UID: demo.UID, GID: demo.UID, Home: demo.Home + "/.claude", Grace: 2 * time.Second},
			Env:     r.Env, Supervise: true, Memory: 256 << 20, Pids: 128,
			Prepare: c.prepare,
		}, nil
	}
	return bottles.Profile{}, fmt.Errorf("%w for %q: the demo has no such agent", bottles.ErrNoProfile, meta.AgentName)
}

// prepare puts the demo's base image on the engine.
func (c *demoCatalog) prepare(ctx context.Context, engine bottles.Engine) error {
	base, err := c.image(ctx)
	if err != nil {
		return err
	}
	return bottles.ImportShared(ctx, engine, base.Ref, base.RootFS(), bottles.ImageConfig(base.Config))
}
