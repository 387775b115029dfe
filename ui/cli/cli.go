// Package cli is the command line: the screen, and the plain commands for scripts. A command reads its
// flags, wires the parts together, runs, and turns the outcome into words and an exit code: 0 done, 1
// failed, 2 not understood. It must not hold logic of the lifecycle or draw.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"bottle-tui/bottles"
	"bottle-tui/bottles/docker"
	"bottle-tui/bottles/docker/watchdog"
	"bottle-tui/bottles/manifest"
	"bottle-tui/state"
)

// version is set when a release is linked.
var version = ""

// Version is the program's version: a release's, else what the Go toolchain recorded.
func Version() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return "development " + s.Value[:12]
		}
	}
	return "development"
}

// failure is an error of the work itself, told apart from a command line that was not understood.
type failure struct{ error }

func (f failure) Unwrap() error { return f.error }

// program is what all commands share.
type program struct {
	name     string // as it was called: what a shell finds, or a path; "" stands for bottle-tui
	in       io.Reader
	out, err io.Writer
	terminal bool   // in is one, and so is err: the operator can be asked
	noScreen string // what is no terminal, so that no screen can be shown; "": it can
	home     string // the flag; "" stands for the default
	manifest string // likewise
	allow    state.Options
	log      string // the flag: where to write what happens, for the curious
}

// Run runs the command line args of the program, which was called as name, and gives the exit code.
func Run(ctx context.Context, name string, args []string) int {
	terminal := term.IsTerminal(int(os.Stdin.Fd())) && term.IsTerminal(int(os.Stderr.Fd()))
	p := &program{name: name, in: os.Stdin, out: os.Stdout, err: os.Stderr, terminal: terminal}
	switch {
	case !term.IsTerminal(int(os.Stdout.Fd())):
		p.noScreen = "standard output"
	case !term.IsTerminal(int(os.Stdin.Fd())):
		p.noScreen = "standard input"
	}
	return p.run(ctx, args)
}

func (p *program) run(ctx context.Context, args []string) int {
	root := p.root()
	root.SetArgs(args)
	root.SetOut(p.out)
	root.SetErr(p.err)
	err := root.ExecuteContext(ctx)
	var failed failure
	switch {
	case err == nil:
		return 0
	case errors.As(err, &failed):
		if ctx.Err() == nil || !bottles.Cancelled(err) { // else the operator ended it, and nothing else is to be told
			fmt.Fprintln(p.err, "bottle-tui:", err)
		}
		return 1
	}
	fmt.Fprintf(p.err, "bottle-tui: %v\nSee %s --help.\n", err, p.called())
	return 2
}

func (p *program) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "bottle-tui",
		Short: "Supervise sandboxed coding agents from one screen",
		Long: "bottle-tui supervises many sandboxed coding agents from one full-screen terminal program.\n" +
			"Without a command it opens the screen. To see it at work without a manifest or a key: " + p.called() + " demo",
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          p.work(func(cmd *cobra.Command, _ []string) error { return p.screen(cmd.Context()) }),
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.PersistentFlags().StringVar(&p.home, "home", "", "state root (default $CLAUDE_BOTTLE_HOME, or ~/.claude-bottle)")
	root.PersistentFlags().BoolVar(&p.allow.OtherOwner, "allow-other-owner", false, "use a state root or a home directory of another user")
	root.PersistentFlags().BoolVar(&p.allow.Insecure, "insecure-state", false, "use a state root on a file system without permissions")
	root.PersistentFlags().StringVar(&p.manifest, "manifest", "", "manifest (default ~/"+manifest.Name+")")
	root.PersistentFlags().StringVar(&p.log, "log", "", "append what the program does to this file")
	root.AddCommand(p.startCommand(), p.logCommand(), p.resumeCommand(), p.listCommand(), p.infoCommand(), p.demoCommand(), p.cleanupCommand(), p.auditCommand(), p.versionCommand())
	return root
}

// work marks a command's errors as failures of the work.
func (p *program) work(run func(*cobra.Command, []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if err := run(cmd, args); err != nil {
			return failure{err}
		}
		return nil
	}
}

