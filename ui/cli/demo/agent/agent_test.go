package agent_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"bottle-tui/bottles/dockerfile"
	"bottle-tui/queue"
	"bottle-tui/ui/cli/demo/agent"
)

const capability = "mcp__supervise__capability-block"

func TestCounterAsksAndUsesWhatItGot(t *testing.T) {
	b := newBottle(t)
	p := b.start(agent.Counter, "--session-id", session, "--dangerously-skip-permissions", "--", "Count", "it")
	c := b.server.called()
	p.sees("❯ Count it", "tally: not found", "the operator was asked")
	if p.title() == "" || strings.HasPrefix(p.title(), "✳") {
		t.Errorf("the title while it waits is %q", p.title())
	}
	if c.Justification != agent.CounterReason || c.Dockerfile != string(agent.ProposeTally([]byte(inForce))) || !strings.HasPrefix(c.CurrentHash, "sha256:") || !strings.HasPrefix(c.toolUse, "toolu_") {
		t.Errorf("asked %+v", c)
	}
	if found := dockerfile.Check([]byte(inForce), []byte(c.Dockerfile)); len(found) > 0 {
		t.Errorf("what it proposes is found fault with: %v", found)
	}

	// Waiting does not block typing.
	p.types("status\r")
	p.sees("❯ status", "waiting")
	c.progress("the operator is reading")
	p.sees("the operator is reading")

	c.answer <- reply{"Approved. The operator has accepted your Dockerfile.\n\nThe operator's note: go ahead", false}
	p.sees("go ahead", "new image and go on there")
	eventually(t, "the title says idle", func() bool { return p.title() == "✳ counter" })
	p.terminate()
	if _, results := b.uses(capability); len(results) != 1 || !strings.Contains(results[0], "go ahead") {
		t.Errorf("the transcript holds the results %q", results)
	}

	before := len(b.lines())
	b.bring()
	p = b.start(agent.Counter, "--resume", session, "--", "You run on the new image: go on.")
	p.sees("tally: not found", "go ahead", "❯ You run on the new image", "csv", "tally works now")
	p.terminate()
	if after := len(b.lines()); after <= before {
		t.Errorf("%d lines became %d", before, after)
	}
	if inputs, _ := b.uses(capability); len(inputs) != 1 {
		t.Errorf("it asked %d times", len(inputs))
	}
}

func TestCounterIsDenied(t *testing.T) {
	b := newBottle(t)
	p := b.start(agent.Counter, "--session-id", session)
	b.server.called().answer <- reply{"Denied. Nothing was changed.\n\nThe operator's reason: count by hand, please; nothing is approved", false}
	p.sees("count by hand, please", "I accept that and do without", "files in")
	p.terminate()
	p = b.start(agent.Counter, "--resume", session, "--", "Go on.")
	p.sees("count by hand, please", "❯ Go on.", "denied what I asked for")
	p.terminate()
}

func TestCounterGetsAnEditedVersion(t *testing.T) {
	b := newBottle(t)
	p := b.start(agent.Counter, "--session-id", session)
	b.server.called().answer <- reply{"Approved with edits. The difference between what you asked for and what you get:\n\n@@ -3,4 +3,3 @@\n USER 0:0\n-RUN [\"/bin/bottle-tui\", \"demo-install\", \"--check\", \"tally\"]\n+# no check is needed\n", false}
	p.sees("+# no check is needed", "-RUN [\"/bin/bottle-tui\", \"demo-install\", \"--check\"", "with changes of their own")
	p.terminate()
}

func TestRefusalIsShown(t *testing.T) {
	b := newBottle(t)
	p := b.start(agent.Counter, "--session-id", session)
	b.server.called().answer <- reply{"current_hash is not the one in force: read the Dockerfile again", true}
	p.sees("read the Dockerfile again", "Type ask")
	p.types("ask\r")
	b.server.called().answer <- reply{"Approved.", false}
	p.sees("new image and go on there")
	p.terminate()
}

