package scenario_test

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"bottle-tui/bottles"
	"bottle-tui/bottles/docker"
	"bottle-tui/sidecars"
	"bottle-tui/state"
	"bottle-tui/ui/scenario"
)

// What weeks of use leave behind.
const (
	weeksAudit = 250 << 20 // bytes of the audit log of one bottle
	weeksLog   = 16 << 20  // bytes of the log of one gate of each bottle: what the engine keeps at most
)

// BenchmarkWeeks starts the program on eight live bottles with four sidecars each, and reads from the kernel what the
// start and the minute after it use: as the bottles are, and then with weeks of use behind them: an audit log of 250 MB
// on one, and a full log of one gate on each. Each gate has its turn, and all are together at last. The engine's answers
// about logs are completed by a proxy, which keeps to what a caller asks of them.
func BenchmarkWeeks(b *testing.B) {
	w := newWeeks(b)
	gates := []bottles.Role{bottles.RoleEgress, bottles.RoleCredProxy, bottles.RoleGitGate, bottles.RoleSupervise}
	for range b.N {
		clear(w.proxy.logs)
		w.starts("none", true)
		w.fillAudit(w.ids[0])
		w.starts("audit", false)
		for _, gate := range gates {
			w.fillLogs(gate)
			w.starts(string(gate), false)
		}
		for i, id := range w.ids {
			w.fillLog(id, gates[i%len(gates)])
		}
		w.starts("mixed", true)
	}
}

// weeks is eight live bottles on the real engine.
type weeks struct {
	b        *testing.B
	binary   string
	home     string
	manifest string
	root     *state.Root
	proxy    *proxy
	ids      []string
}

const weeksImage = "bottle-tui-scenario-weeks:1"

func newWeeks(b *testing.B) *weeks {
	b.Helper()
	b.Cleanup(func() { _ = exec.Command("docker", "image", "rm", weeksImage).Run() })
	w := &weeks{b: b, binary: scenario.BuildBinary(b), home: benchHome(b), proxy: newProxy(b)}
	dir := b.TempDir()
	w.manifest = filepath.Join(dir, "claude-bottle.json")
	engine, err := docker.Open(b.Context())
	w.must(err)
	defer engine.Close()
	w.importAgent(engine)
	upstream := httptest.NewServer(http.NotFoundHandler()) // is asked for nothing
	b.Cleanup(upstream.Close)
	content, err := json.Marshal(map[string]any{
		"bottles": map[string]any{"dev": map[string]any{
			"supervise": true, "image": map[string]any{"dockerfile": "./Dockerfile"}, "build_network": "none",
			"egress": map[string]any{"allow": []string{"example.com"}},
			"git":    []map[string]any{{"name": "docs", "upstream": "https://example.com/docs.git", "token_ref": "cmd:echo token"}},
		}},
		"agents": map[string]any{"weekly": map[string]any{"bottle": "dev", "command": []string{"/agent"}, "session": "claude-code"}},
	})
	w.must(err)
	w.must(os.WriteFile(w.manifest, content, 0o600))
	w.must(os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("FROM "+weeksImage+"\nUSER 1000:1000\n"), 0o600))
	for range 8 {
		cmd := exec.CommandContext(b.Context(), w.binary, "start", "weekly", "--yes", "--manifest", w.manifest, "--home", w.home)
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("start: %v: %s", err, out)
		}
	}
	w.root, err = state.Open(w.home)
	w.must(err)
	all, _ := w.root.List()
	for _, bottle := range all {
		w.ids = append(w.ids, bottle.Identity())
	}
	if len(w.ids) != 8 {
		b.Fatalf("there are %d bottles", len(w.ids))
	}
	w.proxy.comes()
	return w
}

func (w *weeks) must(err error) {
	w.b.Helper()
	if err != nil {
		w.b.Fatal(err)
	}
}

