package cli

import (
	"context"
	"fmt"

	"bottle-tui/bottles"
	"bottle-tui/bottles/manifest"
	"bottle-tui/state"
	"bottle-tui/ui"
	"bottle-tui/ui/terminal"
)

// scrollback is how many lines an agent's terminal keeps, at most.
const scrollback = 1000

// screen opens the screen on the state root.
func (p *program) screen(ctx context.Context) error {
	if err := p.canShow(); err != nil {
		return err
	}
	root, engine, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer engine.Close()
	c, err := p.catalog(engine, "")
	if err != nil {
		return err
	}
	defer c.close()
	return p.show(ctx, root, engine, c, nil)
}

// canShow fails where the screen can't be shown, before anything is made or launched for it.
func (p *program) canShow() error {
	if p.noScreen == "" {
		return nil
	}
	return fmt.Errorf("the screen needs a terminal, and %s is none; the plain commands do without one: %s --help", p.noScreen, p.called())
}

// show runs the screen; start, if not nil, runs beside it once the engine was listed.
func (p *program) show(ctx context.Context, root *state.Root, engine bottles.Engine, c bottles.Catalog, start func(context.Context, *bottles.Supervisor)) error {
	var sup *bottles.Supervisor
	screens := terminal.NewSet(80, 24, scrollback, func(identity string, reply []byte) { sup.Type(identity, reply) })
	defer screens.Close()
	config := bottles.Config{
		Root: root, Engine: engine, Catalog: c, Resolve: manifest.Resolve, Command: p.command,
		Screens: func(identity string) bottles.Screen { return screens.For(identity) },
	}
	return p.supervise(ctx, config, func(ctx context.Context, s *bottles.Supervisor) error {
		sup = s
		options := ui.Options{Supervisor: s, Screens: screens, Version: Version(), Home: root.Dir(), Name: p.called(), Command: p.command}
		if start != nil {
			started := make(chan struct{})
			go func() {
				defer close(started)
				start(ctx, s)
			}()
			ctx, cancel := context.WithCancel(ctx)
			defer func() { cancel(); <-started }()
			return ui.Run(ctx, options)
		}
		return ui.Run(ctx, options)
	})
}
