package scenario_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"bottle-tui/bottles"
)

var hour = flag.Duration("hour", time.Hour, "how long BenchmarkHour uses the program; what it does becomes less with it")

// What an operator and eight agents do in an hour.
const (
	hourRebuilds = 30
	hourRefusals = 1000
	hourResizes  = 80
	netRefusals  = 2 // of one command net of a demo's agent: by the proxy; a name that is looked up is another
)

// BenchmarkHour uses the program for an hour: eight bottles, whose agents are refused a thousand requests and ask for 30
// capabilities, which are approved, in a window that changes its size 80 times. It reads the resident memory each 10
// seconds, and reports its slope after the first quarter. Then all bottles are deleted, and it reports what the engine holds.
func BenchmarkHour(b *testing.B) {
	for range b.N {
		h := &hourOf{b: b, stage: newStage(b), began: time.Now()}
		h.binary = h.copied(h.binary)
		h.op = h.demo(slices.Repeat([]string{"quiet"}, 8)...)
		h.ids = h.op.seesLive(8, "quiet")
		h.use()
		h.report()
		h.deleteAll()
	}
}

type hourOf struct {
	*stage
	b       *testing.B
	op      *operator
	ids     []string
	began   time.Time
	samples []sample
	next    int // the bottle whose turn it is
}

// sample is what the program used at a time.
type sample struct {
	at    time.Duration
	rss   float64 // MiB
	ticks int
}

// copied is the program where no test that builds another one removes it.
func (h *hourOf) copied(binary string) string {
	h.b.Helper()
	content, err := os.ReadFile(binary)
	h.must(err)
	path := filepath.Join(h.b.TempDir(), filepath.Base(binary))
	h.must(os.WriteFile(path, content, 0o755))
	return path
}

// use does what is due, until the hour is over.
func (h *hourOf) use() {
	h.b.Helper()
	scale := min(1, hour.Seconds()/time.Hour.Seconds())
	due := func(n float64) int { return int(n*scale*time.Since(h.began).Seconds()/hour.Seconds() + 1) }
	nets, rebuilds, resizes := 0, 0, 0
	sizes := []size{usual, {200, 70}, {130, 50}, {240, 60}, {120, 55}}
	h.began = time.Now()
	for time.Since(h.began) < *hour {
		h.sample()
		id := h.ids[h.next%len(h.ids)]
		switch {
		case rebuilds < due(hourRebuilds):
			rebuilds++
			h.rebuild(id)
		case resizes < due(hourResizes):
			resizes++
			at := sizes[resizes%len(sizes)]
			h.op.Resize(at.cols, at.rows)
			continue
		case nets < due(hourRefusals/netRefusals):
			nets++
			h.op.types(id, [2]string{"net", "❯ net"})
		default:
			time.Sleep(200 * time.Millisecond) // nothing is due
			continue
		}
		h.next++
	}
	h.b.Logf("%d rebuilds, %d resizes, %d refusals in %v", rebuilds, resizes, h.refusals(), time.Since(h.began).Round(time.Second))
}

// sample reads what the program uses, each ten seconds.
func (h *hourOf) sample() {
	h.b.Helper()
	at := time.Since(h.began)
	if n := len(h.samples); n > 0 && at < h.samples[n-1].at+10*time.Second {
		return
	}
	h.samples = append(h.samples, sample{at, resident(h.b, h.op.Pid()), ticks(h.b, h.op.Pid())})
}

// rebuild has an agent ask for a capability, and approves it.
func (h *hourOf) rebuild(id string) {
	h.b.Helper()
	was := h.onEngine(id).containers[bottles.RoleAgent].ID
	h.op.types(id, [2]string{"ask", "❯ ask"})
	h.op.sees(" waits for you")
	h.op.reviewsThatOf(id)
	h.op.approves()
	h.eventually(id+" runs on its new image", func() bool {
		c := h.onEngine(id).containers[bottles.RoleAgent]
		h.sample()
		return c.ID != was && c.State == bottles.StateRunning
	})
	h.op.seesNoMore(" waits for you")
	h.op.Press("1", "esc")
}

// refusals are those that the audit logs have.
func (h *hourOf) refusals() (n int) {
	h.b.Helper()
	for _, id := range h.ids {
		entries, err := h.root.Audit(id).Entries(0)
		h.must(err)
		for _, e := range entries {
			var facts bottles.GateFacts
			if e.Kind != "gates" || json.Unmarshal(e.Data, &facts) != nil {
				continue
			}
			n += facts.More
			for _, p := range facts.Passages {
				n += p.Count
			}
		}
	}
	return n
}

func (h *hourOf) report() {
	h.b.Helper()
	for i, s := range h.samples {
		if i%6 == 0 {
			h.b.Logf("after %4.0f s: RSS %.1f MiB, %.2f CPU s", s.at.Seconds(), s.rss, float64(s.ticks)/100)
		}
	}
	rest := slices.DeleteFunc(slices.Clone(h.samples), func(s sample) bool { return s.at < *hour/4 })
	h.b.ReportMetric(slope(rest), "MiB/h")
	last := h.samples[len(h.samples)-1]
	h.b.ReportMetric(last.rss, "RSS-MiB")
	h.b.ReportMetric(float64(last.ticks)/last.at.Seconds(), "%core")
}

// slope is how much the memory grows in an hour, by least squares.
func slope(all []sample) float64 {
	var t, y, tt, ty float64
	for _, s := range all {
		x := s.at.Hours()
		t, y, tt, ty = t+x, y+s.rss, tt+x*x, ty+x*s.rss
	}
	n := float64(len(all))
	return (n*ty - t*y) / (n*tt - t*t)
}

// deleteAll deletes all bottles as an operator does, cleans up, and reports what is left on the engine.
func (h *hourOf) deleteAll() {
	h.b.Helper()
	h.op.Resize(usual.cols, usual.rows)
	for _, id := range h.ids {
		h.op.tearsDown(id)
		h.op.Press("D")
		h.op.sees("Nothing brings it back")
		h.op.Type(id + "\n")
		h.op.seesDone(id, "is gone", id+" is deleted")
	}
	h.op.quits()
	h.b.Logf("cleanup says: %s", h.says("cleanup", "--yes"))
	// Other tests on this engine may be about to use what no bottle of theirs uses yet: nothing is removed here.
	h.b.Logf("cleanup --images says: %s", h.says("cleanup", "--images", "--dry-run"))
	have, err := h.engine.Observe(h.b.Context(), h.root.ID())
	h.must(err)
	h.b.Logf("left: %d containers, %d networks, %d volumes", len(have.Containers), len(have.Networks), len(have.Volumes))
	images, err := exec.CommandContext(h.b.Context(), "docker", "images", "--all", "--filter", "label="+bottles.LabelRoot+"="+h.root.ID(), "--format", "{{.Repository}}:{{.Tag}} {{.ID}} {{.Size}}").CombinedOutput()
	h.must(err)
	h.b.Logf("left of images: %s", strings.TrimSpace(fmt.Sprintf("%q", strings.Split(strings.TrimSpace(string(images)), "\n"))))
	if len(have.Containers)+len(have.Networks)+len(have.Volumes) > 0 {
		h.b.Error("the engine holds something of the bottles")
	}
}