// importAgent makes the image with the stand-in agent.
func (w *weeks) importAgent(engine *docker.Engine) {
	w.b.Helper()
	agent, err := os.ReadFile(scenario.Build(w.b, "bottles/testdata/agent"))
	w.must(err)
	var layer bytes.Buffer
	t := tar.NewWriter(&layer)
	for _, dir := range []string{"home/agent/.claude/", "workspace/"} {
		w.must(t.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o755, Uid: 1000, Gid: 1000}))
	}
	w.must(t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "agent", Mode: 0o755, Size: int64(len(agent))}))
	_, err = t.Write(agent)
	w.must(err)
	w.must(t.Close())
	_, err = engine.Import(w.b.Context(), weeksImage, &layer, bottles.ImageConfig{})
	w.must(err)
}

// fillAudit enters summaries into the audit log of a bottle until it has as many bytes as weeks of use make.
func (w *weeks) fillAudit(identity string) {
	w.b.Helper()
	log, now := w.root.Audit(identity), time.Now().UTC()
	var facts bottles.GateFacts
	for i := range 2000 {
		facts.Passages = append(facts.Passages, bottles.Passage{Gate: bottles.RoleEgress, Verdict: bottles.Refused, What: fmt.Sprintf("host-%d.example:443", i), Via: "connect", Why: "no rule names it", Count: 3, First: now, Last: now})
	}
	facts.Until = now
	for size := int64(0); size < weeksAudit; {
		w.must(log.Append("gates", facts))
		var err error
		size, err = log.Size()
		w.must(err)
	}
}

// fillLogs gives a gate of each bottle a full log, and no other gate one.
func (w *weeks) fillLogs(gate bottles.Role) {
	w.b.Helper()
	clear(w.proxy.logs)
	for _, id := range w.ids {
		w.fillLog(id, gate)
	}
}

// fillLog gives a gate of a bottle a full log of what it has told up to now, all of which the audit log has.
func (w *weeks) fillLog(identity string, gate bottles.Role) {
	w.b.Helper()
	begin := time.Now().UTC().Add(-2 * time.Hour)
	var lines [][]byte
	for i, size := 0, 0; size < weeksLog; i++ {
		line, err := json.Marshal(told(gate, i, begin.Add(time.Duration(i)*time.Microsecond)))
		w.must(err)
		lines = append(lines, append(line, '\n'))
		size += len(line) + len(`{"log":"\n","stream":"stdout","time":"2026-12-01T04:00:00.123456789Z"}`) + bytes.Count(line, []byte(`"`))
	}
	until := begin.Add(time.Duration(len(lines)) * time.Microsecond)
	w.must(w.root.Audit(identity).Append("gates", bottles.GateFacts{Until: until, Untils: map[bottles.Role]time.Time{gate: until}}))
	w.proxy.logs["claude-bottle-"+string(gate)+"-"+identity] = lines
}

// told is the i-th line of a busy gate.
func told(gate bottles.Role, i int, at time.Time) sidecars.Line {
	l := sidecars.Line{At: at, Event: sidecars.EventRefuse}
	switch gate {
	case bottles.RoleEgress:
		l.Host, l.Port, l.Via, l.Cause, l.Reason = fmt.Sprintf("host-%d.example", i%500), 443, "connect", sidecars.CauseUnlisted, "no rule names it"
	case bottles.RoleCredProxy:
		l.Route, l.Via, l.Status, l.Reason = fmt.Sprintf("/route-%d/", i%500), "route", 404, "no route has this path"
	case bottles.RoleGitGate:
		switch i % 100 {
		case 0:
			l.Event, l.ID, l.Push = sidecars.EventPushWaits, fmt.Sprint("PUSH", i), &sidecars.Push{Refs: []sidecars.PushRef{{Ref: "refs/heads/main"}}, Diff: strings.Repeat("+ a line of the change\n", 100)}
		case 1:
			l.Event, l.ID, l.Decision = sidecars.EventDelivered, fmt.Sprint("PUSH", i-1), "approved"
		}
		l.Remote, l.Via, l.Refs, l.Reason = "docs", "http", []string{fmt.Sprintf("refs/heads/topic-%d", i%500)}, "the remote allows no such ref"
	case bottles.RoleSupervise:
		l.Event, l.ID = [...]sidecars.Event{sidecars.EventRequest, sidecars.EventDelivered}[i%2], fmt.Sprintf("20261201T0400%012d", i/2)
	}
	return l
}

