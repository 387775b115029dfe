package ui

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	tea "charm.land/bubbletea/v2"

	"bottle-tui/bottles"
	"bottle-tui/themes"
	"bottle-tui/ui/terminal"
)

// Supervisor is what the screen needs of bottles.Supervisor.
type Supervisor interface {
	// Updates is the one stream of snapshots and alerts.
	Updates() <-chan bottles.Update
	// Start begins an action, or refuses it at once with the reason. done gets the outcome.
	Start(ctx context.Context, a bottles.Action) (done <-chan error, err error)
	// Preflight works out what a Launch or a Resume would do; it may block until ctx ends.
	Preflight(ctx context.Context, a bottles.Action) (*bottles.Preflight, error)
	// PreviewEdit works out what approving content for the profile would write into the manifest. tokens are the
	// references for credentials that the bottle lacks. It may block until ctx ends.
	PreviewEdit(ctx context.Context, identity, request string, content []byte, tokens map[string]string) (*bottles.Edit, error)
	// Type sends bytes to the agent's terminal; it never blocks.
	Type(identity string, p []byte)
	// ReleaseTerminals lets go of the agents' terminals, until RetakeTerminals: the program is about to be stopped.
	ReleaseTerminals()
	RetakeTerminals()
	// Resize tells the agent's terminal its size in cells; it never blocks.
	Resize(identity string, cols, rows int)
}

// Options is what Run works with. Supervisor and Screens are required.
type Options struct {
	Supervisor Supervisor
	Screens    *terminal.Set
	Theme      string // name of a built-in theme; "": the default
	Version    string
	Home       string                   // the state root's directory, to be named where it helps
	Name       string                   // the program as it was called; "": bottle-tui
	Command    func(args string) string // writes a command of this program that is suggested; nil: as bottle-tui
	Notify     bool                     // desktop notes (OSC 9 and OSC 777) besides bell and window title
	Input      io.Reader                // nil: the terminal
	Output     io.Writer                // nil: the terminal
	Environ    []string                 // nil: this process's
	Cols, Rows int                      // the window's size where Output can't tell it; 0: ask

	now         func() time.Time // for tests; nil: time.Now
	suspendable func() bool      // for tests; nil: whether there is a shell
}

// relayInterval is the least time between two notices of changed terminals.
const relayInterval = 50 * time.Millisecond

// Run shows the screen until the operator quits or ctx ends, and leaves the terminal as it was. The
// bottles go on. Operations that were asked for run under ctx, not under the screen's life.
func Run(ctx context.Context, o Options) error {
	if o.Supervisor == nil || o.Screens == nil {
		return errors.New("start the screen: it needs a supervisor and the terminals")
	}
	if o.Environ == nil {
		o.Environ = os.Environ()
	}
	if o.now == nil {
		o.now = time.Now
	}
	if o.suspendable == nil {
		o.suspendable = hasShell
	}
	palette, err := themes.Load(o.Theme)
	if err != nil {
		return fmt.Errorf("start the screen: %w", err)
	}
	styles := themes.Build(palette, !noColour(o.Environ))

	life, end := context.WithCancel(context.Background())
	workers := new(sync.WaitGroup)
	defer workers.Wait()
	defer end()

	m := newModel(ctx, life, workers, o, styles)
	options := []tea.ProgramOption{tea.WithContext(ctx), tea.WithFPS(30), tea.WithEnvironment(o.Environ)}
	gone := make(chan struct{})
	if o.Input == nil {
		o.Input = terminalInput{os.Stdin, sync.OnceFunc(func() { close(gone) })}
		defer dropInput()
	}
	options = append(options, tea.WithInput(o.Input))
	if o.Output != nil {
		options = append(options, tea.WithOutput(o.Output))
	}
	if o.Cols > 0 && o.Rows > 0 {
		options = append(options, tea.WithWindowSize(o.Cols, o.Rows))
	}
	program := tea.NewProgram(m, options...)
	m.pause = func() { pause(program) }
	workers.Go(func() { relay(life, program.Send, o.Supervisor.Updates(), o.Screens.Dirty()) })
	workers.Go(func() { heedStops(program.Send, life.Done()) })
	workers.Go(func() {
		select {
		case <-gone:
			program.Kill() // what it would draw is seen by nobody
		case <-life.Done():
		}
	})
	_, err = program.Run()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	select {
	case <-gone:
		return errors.New("the terminal is gone; the bottles go on, and requests wait")
	default:
	}
	if err != nil {
		return fmt.Errorf("the screen: %w", err)
	}
	return nil
}

// noColour follows https://no-color.org: set to anything but nothing.
func noColour(environ []string) bool {
	return slices.ContainsFunc(environ, func(v string) bool {
		return strings.HasPrefix(v, "NO_COLOR=") && len(v) > len("NO_COLOR=")
	})
}

// relay carries what happens outside into the program until ctx ends. Updates, which the Supervisor
// has coalesced, go at once; of the terminals' notices at most one passes each relayInterval, the
// first of a burst without delay.
func relay(ctx context.Context, send func(tea.Msg), updates <-chan bottles.Update, dirty <-chan struct{}) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	<-timer.C
	quiet := true // no notice went out in the last relayInterval
	pending := false
	for {
		select {
		case <-ctx.Done():
			return
		case u, ok := <-updates:
			if !ok {
				updates = nil // a closed channel would be ready for ever
				continue
			}
			send(updateMsg(u))
		case _, ok := <-dirty:
			if !ok {
				dirty = nil
				continue
			}
			if !quiet {
				pending = true
				continue
			}
			quiet = false
			timer.Reset(relayInterval)
			send(terminalsMsg{})
		case <-timer.C:
			if quiet = !pending; pending {
				pending = false
				timer.Reset(relayInterval)
				send(terminalsMsg{})
			}
		}
	}
}