func TestRecklessGivesReasonsToDeny(t *testing.T) {
	b := newBottle(t)
	p := b.start(agent.Reckless, "--session-id", session, "--", "Deploy.")
	c := b.server.called()
	rules := map[string]bool{}
	for _, f := range dockerfile.Check([]byte(inForce), []byte(c.Dockerfile)) {
		if f.Severity == dockerfile.Danger {
			rules[f.Rule] = true
		}
	}
	for _, rule := range []string{"base-changed", "pipe-to-shell", "user-root", "secret"} {
		if !rules[rule] {
			t.Errorf("no %s in\n%s", rule, c.Dockerfile)
		}
	}
	c.answer <- reply{"Denied. Not with a token in the image", false}
	p.sees("Not with a token in the image", "I leave the deployment alone")
	p.terminate()
}

func TestCutCallIsMadeAgain(t *testing.T) {
	b := newBottle(t)
	p := b.start(agent.Counter, "--session-id", session)
	first := b.server.called()
	b.server.cut()
	p.sees("the call was cut")
	b.server.listen()
	second := b.server.called()
	if first.Dockerfile != second.Dockerfile || first.Justification != second.Justification {
		t.Errorf("asked for\n%s\nthen for\n%s", first.Dockerfile, second.Dockerfile)
	}
	p.sees("I ask again, with the same proposal")
	second.answer <- reply{"Approved.", false}
	p.sees("new image and go on there")
	p.terminate()
	_, results := b.uses(capability)
	for i, r := range results {
		if i < len(results)-1 && !strings.HasPrefix(r, "the call was cut") || r == "" {
			t.Errorf("result %d is %q", i, r)
		}
	}
}

func TestRestartedSuperviseIsAskedAgain(t *testing.T) {
	b := newBottle(t)
	p := b.start(agent.Counter, "--session-id", session)
	first := b.server.called()
	first.answer <- reply{"The supervise server is being restarted. Call capability-block again with the same dockerfile.", true}
	second := b.server.called()
	if first.Dockerfile != second.Dockerfile {
		t.Errorf("asked for\n%s\nthen for\n%s", first.Dockerfile, second.Dockerfile)
	}
	second.answer <- reply{"Withdrawn. The request was taken back.", false}
	p.sees("the request is withdrawn")
	p.terminate()
}

// With the real sidecar and the real queue: what the agent says and what it is told fit together.
func TestWithRealSupervise(t *testing.T) {
	b := newBottle(t)
	operator := b.realSupervise()
	p := b.start(agent.Counter, "--session-id", session)
	r := operator.request()
	if r.Proposed != string(agent.ProposeTally([]byte(inForce))) || r.Justification != agent.CounterReason || !strings.HasPrefix(r.ToolUseID, "toolu_") {
		t.Errorf("requested %+v", r)
	}
	p.sees("◐ waiting for the operator")
	operator.answer(queue.Answer{Request: r.ID, Decision: queue.Edited, Content: r.Proposed + "# edited\n", Note: "smaller"})
	p.sees("+# edited", "smaller", "with changes of their own")
	p.types("ask\r")
	r = operator.request()
	operator.answer(queue.Answer{Request: r.ID, Decision: queue.Denied, Note: "enough now"})
	p.sees("enough now", "I accept that and do without")
	p.terminate()
}

func TestKilledWhileItWaits(t *testing.T) {
	b := newBottle(t)
	p := b.start(agent.Counter, "--session-id", session)
	first := b.server.called()
	p.sees("the operator was asked")
	p.cmd.Process.Kill()
	p.ends()
	// As if the kill had come in the middle of a line.
	f, err := os.OpenFile(b.transcript(), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"type":"assistant","mess`); err != nil {
		t.Fatal(err)
	}
	f.Close()

	p = b.start(agent.Counter, "--resume", session, "--", "You were killed. Go on.")
	second := b.server.called()
	if first.Dockerfile != second.Dockerfile {
		t.Errorf("asked for\n%s\nthen for\n%s", first.Dockerfile, second.Dockerfile)
	}
	p.sees("❯ You were killed", "I ask again for the")
	p.terminate()
	if _, results := b.uses(capability); len(results) != 2 || results[0] != "" || results[1] != "" {
		t.Errorf("results %q", results)
	}
}

