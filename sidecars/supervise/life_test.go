package supervise_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"bottle-tui/queue"
	"bottle-tui/sidecars"
	"bottle-tui/sidecars/internal/heard"
	"bottle-tui/sidecars/supervise"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

func attached(l sidecars.Line) bool { return l.Attached }

func TestTheSameCallTwiceIsOneRequest(t *testing.T) {
	for _, c := range []struct{ name, first, second string }{
		{"by the call's id", "toolu_1", "toolu_1"},
		{"by the content", "toolu_1", "toolu_2"},
		{"without any id", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBottle(t)
			s := b.connect()
			first := b.ask(t.Context(), s, c.first, good())
			id := b.ear.Wait(t, sidecars.EventRequest).ID
			second := b.ask(t.Context(), s, c.second, good())
			if got := b.ear.Wait(t, sidecars.EventRequest, attached).ID; got != id {
				t.Errorf("attached to %s, not to %s", got, id)
			}
			if n := len(b.requests()); n != 1 {
				t.Errorf("%d requests", n)
			}
			b.answer(queue.Answer{Request: id, Decision: queue.Denied, Note: "no"})
			for _, result := range []<-chan outcome{first, second} {
				if o := get(t, result); !strings.Contains(o.text, "Denied") {
					t.Errorf("%+v", o)
				}
			}
		})
	}
}

func TestManyCallsAtOnceAreOneRequest(t *testing.T) {
	b := newBottle(t)
	s := b.connect()
	var results []<-chan outcome
	for i := range 20 {
		results = append(results, b.ask(t.Context(), s, fmt.Sprint("toolu_", i), good()))
	}
	b.ear.Wait(t, sidecars.EventRequest, func(sidecars.Line) bool { return b.ear.Count(sidecars.EventRequest) >= 20 })
	pending := b.requests()
	if len(pending) != 1 {
		t.Fatalf("%d requests", len(pending))
	}
	b.answer(queue.Answer{Request: pending[0].ID, Decision: queue.Approved, Content: wanted})
	for _, r := range results {
		if o := get(t, r); !strings.Contains(o.text, "Approved") {
			t.Errorf("%+v", o)
		}
	}
}

func TestAskingAnewAfterAnAnswerIsANewRequest(t *testing.T) {
	b := newBottle(t)
	s := b.connect()
	first := b.ask(t.Context(), s, "toolu_1", good())
	id := b.ear.Wait(t, sidecars.EventRequest).ID
	b.answer(queue.Answer{Request: id, Decision: queue.Denied, Note: "say why"})
	get(t, first)
	b.ear.Wait(t, sidecars.EventDelivered)
	again := b.ask(t.Context(), s, "toolu_2", args{Justification: "because", Dockerfile: wanted})
	next := b.ear.Wait(t, sidecars.EventRequest, func(l sidecars.Line) bool { return l.ID != id })
	if next.Attached {
		t.Error("it was attached to an answered request")
	}
	b.answer(queue.Answer{Request: next.ID, Decision: queue.Approved, Content: wanted})
	get(t, again)
}

func TestAnAnswerThatWasMissedIsGivenToTheNextCall(t *testing.T) {
	for _, c := range []struct {
		decision queue.Decision
		taken    bool // by a later call with the same content
	}{
		{queue.Approved, true}, {queue.Denied, true}, {queue.Withdrawn, false}, {queue.Expired, false},
	} {
		t.Run(string(c.decision), func(t *testing.T) {
			b := newBottle(t)
			ctx, cancel := context.WithCancel(t.Context())
			first := b.ask(ctx, b.connect(), "toolu_1", good())
			id := b.ear.Wait(t, sidecars.EventRequest).ID
			cancel()
			get(t, first)
			b.ear.Wait(t, sidecars.EventAbandoned, request(id))
			if len(b.requests()) != 1 {
				t.Fatal("the request is gone with its caller")
			}
			b.answer(queue.Answer{Request: id, Decision: c.decision, Content: wanted, Note: "the note"})

			second := b.ask(t.Context(), b.connect(), "toolu_2", good())
			next := b.ear.Wait(t, sidecars.EventRequest, func(l sidecars.Line) bool { return l.ID != id || l.Attached })
			if next.Attached != c.taken {
				t.Fatalf("attached: %v", next.Attached)
			}
			if !c.taken {
				b.answer(queue.Answer{Request: next.ID, Decision: queue.Denied, Note: "the note"})
			}
			if o := get(t, second); o.err != nil || !strings.Contains(o.text, "the note") {
				t.Errorf("%+v", o)
			}
		})
	}
}