func (p *program) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version, and which engine is used", Args: cobra.NoArgs,
		Run: func(cmd *cobra.Command, _ []string) {
			fmt.Fprintln(p.out, "bottle-tui", Version())
			engine, err := docker.Open(cmd.Context())
			if err != nil {
				fmt.Fprintln(p.out, "engine: none:", err)
				return
			}
			defer engine.Close()
			for _, line := range engineLines(engine.Choice()) {
				fmt.Fprintln(p.out, line)
			}
		},
	}
}

// engineLines say which engine is used and why, and where the docker command uses another.
func engineLines(c bottles.EngineChoice) []string {
	lines := []string{"engine: " + c.Address + ", " + c.Why}
	switch {
	case c.Other != "":
		lines = append(lines, "the docker command uses "+c.Other+", "+c.OtherWhy)
	case c.Doubt != "":
		lines = append(lines, "which engine the docker command uses can't be told: "+c.Doubt)
	}
	return lines
}

// dir is the directory of the state root.
func (p *program) dir() (string, error) {
	if p.home != "" {
		return p.home, nil
	}
	return state.DefaultDir()
}

// open opens the state root and the engine. The engine need not answer.
func (p *program) open(ctx context.Context) (*state.Root, bottles.Engine, error) {
	return p.openWith(ctx, func(dir string) (*state.Root, error) { return state.OpenWith(dir, p.allow) })
}

// openReadOnly is open for a command that only looks: it makes nothing, and so leaves nothing behind.
func (p *program) openReadOnly(ctx context.Context) (*state.Root, bottles.Engine, error) {
	return p.openWith(ctx, state.OpenReadOnly)
}

// openFor is open for a command that may be dry: then it only looks.
func (p *program) openFor(ctx context.Context, dry bool) (*state.Root, bottles.Engine, error) {
	if dry {
		return p.openReadOnly(ctx)
	}
	return p.open(ctx)
}

// bare says that nothing was ever kept in the state root: it is not there, or it is where a disk is to be mounted. What
// needs what is there makes nothing in such a one, which would be in the way of the right one.
func (p *program) bare() bool {
	dir, err := p.dir()
	if err != nil {
		return false
	}
	root, err := state.OpenReadOnly(dir)
	return err == nil && root.Bare()
}

func (p *program) openWith(ctx context.Context, open func(string) (*state.Root, error)) (*state.Root, bottles.Engine, error) {
	dir, err := p.dir()
	if err != nil {
		return nil, nil, err
	}
	root, err := open(dir)
	if err != nil {
		return nil, nil, err
	}
	engine, err := docker.Open(ctx)
	if err != nil {
		return nil, nil, err
	}
	return root, engine, nil
}

// logger writes to the file of --log, or nowhere. close ends it.
func (p *program) logger() (log *slog.Logger, close func(), err error) {
	if p.log == "" {
		return slog.New(slog.DiscardHandler), func() {}, nil
	}
	f, err := openLog(p.log, maxLog)
	if err != nil {
		return nil, nil, fmt.Errorf("open the log: %w", err)
	}
	return slog.New(slog.NewTextHandler(f, &slog.HandlerOptions{Level: slog.LevelDebug})), func() { _ = f.Close() }, nil
}

// supervise runs f beside a Supervisor, which it ends afterwards.
func (p *program) supervise(ctx context.Context, c bottles.Config, f func(context.Context, *bottles.Supervisor) error) error {
	log, closeLog, err := p.logger()
	if err != nil {
		return err
	}
	defer closeLog()
	c.Log = log
	if engine, ok := c.Engine.(interface{ Watch(*watchdog.Watchdog) }); ok {
		dog := watchdog.New(func(err error) { log.Warn("watch over the terminals", "err", err) })
		defer dog.Close()
		engine.Watch(dog)
	}
	sup := bottles.New(c)
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		err := sup.Run(ctx)
		cancel() // f does not outlive it
		ended <- err
	}()
	err = f(ctx, sup)
	cancel()
	failed := <-ended
	if failed != nil && bottles.Cancelled(err) {
		return failed // f ended because of it
	}
	return errors.Join(err, failed)
}