// starts starts the program some times, and reports what a start uses and, with quiet, the minute after it.
func (w *weeks) starts(name string, quiet bool) {
	w.b.Helper()
	const rounds = 3
	var cpu, rss, peak, list []float64
	minute := 0.0
	for range rounds {
		began := time.Now()
		term := scenario.Start(w.b, scenario.Options{
			Args: []string{w.binary, "--home", w.home, "--manifest", w.manifest}, Env: []string{w.proxy.env()}, Cols: 140, Rows: 40,
		})
		term.WaitText(regexp.MustCompile(`\b8 live`), 3*patience)
		list = append(list, time.Since(began).Seconds())
		time.Sleep(5 * time.Second) // until what the start began has settled
		used := ticks(w.b, term.Pid())
		cpu = append(cpu, float64(used)/100)
		rss, peak = append(rss, resident(w.b, term.Pid())), append(peak, memory(w.b, term.Pid(), "VmHWM:"))
		if quiet && len(cpu) == rounds {
			time.Sleep(time.Minute) // what is measured is what happens while nothing does
			minute = float64(ticks(w.b, term.Pid())-used) / 100
		}
		term.Press("q")
		term.ExitCode(patience)
	}
	w.b.Logf("%-11s start: %.2f CPU s (of %.2f), list after %.2f s, RSS %.1f MiB (peak %.1f); quiet minute: %.2f CPU s", name, slices.Min(cpu), cpu, slices.Min(list), slices.Min(rss), slices.Max(peak), minute)
	w.b.ReportMetric(slices.Min(cpu), name+"-start-cpu-s")
	w.b.ReportMetric(slices.Min(rss), name+"-RSS-MiB")
	if quiet {
		w.b.ReportMetric(minute, name+"-minute-cpu-s")
	}
}

var logsPath = regexp.MustCompile(`/containers/([^/]+)/logs$`)

// serveLog answers for a container that has told more than the engine knows: first what the engine has, then that. It is
// false where there is no such log.
func (p *proxy) serveLog(w http.ResponseWriter, r *http.Request) bool {
	m := logsPath.FindStringSubmatch(r.URL.Path)
	if m == nil || p.logs[m[1]] == nil {
		return false
	}
	query := r.URL.Query()
	follow := query.Get("follow") == "1"
	tail, err := strconv.Atoi(query.Get("tail"))
	if err != nil {
		tail = -1
	}
	ask := func(w http.ResponseWriter, set url.Values) {
		q := r.URL.Query()
		for k, v := range set {
			q[k] = v
		}
		to := r.Clone(r.Context())
		to.URL.RawQuery = q.Encode()
		p.upstream.ServeHTTP(w, to)
	}
	own := httptest.NewRecorder()
	ask(own, url.Values{"follow": {"0"}, "tail": {"all"}})
	frames := framesOf(own.Body.Bytes())
	for _, line := range p.logs[m[1]] {
		frames = append(frames, append(binary.BigEndian.AppendUint32([]byte{1, 0, 0, 0}, uint32(len(line))), line...))
	}
	if tail >= 0 {
		frames = frames[max(0, len(frames)-tail):]
	}
	w.Header().Set("Content-Type", "application/vnd.docker.multiplexed-stream")
	for _, f := range frames {
		if _, err := w.Write(f); err != nil {
			return true // the program has enough
		}
	}
	if follow {
		_ = http.NewResponseController(w).Flush()
		ask(headless{w}, url.Values{"tail": {"0"}})
	}
	return true
}

// headless is the rest of an answer whose head was sent.
type headless struct{ http.ResponseWriter }

func (headless) Header() http.Header           { return http.Header{} }
func (headless) WriteHeader(int)               {}
func (h headless) Flush()                      { _ = http.NewResponseController(h.ResponseWriter).Flush() }
func (h headless) Unwrap() http.ResponseWriter { return h.ResponseWriter }

func framesOf(body []byte) (frames [][]byte) {
	for len(body) >= 8 {
		n := min(8+int(binary.BigEndian.Uint32(body[4:8])), len(body))
		frames, body = append(frames, body[:n:n]), body[n:]
	}
	return frames
}
