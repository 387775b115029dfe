package scenario_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"bottle-tui/bottles"
	"bottle-tui/bottles/docker"
	"bottle-tui/queue"
	"bottle-tui/state"
	"bottle-tui/ui/scenario"
)

// benchHome is a state root for a benchmark; what it makes on the engine goes with it.
func benchHome(b *testing.B) string {
	b.Helper()
	home := filepath.Join(b.TempDir(), "home")
	b.Cleanup(func() {
		ctx := context.Background()
		root, err := state.Open(home)
		if err != nil {
			b.Fatal(err)
		}
		engine, err := docker.Open(ctx)
		if err != nil {
			b.Fatal(err)
		}
		defer engine.Close()
		if _, err := bottles.Raze(ctx, root, engine); err != nil {
			b.Error(err)
		}
	})
	return home
}

// BenchmarkRequestDrawn has an agent in one of ten bottles call capability-block, and measures from the
// moment at which the call reached supervise (the request's arrived_at) to the moment at which the screen
// shows the request: real containers, a real MCP call, a real terminal.
func BenchmarkRequestDrawn(b *testing.B) {
	home := benchHome(b)
	term := scenario.Start(b, scenario.Options{Args: []string{scenario.BuildBinary(b), "demo", "--home", home, "--agent", strings.Repeat("quiet,", 9) + "quiet"}, Cols: 140, Rows: 40})
	term.WaitText(regexp.MustCompile(`\b10 live`), 3*patience)
	// The first bottle's terminal is shown; its agent is told to ask.
	term.WaitText("waiting for you", patience)
	var took []time.Duration
	for range b.N {
		term.Press("enter")
		term.WaitText("typing", patience)
		term.Type("ask\n")
		term.WaitText("1 waits for you", patience)
		drawn := time.Now()
		request := waitingRequest(b, home)
		took = append(took, drawn.Sub(request.ArrivedAt))
		term.Press("ctrl+\\")
		term.Press("a")
		term.WaitText("n deny", patience)
		settled := regexp.MustCompile("not taken|Why not")
		for term.Press("n"); !strings.Contains(term.WaitText(settled, patience), "Why not?"); term.Press("n") {
			term.WaitGone("not taken", patience) // the keyboard has to be quiet for a moment first
		}
		term.Type("not now\n")
		term.WaitGone("waits for you", patience)
		term.WaitText("enter type", patience)
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[(len(took)*95+99)/100-1].Microseconds())/1000, "p95-ms")
	b.ReportMetric(float64(took[len(took)-1].Microseconds())/1000, "max-ms")
	term.Press("q")
	term.ExitCode(patience)
}

// waitingRequest reads the one request that lies in any queue.
func waitingRequest(b *testing.B, home string) queue.Request {
	b.Helper()
	files, err := filepath.Glob(filepath.Join(home, "queue", "*", "*.request.json"))
	if err != nil || len(files) != 1 {
		b.Fatalf("waiting requests: %v, %v", files, err)
	}
	content, err := os.ReadFile(files[0])
	if err != nil {
		b.Fatal(err)
	}
	var r queue.Request
	if err := json.Unmarshal(content, &r); err != nil {
		b.Fatal(err)
	}
	return r
}

// BenchmarkFirstFrame starts the program with 200 bottles on disk and measures from the start of the process
// to the list on the screen; no engine answers. The floor is the program's own start: its version command.
func BenchmarkFirstFrame(b *testing.B) {
	home := filepath.Join(b.TempDir(), "home")
	root, err := state.Open(home)
	if err != nil {
		b.Fatal(err)
	}
	for i := range 200 {
		_, err := root.Create(state.Metadata{AgentName: fmt.Sprintf("agent-%03d", i), CWD: "/src", StartedAt: time.Now(), SessionID: "s", EndedAt: time.Now(), EndReason: "torn down by the operator"})
		if err != nil {
			b.Fatal(err)
		}
	}
	binary := scenario.BuildBinary(b)
	env := []string{"DOCKER_HOST=unix://" + filepath.Join(b.TempDir(), "nobody.sock")}
	var frame, floor []time.Duration
	for range b.N {
		began := time.Now()
		term := scenario.Start(b, scenario.Options{Args: []string{binary, "--home", home}, Env: env, Cols: 120, Rows: 40})
		term.WaitText("200 down", patience)
		frame = append(frame, time.Since(began))
		term.Press("q")
		term.ExitCode(patience)

		began = time.Now()
		term = scenario.Start(b, scenario.Options{Args: []string{binary, "version"}, Env: env, Cols: 120, Rows: 40})
		term.ExitCode(patience)
		floor = append(floor, time.Since(began))
	}
	b.ReportMetric(float64(middle(frame).Microseconds())/1000, "first-frame-ms")
	b.ReportMetric(float64(middle(floor).Microseconds())/1000, "version-ms")
}

func middle(d []time.Duration) time.Duration {
	d = slices.Sorted(slices.Values(d))
	return d[len(d)/2]
}

// BenchmarkIdle lets five bottles whose agents wait for the operator stay on the screen, and reads from the
// kernel what the program uses meanwhile: processor time as a share of one core, and resident memory.
func BenchmarkIdle(b *testing.B) {
	const span = 20 * time.Second
	home := benchHome(b)
	term := scenario.Start(b, scenario.Options{Args: []string{scenario.BuildBinary(b), "demo", "--home", home, "--agent", "quiet,quiet,quiet,quiet,quiet"}, Cols: 140, Rows: 40})
	term.WaitText(regexp.MustCompile(`\b5 live`), 3*patience)
	term.WaitText("waiting for you", patience)
	time.Sleep(5 * time.Second) // until the launch has settled
	var share float64
	for range b.N {
		before := ticks(b, term.Pid())
		time.Sleep(span) // what is measured is what happens while nothing does
		share = float64(ticks(b, term.Pid())-before) / 100 / span.Seconds()
	}
	b.ReportMetric(100*share, "%core")
	b.ReportMetric(resident(b, term.Pid()), "RSS-MiB")
	term.Press("q")
	term.ExitCode(patience)
}

// ticks is the processor time that a process has used, in 1/100 s (proc(5), stat, fields 14 and 15).
func ticks(b testing.TB, pid int) (sum int) {
	b.Helper()
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(content), ") ")
	for _, f := range strings.Fields(rest)[11:13] {
		n, err := strconv.Atoi(f)
		if err != nil {
			b.Fatal(err)
		}
		sum += n
	}
	return sum
}

// resident is a process's resident memory in MiB.
func resident(b testing.TB, pid int) float64 { b.Helper(); return memory(b, pid, "VmRSS:") }

// memory is one of a process's figures about memory in MiB (proc(5), status, in kB).
func memory(b testing.TB, pid int, figure string) float64 {
	b.Helper()
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(content), figure)
	n, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
	if err != nil {
		b.Fatal(err)
	}
	return n / 1024
}