func TestAnAnswerBeforeTheWaitIsNotLost(t *testing.T) {
	b := newBottle(t)
	r := queue.Request{ID: queue.NewID(time.Now()), Tool: queue.ToolCapability, Identity: identity, Justification: "j", Proposed: wanted, ArrivedAt: time.Now(), ToolUseID: "toolu_1"}
	if err := b.box.Put(r); err != nil {
		t.Fatal(err)
	}
	b.answer(queue.Answer{Request: r.ID, Decision: queue.Denied, Note: "early"})
	if o := call(t.Context(), b.connect(), "toolu_1", good()); !strings.Contains(o.text, "early") {
		t.Errorf("%+v", o)
	}
}

func TestAVanishedClientIsAbandonedAndItsRequestStays(t *testing.T) {
	b := newBottle(t)
	body := rawCall(t, "toolu_1", "")
	conn, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(b.url, "http://"), supervise.Path))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /mcp HTTP/1.1\r\nHost: supervise:9100\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	line := b.ear.Wait(t, sidecars.EventRequest)
	conn.Close()
	b.ear.Wait(t, sidecars.EventAbandoned, request(line.ID))
	if n := len(b.requests()); n != 1 {
		t.Errorf("%d requests", n)
	}
	if n := b.ear.Count(sidecars.EventDelivered); n != 0 {
		t.Errorf("%d answers delivered to nobody", n)
	}
}

func TestWhileOneOfTwoWaitsNothingIsAbandoned(t *testing.T) {
	b := newBottle(t)
	s := b.connect()
	ctx, cancel := context.WithCancel(t.Context())
	first := b.ask(ctx, s, "toolu_1", good())
	id := b.ear.Wait(t, sidecars.EventRequest).ID
	second := b.ask(t.Context(), s, "toolu_2", good())
	b.ear.Wait(t, sidecars.EventRequest, attached)
	cancel()
	get(t, first)
	b.answer(queue.Answer{Request: id, Decision: queue.Denied, Note: "no"})
	if o := get(t, second); !strings.Contains(o.text, "Denied") {
		t.Errorf("%+v", o)
	}
	b.ear.Wait(t, sidecars.EventDelivered)
	if n := b.ear.Count(sidecars.EventAbandoned); n != 0 {
		t.Errorf("%d times abandoned", n)
	}
}

func TestRestartWhileARequestIsOpen(t *testing.T) {
	b := newBottle(t)
	first := b.ask(t.Context(), b.connect(), "toolu_1", good())
	id := b.ear.Wait(t, sidecars.EventRequest).ID
	old := b.ear
	stopping := time.Now()
	b.stop()
	if took := time.Since(stopping); took > heard.Patience/2 { // the promise is 0.3 s; tests share their cores
		t.Errorf("it took %v to stop", took)
	}
	if o := get(t, first); !o.isError || !strings.Contains(o.text, "Call capability-block again") {
		t.Errorf("the waiting call got %+v", o)
	}
	old.Wait(t, sidecars.EventAbandoned, request(id))

	b.start()
	b.ear.Wait(t, sidecars.EventAbandoned, request(id)) // the host may have missed the first
	second := b.ask(t.Context(), b.connect(), "toolu_2", good())
	if l := b.ear.Wait(t, sidecars.EventRequest); l.ID != id || !l.Attached {
		t.Errorf("after the restart: %+v", l)
	}
	b.answer(queue.Answer{Request: id, Decision: queue.Approved, Content: wanted})
	if o := get(t, second); !strings.Contains(o.text, "Approved") {
		t.Errorf("%+v", o)
	}
	b.ear.Wait(t, sidecars.EventDelivered, request(id))
}

