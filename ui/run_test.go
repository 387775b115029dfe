package ui

import (
	"bytes"
	"context"
	"errors"
	"io"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/vt"

	"bottle-tui/bottles"
	"bottle-tui/themes"
	"bottle-tui/ui/terminal"
)

// window is a terminal that the program writes to.
type window struct {
	mu   sync.Mutex
	emu  *vt.Emulator
	raw  bytes.Buffer
	w, h int
	wake chan struct{}
}

func newWindow(t testing.TB, w, h int) *window {
	o := &window{emu: vt.NewEmulator(w, h), w: w, h: h, wake: make(chan struct{}, 1)}
	var answers sync.WaitGroup
	answers.Go(func() { io.Copy(io.Discard, o.emu) }) //nolint:errcheck // it ends with the emulator
	t.Cleanup(func() {
		// The emulator's reader ends when its input pipe is closed.
		if c, ok := o.emu.InputPipe().(io.Closer); ok {
			c.Close()
		}
		answers.Wait()
	})
	return o
}

func (o *window) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.raw.Write(p)
	n, err := o.emu.Write(bytes.ReplaceAll(p, []byte("\n"), []byte("\r\n")))
	select {
	case o.wake <- struct{}{}:
	default:
	}
	return min(n, len(p)), err
}

func (o *window) screen() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Join(text(o.emu, o.w, o.h), "\n")
}

func (o *window) written() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.raw.String()
}

// await waits until the screen shows what.
func (o *window) await(t *testing.T, what string) {
	t.Helper()
	o.until(t, "showed", what, true)
}

// awaitNot waits until it does not.
func (o *window) awaitNot(t *testing.T, what string) {
	t.Helper()
	o.until(t, "stopped showing", what, false)
}

func (o *window) until(t *testing.T, did, what string, there bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for strings.Contains(o.screen(), what) != there {
		select {
		case <-o.wake:
		case <-deadline:
			t.Fatalf("the screen never %s %q:\n%s", did, what, o.screen())
		}
	}
}

// running is the whole program on a window.
type running struct {
	t      *testing.T
	sup    *supervisor
	out    *window
	keys   *io.PipeWriter
	set    *terminal.Set
	ended  chan error
	cancel context.CancelFunc
}

func run(t *testing.T, environ ...string) *running {
	t.Helper()
	r := &running{t: t, sup: newSupervisor(), out: newWindow(t, 120, 36), set: terminal.NewSet(80, 24, 100, nil), ended: make(chan error, 1)}
	in, keys := io.Pipe()
	r.keys = keys
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	go func() {
		r.ended <- Run(ctx, Options{Supervisor: r.sup, Screens: r.set, Version: "v0", Input: in, Output: r.out, Cols: 120, Rows: 36,
			Environ: append([]string{"TERM=xterm-256color", "HOME=/home/ada", "LANG=C.UTF-8"}, environ...)})
		close(r.ended)
	}()
	t.Cleanup(func() { cancel(); keys.Close(); in.Close(); <-r.ended; r.set.Close() })
	return r
}

func (r *running) press(s string) {
	r.t.Helper()
	if _, err := r.keys.Write([]byte(s)); err != nil {
		r.t.Fatal(err)
	}
}

func (r *running) show(b ...bottles.Bottle) {
	r.sup.updates <- bottles.Update{Snapshot: &bottles.Snapshot{Version: 1, At: time.Now(), Engine: bottles.EngineView{Reachable: true}, Bottles: b}}
}

func TestRunShowsTakesKeysAndLeavesTheTerminalAsItWas(t *testing.T) {
	r := run(t)
	r.out.await(t, "Reading the bottles")
	r.show(live("implementer-k3x9q", time.Hour))
	r.out.await(t, "implementer-k3x9q")
	if _, err := r.set.For("implementer-k3x9q").Write([]byte("hello from the agent")); err != nil {
		t.Fatal(err)
	}
	r.out.await(t, "hello from the agent")
	r.press("?")
	r.out.await(t, "On the screen")
	r.press("?")
	r.press("q")
	if err := <-r.ended; err != nil {
		t.Fatal(err)
	}
	out := r.out.written()
	for on, off := range map[string]string{"\x1b[?1049h": "\x1b[?1049l", "\x1b[?1002h": "\x1b[?1002l", "\x1b[?2004h": "\x1b[?2004l", "\x1b[?25l": "\x1b[?25h"} {
		if strings.LastIndex(out, off) < strings.LastIndex(out, on) {
			t.Errorf("%q is not taken back by %q", on, off)
		}
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	r := run(t)
	r.out.await(t, "Reading the bottles")
	r.cancel()
	if err := <-r.ended; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
	if out := r.out.written(); strings.LastIndex(out, "\x1b[?1049l") < strings.LastIndex(out, "\x1b[?1049h") {
		t.Error("the alternate screen was not left")
	}
}

// The Supervisor's end must not have the relay turn in a hot loop, nor end the screen.
func TestRunOutlivesTheSupervisor(t *testing.T) {
	r := run(t)
	r.show(live("a-11111", 0))
	r.out.await(t, "a-11111")
	close(r.sup.updates)
	r.press("?")
	r.out.await(t, "On the screen")
}

func TestRunApprovesARequest(t *testing.T) {
	r := run(t)
	b := live("implementer-k3x9q", time.Hour)
	b.Requests = []bottles.Request{capability(b.Identity, "r1", "a tool", after, time.Now())}
	r.show(b)
	r.out.await(t, "asks for a capability")
	r.press("a")
	r.out.await(t, "waiting for a quiet keyboard")
	r.out.awaitNot(t, "waiting for a quiet keyboard")
	r.press("y")
	r.out.await(t, "approving for")
	for deadline := time.Now().Add(20 * time.Second); len(r.sup.asked()) == 0 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond) // the note may be on the screen first
	}
	if got := r.sup.asked(); len(got) != 1 || !reflect.DeepEqual(got[0], bottles.Approve{Identity: b.Identity, Request: "r1", Shown: "sha256:r1"}) {
		t.Fatalf("asked for %v", got)
	}
	r.sup.mu.Lock()
	r.sup.dones[0] <- errors.New("the build failed: no space left on device")
	r.sup.mu.Unlock()
	r.out.await(t, "no space left on device")
}

func TestRunRefusesToStartWithoutItsParts(t *testing.T) {
	if err := Run(t.Context(), Options{}); err == nil {
		t.Error("it started without a supervisor")
	}
	if err := Run(t.Context(), Options{Supervisor: newSupervisor(), Screens: terminal.NewSet(1, 1, 1, nil), Theme: "none such"}); err == nil || !strings.Contains(err.Error(), themes.Default) {
		t.Errorf("an unknown theme: %v", err)
	}
}

// Of a flood of notices few pass, and the last one's content is not lost.
func TestRelayCoalescesTerminals(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	dirty := make(chan struct{})
	got := make(chan tea.Msg, 1000)
	var relaying sync.WaitGroup
	relaying.Go(func() { relay(ctx, func(m tea.Msg) { got <- m }, nil, dirty) })
	began := time.Now()
	for time.Since(began) < 4*relayInterval {
		dirty <- struct{}{}
	}
	took := time.Since(began)
	after := len(got)
	<-got // one came at once
	for range after {
		<-got // and one comes after the last notice
	}
	cancel()
	relaying.Wait()
	if most := int(took/relayInterval) + 1; after > most {
		t.Errorf("%d notices in %v, want at most %d", after, took, most)
	}
}
