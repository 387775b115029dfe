package pipelock_test

import (
	"archive/tar"
	"bufio"
	"bytes"
	"io"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"bottle-tui/sidecars"
	"bottle-tui/sidecars/pipelock"

	"gopkg.in/yaml.v3"
)

const wanted = `version: 1
mode: strict
api_allowlist:
  - "*.example.org"
  - "example.com"
  - "xn--bcher-kva.example"
fetch_proxy:
  listen: "0.0.0.0:8888"
  monitoring:
    max_requests_per_minute: 100000
    subdomain_entropy_threshold: 8.0
forward_proxy:
  enabled: true
  idle_timeout_seconds: 3600
  max_tunnel_seconds: 86400
request_body_scanning:
  enabled: false
response_scanning:
  enabled: true
  action: warn
metrics_listen: "127.0.0.1:9890"
sentry:
  enabled: false
`

func TestTheTextOfTheConfiguration(t *testing.T) {
	c := pipelock.Config{Allow: []string{"Example.com.", "*.example.org", "bücher.example", "example.com"}}
	got, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != wanted {
		t.Errorf("it is\n%s", got)
	}
	var read map[string]any
	if err := yaml.Unmarshal(got, &read); err != nil {
		t.Error(err)
	}
	none, err := pipelock.Config{}.Encode()
	if err != nil || !strings.Contains(string(none), "api_allowlist:\n  - \"nobody.invalid\"\nfetch_proxy:") {
		t.Errorf("without rules it is %v\n%s", err, none)
	}
}

func TestRulesThatPipelockCannotKeep(t *testing.T) {
	for rule, want := range map[string]string{
		"example.com:8443": "knows no ports", "*.example.com:443": "knows no ports", "192.0.2.1": "is of names", "2001:db8::1": "is of names",
		"*": "wildcard", "http://example.com/": "host alone", "a\"\n- b": "not a host name", "a b": "not a host name",
	} {
		_, err := pipelock.Config{Allow: []string{"example.org", rule}}.Encode()
		for _, err := range []error{err, pipelock.Check(rule)} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q: %v, not %q", rule, err, want)
			}
		}
	}
	if err := pipelock.Check("*.Example.com."); err != nil {
		t.Error(err)
	}
}

func TestTheArchive(t *testing.T) {
	b, err := pipelock.Archive([]byte("content"), 65532)
	if err != nil {
		t.Fatal(err)
	}
	r := tar.NewReader(bytes.NewReader(b))
	h, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(r)
	if err != nil || string(content) != "content" || sidecars.ConfigDir+"/"+h.Name != pipelock.ConfigFile || h.Uid != 65532 || h.Mode != 0o400 {
		t.Errorf("%+v %q %v", h, content, err)
	}
	if _, err := r.Next(); err != io.EOF {
		t.Errorf("more follows: %v", err)
	}
	if c := pipelock.Command(); c[len(c)-1] != pipelock.ConfigFile {
		t.Errorf("%q", c)
	}
	if _, err := pipelock.Archive(make([]byte, sidecars.MaxConfig+1), 0); err == nil {
		t.Error("any size is taken")
	}
	const image = "registry.example.com/pipelock:2.3.0"
	if what, fix := pipelock.Absent(image); !strings.Contains(what, image) || !strings.Contains(fix, "`docker pull "+image+"`") {
		t.Errorf("%s; %s", what, fix)
	}
}