func TestAnAnswerArrivesWhileSuperviseIsDown(t *testing.T) {
	b := newBottle(t)
	first := b.ask(t.Context(), b.connect(), "toolu_1", good())
	id := b.ear.Wait(t, sidecars.EventRequest).ID
	b.stop()
	get(t, first)
	b.answer(queue.Answer{Request: id, Decision: queue.Edited, Content: current + "ENV A=1\n"})
	b.start()
	if o := call(t.Context(), b.connect(), "toolu_2", good()); !strings.Contains(o.text, "+ENV A=1") {
		t.Errorf("%+v", o)
	}
}

func TestSignsOfLife(t *testing.T) {
	b := newBottle(t)
	b.stop()
	b.start(5 * time.Millisecond)
	t.Run("as progress", func(t *testing.T) {
		progress := make(chan float64, 100)
		s := b.connectWith(&mcp.ClientOptions{ProgressNotificationHandler: func(_ context.Context, r *mcp.ProgressNotificationClientRequest) {
			select {
			case progress <- r.Params.Progress:
			default:
			}
		}})
		result := b.ask(t.Context(), s, "toolu_1", good())
		for want := 1.0; want <= 3; want++ {
			select {
			case got := <-progress:
				if got != want {
					t.Fatalf("progress %v, want %v", got, want)
				}
			case <-time.After(heard.Patience):
				t.Fatal("no progress")
			}
		}
		b.answer(queue.Answer{Request: b.requests()[0].ID, Decision: queue.Denied})
		get(t, result)
	})
	t.Run("as comments for a client without a token", func(t *testing.T) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.url, strings.NewReader(rawCall(t, "toolu_2", "because")))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Accept", "application/json, text/event-stream")
		client := &http.Client{Transport: &http.Transport{}}
		defer client.CloseIdleConnections()
		resp, err := client.Do(req) // returns with the headers
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if got := resp.Header.Get("Content-Type"); got != "text/event-stream" {
			t.Errorf("Content-Type %q", got)
		}
		lines := bufio.NewScanner(resp.Body)
		for n := 0; n < 3 && lines.Scan(); {
			if strings.HasPrefix(lines.Text(), ":") {
				n++
			}
		}
		for _, p := range b.requests() {
			if p.Answer == nil {
				b.answer(queue.Answer{Request: p.ID, Decision: queue.Denied, Note: "heard"})
			}
		}
		rest := ""
		for lines.Scan() {
			rest += lines.Text()
		}
		if !strings.Contains(rest, "heard") {
			t.Errorf("the answer did not follow: %q", rest)
		}
	})
}

