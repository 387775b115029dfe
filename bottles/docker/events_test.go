package docker_test

import (
	"context"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"testing"
	"time"

	"bottle-tui/bottles"
	"bottle-tui/bottles/docker"
)

// next is the next event, or false when the channel is closed.
func next(t *testing.T, events <-chan bottles.Event) (bottles.Event, bool) {
	t.Helper()
	select {
	case ev, ok := <-events:
		return ev, ok
	case <-time.After(20 * time.Second):
		t.Fatal("waited in vain for an event")
		return bottles.Event{}, false
	}
}

func TestEventsTellOfOwnContainersOnly(t *testing.T) {
	r := newRig(t)
	ctx, cancel := context.WithCancel(r.ctx)
	events, err := r.Events(ctx, r.root)
	r.ok(err)
	foreign := r.spec("foreign", "wait")
	foreign.Labels = map[string]string{bottles.LabelRoot: r.root + "x"}
	r.ok(r.CreateContainer(r.ctx, foreign))
	r.ok(r.RemoveContainer(r.ctx, foreign.Name))
	spec := r.spec("c", "exit", "7")
	spec.Labels[bottles.LabelIdentity] = "implementer-k3x9q"
	r.start(spec)
	r.ended(spec.Name)
	r.ok(r.raw.ContainerRename(r.ctx, spec.Name, r.name("d")))
	r.ok(r.RemoveContainer(r.ctx, r.name("d")))
	var got []string
	for len(got) < 5 {
		ev, ok := next(t, events)
		if !ok {
			t.Fatalf("the stream ended after %v", got)
		}
		if !maps.Equal(ev.Labels, spec.Labels) {
			t.Errorf("%s with the labels %v", ev.Action, ev.Labels)
		}
		got = append(got, fmt.Sprint(ev.Action, " ", ev.Container, " ", ev.ExitCode))
	}
	want := []string{"create " + spec.Name + " 0", "start " + spec.Name + " 0", "die " + spec.Name + " 7",
		"rename " + r.name("d") + " 0", "destroy " + r.name("d") + " 0"}
	if !slices.Equal(got, want) {
		t.Errorf("events %q, want %q", got, want)
	}
	cancel()
	if ev, ok := next(t, events); ok {
		t.Errorf("after the end: %+v", ev)
	}
}

// An event of the moment after Events returned is never missed.
func TestEventsAreThereAtOnce(t *testing.T) {
	r := newRig(t)
	for i := range 10 {
		ctx, cancel := context.WithCancel(r.ctx)
		events, err := r.Events(ctx, r.root)
		r.ok(err)
		spec := r.spec(fmt.Sprint(i), "wait")
		r.ok(r.CreateContainer(r.ctx, spec))
		for {
			ev, ok := next(t, events)
			if !ok {
				t.Fatal("the stream ended")
			}
			if ev.Action == "create" && ev.Container == spec.Name {
				break
			}
		}
		cancel()
	}
}

// The stream breaks (a proxy between this program and the engine goes away): the channel is closed,
// the next call says that nobody answers, and when one answers again, all is well.
func TestEventsCloseWhenTheEngineGoesAndComeBackWithIt(t *testing.T) {
	r := newRig(t)
	p := newProxy(t)
	t.Setenv("DOCKER_HOST", "unix://"+p.path)
	e, err := docker.Open(r.ctx)
	r.ok(err)
	defer e.Close()
	events, err := e.Events(r.ctx, r.root)
	r.ok(err)
	p.down()
	if ev, ok := next(t, events); ok {
		t.Errorf("%+v from an engine that is gone", ev)
	}
	_, err = e.Observe(r.ctx, r.root)
	wantErr(t, err, bottles.ErrUnavailable, p.path, "is dockerd installed and running?")
	_, err = e.Events(r.ctx, r.root)
	wantErr(t, err, bottles.ErrUnavailable, p.path)
	p.up()
	ctx, cancel := context.WithCancel(r.ctx)
	events, err = e.Events(ctx, r.root)
	r.ok(err)
	r.ok(r.CreateContainer(r.ctx, r.spec("c", "wait")))
	if ev, ok := next(t, events); !ok || ev.Action != "create" {
		t.Errorf("%+v, %v", ev, ok)
	}
	cancel()
	for range events {
	}
}

// proxy passes connections on to the engine, until it is taken down.
type proxy struct {
	t     *testing.T
	path  string
	stop  context.CancelFunc
	ended chan struct{}
}

func newProxy(t *testing.T) *proxy {
	dir, err := os.MkdirTemp("", "bt")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{t: t, path: dir + "/s"}
	t.Cleanup(func() { p.down(); _ = os.RemoveAll(dir) })
	p.up()
	return p
}

func (p *proxy) up() {
	l, err := net.Listen("unix", p.path)
	if err != nil {
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.stop, p.ended = cancel, make(chan struct{})
	go func(ended chan struct{}) {
		defer close(ended)
		relayAll(ctx, l)
	}(p.ended)
}

func (p *proxy) down() {
	p.stop()
	<-p.ended
}
