package bottles_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"bottle-tui/bottles"
	"bottle-tui/queue"
)

// A sidecar that ends under a live agent is told, and x and r mend it.
func TestTheEndOfASidecarIsTold(t *testing.T) {
	t.Parallel()
	w, u := newWorld(t), newUpstream(t)
	w.tokens["API_TOKEN"] = secret
	w.cat.tune = func(p *bottles.Profile) { p.CA, p.Routes = u.ca, []bottles.Route{u.route("/api/", "API_TOKEN")} }
	w.run(nil)
	id := w.launch("")
	if b := w.awaitStatus(id, bottles.Live); b.Detail != "" {
		t.Errorf("a bottle that has everything: %q", b.Detail)
	}
	engineSays(t, "kill", "claude-bottle-cred-proxy-"+id)
	w.await("its end is told", func(s *bottles.Snapshot) bool {
		b, _ := find(s, id)
		return b.Status == bottles.Live && strings.Contains(b.Detail, "its cred-proxy does not run: no route leads anywhere; x and r")
	})
	if !slices.ContainsFunc(w.told(), func(a bottles.Alert) bool {
		return a.Kind == bottles.AlertFailed && a.Identity == id && strings.Contains(a.Text, "cred-proxy")
	}) {
		t.Errorf("nobody was told: %v", w.told())
	}
	w.must(bottles.TearDown{Identity: id})
	w.must(bottles.Resume{Identity: id})
	w.sup.Type(id, []byte("get http://cred-proxy:8080/api/again\n"))
	w.awaitText(id, `/api/again 200 "/again with `+letters)
	w.await("nothing is left to tell", func(s *bottles.Snapshot) bool {
		b, _ := find(s, id)
		return b.Status == bottles.Live && b.Detail == ""
	})
}

// unwritable is an engine that mounts the queue for reading only, as where its directory can't be written in the container.
type unwritable struct{ bottles.Engine }

func (u unwritable) CreateContainer(ctx context.Context, spec bottles.ContainerSpec) error {
	for i := range spec.Mounts {
		spec.Mounts[i].ReadOnly = spec.Mounts[i].Host != ""
	}
	return u.Engine.CreateContainer(ctx, spec)
}

// A bottle whose supervise can't write into the queue is not live, and whoever launched it is told what that queue is.
func TestAQueueThatSuperviseCannotWriteStopsALaunch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(func(e bottles.Engine, _ func()) bottles.Engine { return unwritable{e} })
	err := w.do(bottles.Launch{Agent: "tester"})
	for _, want := range []string{"read-only file system", "Its queue is " + filepath.Join(w.root.Dir(), "queue"), "on the file system ", "the engine at "} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the launch says nothing of %q: %v", want, err)
		}
	}
}

// A cred-proxy that has no routes is missed by nobody: when it is gone, the first route that is granted brings another.
func TestAFirstRouteBringsTheCredProxyThatIsGone(t *testing.T) {
	t.Parallel()
	w, u := newWorld(t), newUpstream(t)
	w.tokens["API_TOKEN"] = secret
	w.cat.tune = func(p *bottles.Profile) { p.CA = u.ca }
	w.run(nil)
	id := w.launch("")
	engineSays(t, "rm", "--force", "--volumes", "claude-bottle-cred-proxy-"+id)
	w.await("nothing is told of it", func(s *bottles.Snapshot) bool {
		b, _ := find(s, id)
		return b.Status == bottles.Live && b.Detail == ""
	})
	w.grantRoutes(id, 0, u.route("/api/", "API_TOKEN"))
	w.sup.Type(id, []byte("get http://cred-proxy:8080/api/first\n"))
	w.awaitText(id, `/api/first 200 "/first with `+letters)
}

// What an agent asked for is withdrawn when its container was removed while nobody looked.
func TestRequestsOfARemovedAgentAreWithdrawn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(nil)
	id := w.launch("")
	req := w.askEgress(id, "new.example.com\n")
	w.end()
	engineSays(t, "rm", "--force", "--volumes", "claude-bottle-"+id)
	w.run(nil)
	w.await("nothing waits", func(s *bottles.Snapshot) bool { b, ok := find(s, id); return ok && len(b.Requests) == 0 })
	answer := filepath.Join(w.root.QueueDir(id), "done", req.ID+".answer.json")
	deadline := time.Now().Add(patience)
	for {
		done, err := os.ReadFile(answer)
		if err == nil && strings.Contains(string(done), string(queue.Withdrawn)) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the request was answered %q, %v", done, err)
		}
		time.Sleep(5 * time.Millisecond) // between two looks, up to the deadline
	}
}
