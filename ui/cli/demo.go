package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"bottle-tui/bottles"
	"bottle-tui/queue"
	"bottle-tui/sidecars"
	"bottle-tui/state"
	"bottle-tui/ui/cli/demo"
)

func (p *program) demoCommand() *cobra.Command {
	var clean, dry, yes bool
	var only []string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Launch four demo bottles and open the screen on them",
		Long: "Launches four bottles whose agents are played by this program, and opens the screen on them. It needs a\n" +
			"container engine, and no key, manifest, image pull or network. Its state root is its own: --home, by default\n" +
			"a directory in the user's cache. The bottles go on when the screen is left; demo --clean asks, and then\n" +
			"removes every trace of them; bottles that the demo did not launch stay.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !clean && (dry || yes) {
				return errors.New("--dry-run and --yes are for --clean")
			}
			for _, name := range only {
				if !slices.Contains(roleNames(), name) {
					return fmt.Errorf("--agent: the demo has no %q; it has %v", name, roleNames())
				}
			}
			return p.work(func(cmd *cobra.Command, _ []string) error {
				again := "demo" + p.homeFlag()
				if p.home == "" {
					cache, err := os.UserCacheDir()
					if err != nil {
						return fmt.Errorf("find a place for the demo's state: %w; give one with --home", err)
					}
					p.home = filepath.Join(cache, cacheName, "demo")
				}
				if clean {
					return p.cleanDemo(cmd.Context(), dry, yes)
				}
				return p.demo(cmd.Context(), only, again)
			})(cmd, nil)
		},
	}
	cmd.Flags().BoolVar(&clean, "clean", false, "remove every trace of the demo, after a question")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "of --clean: say what would be removed and remove nothing")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "of --clean: do not ask")
	cmd.Flags().StringSliceVar(&only, "agent", nil, "launch these agents in place of the usual four; may repeat")
	return cmd
}

// claimDemo makes the root a demo's. Of several programs that do so at once the first launches its bottles.
func claimDemo(root *state.Root) (first bool, err error) {
	mark := filepath.Join(root.Dir(), demoMark)
	err = root.Alone(func() error {
		_, err := os.Lstat(mark)
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		l := root.Scan()
		if l.Err != nil {
			return l.Err
		}
		if len(l.Bottles)+len(l.Unusable) > 0 {
			return fmt.Errorf("%s holds bottles that are not a demo's; give the demo a directory of its own with --home", root.Dir())
		}
		first = true
		return state.WriteFile(mark, []byte("bottle-tui demo\n"), 0o600)
	})
	return first, err
}

func roleNames() []string {
	names := []string{demo.QuietRole.Name}
	for _, r := range demo.Roles {
		names = append(names, r.Name)
	}
	return names
}

// demo launches what is not there yet and opens the screen. again is the command that does so once more.
func (p *program) demo(ctx context.Context, only []string, again string) error {
	if err := p.canShow(); err != nil {
		return err
	}
	root, engine, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer engine.Close()
	c := &demoCatalog{engine: engine}
	defer c.close()
	if why, cannot := sidecars.Compiles(); why != nil && cannot == nil {
		fmt.Fprintf(p.err, "bottle-tui: it is compiled anew for the containers first, which takes up to some minutes: %v\n", why)
	}
	if _, err := c.image(ctx); err != nil {
		return err // without an engine there is nothing to demonstrate, and the error says what to do
	}
	first, err := claimDemo(root)
	if err != nil {
		return err
	}
	if !first {
		return p.showDemo(ctx, root, engine, c, again, nil) // an earlier demo, with whatever was done to its bottles
	}
	launches := make([]bottles.Launch, 0, len(demo.Roles))
	for _, r := range demo.Roles {
		launches = append(launches, bottles.Launch{Agent: r.Name, Task: r.Task})
	}
	if len(only) > 0 {
		launches = launches[:0]
		for _, name := range only {
			launches = append(launches, bottles.Launch{Agent: name})
		}
	}
	return p.showDemo(ctx, root, engine, c, again, func(ctx context.Context, s *bottles.Supervisor) {
		if s.Ready(ctx) != nil {
			return // the screen tells why
		}
		for _, l := range launches {
			if _, err := s.Start(ctx, l); err != nil {
				return // the screen tells of each that failed
			}
		}
	})
}

// cacheName is this program's directory in the user's cache.
const cacheName = "bottle-tui"

// showDemo shows the screen, and says afterwards how to come back (again is the command) and how to end it all.
func (p *program) showDemo(ctx context.Context, root *state.Root, engine bottles.Engine, c bottles.Catalog, again string, start func(context.Context, *bottles.Supervisor)) error {
	if err := p.show(ctx, root, engine, c, start); err != nil {
		return err
	}
	self := p.called()
	_, err := fmt.Fprintf(p.out, "The bottles go on. See them again:  %s %s\nRemove every trace of them:         %s %s --clean\n", self, again, self, again)
	return err
}

// demoMark is the file that tells a demo's state root from one with bottles of worth.
const demoMark = ".demo"

// cleanDemo removes every trace of a demo: what its own catalog launched, and the state root where nothing else is in it. It
// names what goes and what stays, and asks.
func (p *program) cleanDemo(ctx context.Context, dry, yes bool) error {
	if _, err := os.Stat(filepath.Join(p.home, demoMark)); errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintln(p.out, "There is no demo in", p.home)
		return nil
	}
	root, engine, err := p.openFor(ctx, dry)
	if err != nil {
		return err
	}
	defer engine.Close()
	return p.purgeDemo(ctx, root, engine, dry, yes)
}

func (p *program) purgeDemo(ctx context.Context, root *state.Root, engine bottles.Engine, dry, yes bool) error {
	found, err := bottles.FindPurgeable(ctx, root, engine, func(manifest string) bool { return manifest == builtinDemo })
	if err != nil {
		return err
	}
	for _, identity := range found.Identities {
		what := "its state and its audit log"
		switch _, err := root.Bottle(identity); {
		case errors.Is(err, state.ErrUnknown):
			what = "its audit log"
		case len(found.Others) > 0:
			what = "its state"
		}
		for _, object := range found.Objects[identity] {
			what += ", " + object
		}
		fmt.Fprintf(p.out, "%s: %s\n", identity, queue.Visible(what))
	}
	for _, other := range found.Others {
		fmt.Fprintf(p.out, "%s is not of the demo, and stays\n", queue.Visible(other))
	}
	switch {
	case dry:
		fmt.Fprintln(p.out, "These would be removed; nothing was.")
		return nil
	case !yes && len(found.Identities) > 0:
		if err := p.askOr(ctx, "Remove these for good? [y/N] ", "nothing was removed"); err != nil {
			return err
		}
	}
	removed, whole, err := bottles.Purge(ctx, root, engine, found, demoMark)
	if err == nil {
		var shared []string
		shared, err = bottles.RazeShared(ctx, engine)
		removed = append(removed, shared...)
	}
	for _, what := range removed {
		fmt.Fprintln(p.out, "removed", what)
	}
	if err != nil {
		return err
	}
	if !whole {
		if err := os.Remove(filepath.Join(root.Dir(), demoMark)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("make %s no demo's any more: %w", root.Dir(), err)
		}
		_, err := fmt.Fprintf(p.out, "The rest of %s stays. See it: %s\n", root.Dir(), p.command(""))
		return err
	}
	if filepath.Base(filepath.Dir(root.Dir())) == cacheName {
		_ = os.Remove(filepath.Dir(root.Dir())) // the cache's directory too, when nothing else is in it
	}
	return nil
}