func TestSessions(t *testing.T) {
	b := newBottle(t)
	p := b.start(agent.Quiet, "--resume", session)
	if code := p.ends(); code != 1 {
		t.Errorf("exit code %d", code)
	}
	p.sees("no conversation found with session ID: " + session)

	p = b.start(agent.Quiet, "--session-id", session)
	p.sees("wait for you", "wrote 1 lines")
	p.terminate()
	p = b.start(agent.Quiet, "--session-id", session)
	if code := p.ends(); code != 1 {
		t.Errorf("exit code %d", code)
	}
	p.sees("is already in use")

	p = b.start(agent.Quiet, "--session-id", "../../x")
	if code := p.ends(); code != 2 {
		t.Errorf("exit code %d", code)
	}
	p.sees("not a UUID")

	lines := len(b.lines())
	p = b.start(agent.Quiet, "--resume="+session)
	p.sees("wrote 1 lines", "resumed")
	eventually(t, "the title says idle", func() bool { return p.title() == "✳ quiet" })
	p.terminate()
	if got := len(b.lines()); got != lines {
		t.Errorf("a resume without a message wrote %d lines", got-lines)
	}
}

func TestQuietIsIdle(t *testing.T) {
	b := newBottle(t)
	p := b.start(agent.Quiet, "--session-id", session)
	p.sees("waiting for you")
	eventually(t, "the title says idle", func() bool { return p.title() == "✳ quiet" })
	used := func() string {
		stat, err := os.ReadFile(filepath.Join("/proc", itoa(p.cmd.Process.Pid), "stat"))
		if err != nil {
			t.Fatal(err)
		}
		fields := strings.Fields(string(stat)[strings.LastIndex(string(stat), ")"):])
		return fields[12] + " " + fields[13] // ticks of 10 ms, of the user's and the system's
	}
	eventually(t, "it uses no tick and prints nothing for a second", func() bool { // it may still be settling
		ticks, printed := used(), p.printed()
		time.Sleep(time.Second) // idleness is what is measured
		return used() == ticks && p.printed() == printed
	})
	p.types("\x04")
	if code := p.ends(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func itoa(n int) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + string(rune('0'+n%10))
}

func TestSteadyGoesOn(t *testing.T) {
	b := newBottle(t)
	p := b.start(agent.Steady, "--session-id", session)
	p.sees("package 3 ")
	p.types("hello\r")
	p.sees("I am the demo agent")
	p.terminate()
	b.lines()
}

func TestTypedCommands(t *testing.T) {
	b := newBottle(t)
	p := b.start(agent.Quiet, "--session-id", session)
	p.sees("waiting for you")
	p.types("junk\x15helq\x7fp\r") // ctrl-u, backspace
	p.sees("❯ help", "ask the operator")
	p.types("write a/b.txt grüße ✓\r")
	p.sees("wrote 1 lines")
	p.types("cat a/b.txt\rls a\r")
	p.sees("● grüße ✓", "b.txt")
	p.types("cat ../../../../etc/passwd\r")
	p.sees("escapes")
	p.types("try\r")
	p.sees("tally: not found")
	p.types("\x1b[200~two\rlines\x1b[201~\x1b[D\x1b[D\x7f\x7f\r")
	p.sees("❯ two les", "Noted")
	p.types("\x1b[A\x1b[A\r") // the line before the last, again
	eventually(t, "try runs again", func() bool { _, results := b.uses("Bash"); return len(results) == 2 })
	p.types("nothing\x03")
	p.sees("ctrl-c again ends the agent")
	p.types("what is next?\r")
	p.sees("no model is behind me")
	p.types("exit\r")
	if code := p.ends(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if content, err := os.ReadFile(filepath.Join(b.work, "a/b.txt")); err != nil || string(content) != "grüße ✓\n" {
		t.Errorf("wrote %q, %v", content, err)
	}
	var typed []string
	for _, l := range b.lines() {
		if l.Type == "user" && l.Message.Content[0] == '"' {
			typed = append(typed, string(l.Message.Content))
		}
	}
	if len(typed) < 7 || typed[0] != `"help"` {
		t.Errorf("the transcript holds %q", typed)
	}
}

func TestNetShowsRefusals(t *testing.T) {
	b := newBottle(t)
	t.Setenv("HTTPS_PROXY", "")
	p := b.start(agent.Quiet, "--session-id", session)
	p.sees("waiting for you")
	p.types("net\r")
	p.types("typed meanwhile")
	p.sees("❯ typed meanwhile")
	eventually(t, "four attempts have a result", func() bool {
		_, fetched := b.uses("WebFetch")
		_, others := b.uses("Bash")
		all := append(fetched, others...)
		for _, r := range all {
			if r == "" {
				return false
			}
		}
		return len(all) == 4
	})
	p.terminate()
}

func TestHostileTextIsShownPlain(t *testing.T) {
	b := newBottle(t)
	if err := os.WriteFile(filepath.Join(b.work, "evil"), []byte("a\x1b[2Jb\x1b]0;owned\x07c\u202ed\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	p := b.start(agent.Quiet, "--session-id", session)
	p.sees("waiting for you")
	p.types("cat evil\r")
	p.sees("a␛[2Jb␛]0;owned␇c·d")
	p.terminate()
}

func TestRepaintsWhenResized(t *testing.T) {
	b := newBottle(t)
	p := b.start(agent.Counter, "--session-id", session)
	b.server.called()
	p.sees("the operator was asked")
	for _, size := range []pty.Winsize{{Cols: 40, Rows: 12}, {Cols: 150, Rows: 50}, {Cols: 64, Rows: 20}} {
		p.mu.Lock()
		p.screen.Resize(int(size.Cols), int(size.Rows))
		p.mu.Unlock()
		was := p.printed()
		if err := pty.Setsize(p.tty, &size); err != nil {
			t.Fatal(err)
		}
		eventually(t, "it repaints", func() bool { return p.printed() > was })
		p.sees("the operator was asked", "❯")
		p.types("x")
		p.sees("❯ x")
		p.types("\x7f")
		eventually(t, "it is rubbed out", func() bool { return !strings.Contains(p.text(), "❯ x") })
		text := p.text()
		if n := strings.Count(text, "the operator was asked"); n != 1 {
			t.Errorf("at %dx%d the last line is there %d times:\n%s", size.Cols, size.Rows, n, text)
		}
		if rows := strings.Count(text, "\n") + 1; rows < int(size.Rows)/2 {
			t.Errorf("at %dx%d only %d rows are shown:\n%s", size.Cols, size.Rows, rows, text)
		}
		if size.Cols == 150 && !strings.Contains(text, "demo agent · counter") {
			t.Errorf("the start of the conversation is not shown:\n%s", text)
		}
	}
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if code := p.ends(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestNarrowestTerminal(t *testing.T) {
	b := newBottle(t)
	p := b.startSized(agent.Counter, 12, 5, "--session-id", session)
	b.server.called().answer <- reply{"Denied.", false}
	p.types(strings.Repeat("word ", 30))
	p.sees("❯ …")
	p.terminate()
}

// A terminal that nobody reads blocks the agent's writes; it must end all the same, with a whole transcript.
func TestEndsWhileTheTerminalIsStuck(t *testing.T) {
	b := newBottle(t)
	p := b.start(agent.Quiet, "--session-id", session)
	p.sees("waiting for you")
	if err := os.WriteFile(filepath.Join(b.work, "long"), []byte(strings.Repeat("a line of text\n", 1000)), 0o644); err != nil {
		t.Fatal(err)
	}
	p.mu.Lock() // the reader stands still
	held := true
	defer func() {
		if held {
			p.mu.Unlock()
		}
	}()
	for range 8 {
		p.types("cat long\r")
	}
	state := func() string {
		stat, err := os.ReadFile(filepath.Join("/proc", itoa(p.cmd.Process.Pid), "stat"))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Fields(string(stat)[strings.LastIndex(string(stat), ")"):])[1]
	}
	lines := 0
	eventually(t, "it is stuck", func() bool {
		before := lines
		lines = len(b.lines())
		return lines > 3 && lines == before && state() == "S"
	})
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it ends", func() bool { return state() == "Z" })
	p.mu.Unlock()
	held = false
	p.ends()
	b.lines()
}