// rawCall is a tool call without a progress token, as JSON-RPC.
func rawCall(t testing.TB, useID, justification string) string {
	t.Helper()
	a := good()
	a.Justification += justification
	a.Dockerfile += "# " + justification + "\n"
	b, err := json.Marshal(map[string]any{
		"jsonrpc": "2.0", "id": 1, "method": "tools/call",
		"params": map[string]any{"name": queue.ToolCapability, "arguments": a, "_meta": map[string]any{"claudecode/toolUseId": useID}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestHostileHTTP(t *testing.T) {
	b := newBottle(t)
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	post := func(path, body string, header ...string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, strings.TrimSuffix(b.url, supervise.Path)+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Accept", "application/json, text/event-stream")
		for i := 0; i+1 < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		said, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(said)
	}
	for _, c := range []struct {
		name, path, body string
		status           int
	}{
		{"another path", "/admin", "{}", 404},
		{"not JSON", "/mcp", "{", 400},
		{"nothing", "/mcp", "", 400},
		{"too much", "/mcp", strings.Repeat(" ", 5<<20), 413},
		{"deep", "/mcp", strings.Repeat("[", 1<<20), 400},
		{"no such method", "/mcp", `{"jsonrpc":"2.0","id":1,"method":"queue/answer"}`, 400},
	} {
		if status, said := post(c.path, c.body); status != c.status {
			t.Errorf("%s: status %d, want %d: %.200s", c.name, status, c.status, said)
		}
	}
	if status, said := post("/mcp", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"queue-answer","arguments":{}}}`); status != 200 || !strings.Contains(said, "error") {
		t.Errorf("a tool that is not there: %d %s", status, said)
	}
	resp, err := client.Get(b.url)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", resp.StatusCode)
	}
	if n := len(b.requests()); n != 0 {
		t.Errorf("%d requests were made", n)
	}
}

func TestABatchCanNotHoldMoreThanItsShare(t *testing.T) {
	b := newBottle(t)
	var calls []string
	for i := range 200 {
		calls = append(calls, strings.Replace(rawCall(t, fmt.Sprint("toolu_", i), ""), `"id":1`, fmt.Sprintf(`"id":%d`, i), 1))
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.url, strings.NewReader("["+strings.Join(calls, ",")+"]"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var once sync.Once
	lines := bufio.NewScanner(resp.Body)
	refused, answered := 0, 0
	for lines.Scan() {
		if strings.Contains(lines.Text(), "Too many calls") {
			refused++
		}
		if strings.Contains(lines.Text(), "Denied") {
			answered++
		}
		if refused == 200-64 {
			once.Do(func() {
				if n := len(b.requests()); n != 1 {
					t.Errorf("%d requests", n)
				}
				b.answer(queue.Answer{Request: b.requests()[0].ID, Decision: queue.Denied})
			})
		}
	}
	if refused != 200-64 || answered != 64 {
		t.Errorf("%d calls were refused and %d answered of 200", refused, answered)
	}
}

func TestAFullQueueIsTheBottlesFault(t *testing.T) {
	b := newBottle(t)
	if err := os.RemoveAll(b.box.Dir()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(b.box.Dir(), nil, 0o600); err != nil { // nothing can be put into a file
		t.Fatal(err)
	}
	o := call(t.Context(), b.connect(), "", good())
	if !o.isError || !strings.Contains(o.text, "fault of the bottle") {
		t.Errorf("%+v", o)
	}
	b.ear.Wait(t, sidecars.EventError)
}

func TestARequestThatIsRemoved(t *testing.T) {
	b := newBottle(t)
	result := b.ask(t.Context(), b.connect(), "", good())
	id := b.ear.Wait(t, sidecars.EventRequest).ID
	if err := os.Remove(filepath.Join(b.box.Dir(), id+".request.json")); err != nil {
		t.Fatal(err)
	}
	if o := get(t, result); !o.isError || !strings.Contains(o.text, "was removed") {
		t.Errorf("%+v", o)
	}
}

// BenchmarkCallToDisk measures from the MCP call to the request file being seen on disk.
func BenchmarkCallToDisk(b *testing.B) {
	bottle := newBottle(b)
	s := bottle.connect()
	var slowest, sum time.Duration
	n := 0
	for b.Loop() {
		a := good()
		a.Dockerfile += fmt.Sprintf("ENV N=%d\n", n)
		n++
		ctx, cancel := context.WithCancel(b.Context())
		start := time.Now()
		result := bottle.ask(ctx, s, "", a)
		var found string
		for found == "" {
			names, err := filepath.Glob(filepath.Join(bottle.box.Dir(), "*.request.json"))
			if err != nil {
				b.Fatal(err)
			}
			if len(names) > 0 {
				found = names[0]
			}
		}
		took := time.Since(start)
		sum += took
		slowest = max(slowest, took)
		id := strings.TrimSuffix(filepath.Base(found), ".request.json")
		bottle.answer(queue.Answer{Request: id, Decision: queue.Denied})
		get(b, result)
		cancel()
		if err := bottle.box.Archive(id); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(sum.Microseconds())/float64(n), "µs-to-disk")
	b.ReportMetric(float64(slowest.Microseconds()), "µs-slowest")
}
