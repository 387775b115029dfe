package messages_test

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"bottle-tui/bottles"
	"bottle-tui/bottles/docker"
	"bottle-tui/ui/scenario/messages"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const soon = 20 * time.Second

// client speaks HTTPS to a server, trusting its root alone.
func client(t *testing.T, s *messages.Server) *http.Client {
	t.Helper()
	pem, err := os.ReadFile(s.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		t.Fatal("no root in the CA file")
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: soon}
}

func request(t *testing.T, s *messages.Server, path, body string, headers ...string) *http.Request {
	t.Helper()
	method := http.MethodPost
	if body == "" {
		method = http.MethodGet
	}
	r, err := http.NewRequestWithContext(t.Context(), method, s.URL()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("anthropic-version", "2023-06-01")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
}

func ask(t *testing.T, c *http.Client, s *messages.Server, path, body string, headers ...string) *http.Response {
	t.Helper()
	answer, err := c.Do(request(t, s, path, body, headers...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = answer.Body.Close() })
	return answer
}

func text(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// turn is the body of a turn with these messages, JSON each.
func turn(stream bool, conversation ...string) string {
	return fmt.Sprintf(`{"model":"m","max_tokens":10,"stream":%v,"tools":[{"name":"Bash"}],"messages":[%s]}`, stream, strings.Join(conversation, ","))
}

func TestAStreamedAnswer(t *testing.T) {
	s := messages.Start(t, messages.Options{})
	s.When(messages.User("install jq")).Says("I look").Runs("jq --version")
	r := ask(t, client(t, s), s, "/v1/messages?beta=true", turn(true, `{"role":"user","content":[{"type":"text","text":"<system-reminder>jq"},{"type":"text","text":"install jq"}]}`))
	var kinds, input []string
	lines := bufio.NewScanner(r.Body)
	for lines.Scan() {
		if kind, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
			kinds = append(kinds, kind)
		}
		if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			var e struct {
				Type  string
				Delta struct {
					Partial string `json:"partial_json"`
					Stop    string `json:"stop_reason"`
				}
			}
			if err := json.Unmarshal([]byte(data), &e); err != nil || e.Type != kinds[len(kinds)-1] {
				t.Errorf("event %s has %s: %v", kinds[len(kinds)-1], data, err)
			}
			input = append(input, e.Delta.Partial, e.Delta.Stop)
		}
	}
	want := "message_start ping content_block_start content_block_delta content_block_stop content_block_start content_block_delta content_block_delta content_block_stop message_delta message_stop"
	if got := strings.Join(kinds, " "); got != want {
		t.Errorf("events\n%s\nwant\n%s", got, want)
	}
	if got := strings.Join(input, ""); got != `{"command":"jq --version","description":"as the script says"}tool_use` {
		t.Errorf("the call's input and the end are %s", got)
	}
	if got := s.Requests()[0]; got.Proto != "HTTP/2.0" || got.Turn.Text != "install jq" || got.Rule != 1 || got.Path != "/v1/messages?beta=true" {
		t.Errorf("kept %+v", got)
	}
}

func TestTheScriptReadsTheConversation(t *testing.T) {
	s := messages.Start(t, messages.Options{})
	s.When(messages.User("go")).Once().Runs("make")
	s.When(messages.All(messages.ResultOf("Bash"), messages.Result("done"))).Says("it is made")
	s.When(messages.User("later")).Fails(529, "overloaded_error", "Overloaded")
	c := client(t, s)
	said := func(want string, conversation ...string) string {
		t.Helper()
		r := ask(t, c, s, "/v1/messages", turn(false, conversation...))
		got := text(t, r)
		if !strings.Contains(got, want) {
			t.Errorf("the answer to %s lacks %s: %d %s", conversation, want, r.StatusCode, got)
		}
		return got
	}
	var call struct {
		Content []json.RawMessage
	}
	if err := json.Unmarshal([]byte(said(`"stop_reason":"tool_use"`, `{"role":"user","content":"go"}`)), &call); err != nil || len(call.Content) != 1 {
		t.Fatal(err, call)
	}
	var use struct{ ID string }
	if err := json.Unmarshal(call.Content[0], &use); err != nil {
		t.Fatal(err)
	}
	first, asked := `{"role":"user","content":"go"}`, fmt.Sprintf(`{"role":"assistant","content":[%s]}`, call.Content[0])
	result := fmt.Sprintf(`{"role":"user","content":[{"type":"tool_result","tool_use_id":%q,"content":[{"type":"text","text":"all done"}],"is_error":true}]}`, use.ID)
	said("it is made", first, asked, result, `{"role":"system","content":"something in between"}`)
	if last := s.Turns()[1].Turn; !last.Failed || last.Result != "all done" || !strings.Contains(last.System, "in between") || last.History != "go\nall done" {
		t.Errorf("kept %+v", last)
	}
	said("echo: go", first) // the rule was for once
	said("overloaded_error", `{"role":"user","content":"later"}`)
	said("without `tool_result` blocks immediately after", first, asked, `{"role":"user","content":"never mind"}`)
	said("without `tool_result` blocks immediately after", first, asked)
	said("unexpected tool_use_id", first, result)
	if n := len(s.Turns()); n != 4 { // those that were refused are none
		t.Errorf("%d turns", n)
	}
	ask(t, c, s, "/v1/messages", `{"model":"m","max_tokens":10,"messages":[{"role":"user","content":"go"}]}`)
	if n := len(s.Turns()); n != 4 {
		t.Errorf("a question without tools is a turn: %d", n)
	}
}