// The log of a day: testdata/log holds the lines in the form of pipelock 2.3.0, both of its streams.
func TestTheLog(t *testing.T) {
	f, err := os.Open("testdata/log")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var got []sidecars.Line
	for lines := bufio.NewScanner(f); lines.Scan(); {
		got = append(got, pipelock.Lines(lines.Bytes())...)
	}
	at := func(second int) time.Time { return time.Date(2026, 11, 23, 21, 0, second, 0, time.UTC) }
	before, after := sidecars.Hash([]byte("before")), sidecars.Hash([]byte("after"))
	want := []sidecars.Line{
		{At: at(0), Event: sidecars.EventReady, Config: before, Address: "0.0.0.0:8888"},
		{At: at(1), Event: sidecars.EventAllow, Host: "example.com", Port: 443, Via: "connect"},
		{At: at(2), Event: sidecars.EventTunnelEnd, Host: "example.com", Port: 443, Via: "connect", Received: 5321, Millis: 1042},
		{At: at(3), Event: sidecars.EventAllow, Host: "example.com", Port: 80, Via: "http", Status: 200},
		{At: at(3), Event: sidecars.EventTunnelEnd, Host: "example.com", Port: 80, Via: "http", Received: 648, Millis: 31},
		{At: at(4), Event: sidecars.EventRefuse, Host: "evil.example.net", Port: 443, Via: "connect", Cause: sidecars.CauseUnlisted, Reason: "allowlist: domain not in allowlist: evil.example.net"},
		{At: at(5), Event: sidecars.EventRefuse, Host: "nowhere.example.com", Port: 8443, Via: "connect", Reason: "ssrf: DNS resolution failed"},
		{At: at(6), Event: sidecars.EventRefuse, Host: "evil.example.net", Port: 8080, Via: "http", Cause: sidecars.CauseUnlisted, Reason: "allowlist: domain not in allowlist: evil.example.net"},
		{At: at(7), Event: sidecars.EventRefuse, Host: "example.com", Port: 443, Via: "connect", Reason: "sni mismatch"},
		{At: at(8), Event: sidecars.EventError, Host: "example.com", Port: 443, Via: "connect", Reason: "dial tcp: connection refused"},
		{At: at(9), Event: sidecars.EventConfig, Config: after},
		{Event: sidecars.EventConfigError, Reason: "WARNING: config reload failed: yaml: line 4: did not find expected key"},
		{At: at(10), Event: sidecars.EventError, Reason: "pipelock ignored a part of its configuration: conductor settings restart-only"},
		{At: at(11), Event: sidecars.EventConfigError, Reason: "pipelock refused its configuration: trusted_domains expanded"},
		{At: at(12), Event: sidecars.EventRefuse, Host: "2001:db8::1", Port: 443, Via: "connect", Reason: "ssrf: private address"},
		{At: at(12), Event: sidecars.EventConfigError, Reason: "pipelock refused its configuration: rejected: security downgrade from strict mode"},
		{Event: sidecars.EventConfigError, Reason: "pipelock: config reload failed: parsing config /config/pipelock.yaml: yaml: line 1: did not find expected node content"},
		// An agent's request that looks like it, and a word of the agent's in a line.
		{At: at(12), Event: sidecars.EventError, Via: "http", Reason: "rejected"},
		{At: at(12), Event: sidecars.EventRefuse, Host: "closed.example.net", Port: 80, Via: "http", Cause: sidecars.CauseUnlisted, Reason: "allowlist: domain not in allowlist: closed.example.net"},
		{At: at(12), Event: sidecars.EventRefuse, Host: "example.com", Port: 8443, Via: "connect", Reason: "ssrf: SSRF check failed: DNS resolution error for example.com: lookup example.com on 127.0.0.11:53: no such host"},
	}
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			t.Errorf("missing %+v", want[i])
		case i >= len(want):
			t.Errorf("more: %+v", got[i])
		case !got[i].At.Equal(want[i].At):
			t.Errorf("at %v, not %v", got[i].At, want[i].At)
		default:
			got[i].At = want[i].At
			if !reflect.DeepEqual(got[i], want[i]) {
				t.Errorf("line %d:\n%+v, not\n%+v", i, got[i], want[i])
			}
		}
	}
}

func FuzzLines(f *testing.F) {
	log, err := os.ReadFile("testdata/log")
	if err != nil {
		f.Fatal(err)
	}
	for line := range bytes.Lines(log) {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, l := range pipelock.Lines(b) {
			if l.Event == "" || len(l.Reason) > 600 || len(l.Host) > 300 || l.Port < 0 || l.Port > 65535 || l.Received < 0 || l.Millis < 0 {
				t.Errorf("%+v", l)
			}
			if l.Config != "" && len(l.Config) != len(sidecars.Hash(nil)) {
				t.Errorf("a hash that is none: %q", l.Config)
			}
		}
	})
}