func TestWhoMayAsk(t *testing.T) {
	for _, c := range []struct {
		name    string
		o       messages.Options
		headers []string
		want    int
	}{
		{"nobody has to say who", messages.Options{}, nil, 200},
		{"no key", messages.Options{APIKey: "k"}, nil, 401},
		{"a key", messages.Options{APIKey: "k"}, []string{"x-api-key", "k"}, 200},
		{"another key", messages.Options{APIKey: "k"}, []string{"x-api-key", "kk"}, 401},
		{"a bearer", messages.Options{Bearer: "b"}, []string{"Authorization", "Bearer b"}, 200},
		{"not as a bearer", messages.Options{Bearer: "b"}, []string{"Authorization", "b"}, 401},
		{"OAuth without the beta", messages.Options{Bearer: "b", OAuth: true}, []string{"Authorization", "Bearer b"}, 401},
		{"OAuth", messages.Options{Bearer: "b", OAuth: true}, []string{"Authorization", "Bearer b", "anthropic-beta", "x,oauth-2025-04-20"}, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := messages.Start(t, c.o)
			for path, body := range map[string]string{"/v1/messages": turn(false, `{"role":"user","content":"hi"}`), "/v1/messages/count_tokens": "{}", "/v1/models": ""} {
				r := ask(t, client(t, s), s, path, body, c.headers...)
				if got := text(t, r); r.StatusCode != c.want || c.want == 401 && !strings.Contains(got, "authentication_error") {
					t.Errorf("%s: %d %s", path, r.StatusCode, got)
				}
			}
		})
	}
}

func TestWhatIsHeldComesWhenReleased(t *testing.T) {
	s := messages.Start(t, messages.Options{})
	release := s.When(messages.User("hold")).Says("two words").Slowly(time.Millisecond).Held()
	answered := make(chan string, 1)
	c := client(t, s)
	r := request(t, s, "/v1/messages", turn(true, `{"role":"user","content":"hold"}`))
	go func() {
		var got []byte
		answer, err := c.Do(r)
		if err == nil {
			got, err = io.ReadAll(answer.Body)
			_ = answer.Body.Close()
		}
		answered <- fmt.Sprintf("%s, %v", got, err)
	}()
	s.Wait("the held turn", soon, func(r messages.Request) bool { return r.Turn.Text == "hold" })
	select {
	case got := <-answered:
		t.Fatalf("it was not held: %s", got)
	default:
	}
	release()
	release()
	if got := <-answered; !strings.Contains(got, `"text":"two "`) || !strings.Contains(got, "message_stop") {
		t.Errorf("it came as %s", got)
	}
}

// The real client takes the answers for real: it calls the tool, sends the result, and prints what it is told.
func TestClaudeCodeIsAnswered(t *testing.T) {
	s := messages.Start(t, messages.Options{Bearer: "the-token"})
	s.When(messages.User("who are you")).Runs("id -un; pwd")
	s.When(messages.Result("agent\n/workspace")).Says("I am agent in the workspace.")
	engine, err := docker.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = engine.Close() })
	name := fmt.Sprintf("bt-messages-%d", time.Now().UnixNano())
	must(t, engine.CreateContainer(t.Context(), bottles.ContainerSpec{
		Name: name, Image: messages.ClaudeCode(t), User: "1000:1000", WorkingDir: "/workspace",
		Cmd: []string{"claude", "--dangerously-skip-permissions", "--print", "--", "who are you?"},
		Env: []string{
			"ANTHROPIC_BASE_URL=" + s.URL(), "ANTHROPIC_AUTH_TOKEN=the-token", "NODE_EXTRA_CA_CERTS=/ca.pem",
			"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1",
		},
		Memory: 2 << 30, Pids: 512,
		Endpoints: []bottles.Endpoint{{Network: "bridge"}},
	}))
	t.Cleanup(func() { must(t, engine.RemoveContainer(context.WithoutCancel(t.Context()), name)) })
	pem, err := os.ReadFile(s.CAFile())
	must(t, err)
	must(t, engine.CopyIn(t.Context(), name, "/", archive(t, "ca.pem", pem)))
	must(t, engine.StartContainer(t.Context(), name))
	log, err := engine.Logs(t.Context(), name, 0, true)
	must(t, err)
	defer log.Close()
	said, err := io.ReadAll(io.LimitReader(log, 1<<20))
	must(t, err)
	if strings.TrimSpace(string(said)) != "I am agent in the workspace." {
		t.Errorf("it said %s; it asked\n%s", said, messages.Summary(s.Requests()))
	}
}

func archive(t *testing.T, name string, content []byte) io.Reader {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	must(t, w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content))}))
	_, err := w.Write(content)
	must(t, err)
	must(t, w.Close())
	return &b
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
