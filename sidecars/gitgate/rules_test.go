package gitgate

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// example is a text that a rule of gitleaks must find, as gitleaks' own generator of rules tries it.
type example struct{ Rule, Path, Text string }

// examples runs gitleaks' generator with its check of a rule replaced by one that writes the examples down.
func examples(t *testing.T) (all []example) {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/zricethezav/gitleaks/v8").Output()
	if err != nil {
		t.Skip("no Go toolchain with gitleaks' source: ", err)
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(strings.TrimSpace(string(out)))); err != nil {
		t.Fatal(err)
	}
	const check = `package utils

import (
	"encoding/json"
	"os"

	"github.com/zricethezav/gitleaks/v8/config"
)

var to = json.NewEncoder(os.Stderr)

func Validate(rule config.Rule, good, _ []string) *config.Rule {
	for _, text := range good {
		to.Encode(map[string]string{"Rule": rule.RuleID, "Text": text})
	}
	return &rule
}

func ValidateWithPaths(rule config.Rule, good, _ map[string]string) *config.Rule {
	for path, text := range good {
		to.Encode(map[string]string{"Rule": rule.RuleID, "Path": path, "Text": text})
	}
	return &rule
}
`
	if err := os.WriteFile(filepath.Join(dir, "cmd/generate/config/utils/validate.go"), []byte(check), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "run", "./cmd/generate/config", filepath.Join(dir, "out.toml"))
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
	var said bytes.Buffer
	cmd.Stderr = &said
	failed := cmd.Run() // it ends badly where it can't write its file; the examples are out by then
	words := said.String()
	lines := bufio.NewScanner(&said)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e example
		if json.Unmarshal(lines.Bytes(), &e) == nil && e.Text != "" {
			all = append(all, e)
		}
	}
	if len(all) == 0 {
		t.Fatalf("gitleaks' generator gave no examples: %v: %.500s", failed, words)
	}
	return all
}

// ownExamples are for the rules for which gitleaks' generator tries none.
func ownExamples() []example {
	letters := func(n int) string { return strings.Repeat("k3jd8slq0zxt7vbn2mwp5yrf", n/24+1)[:n] }
	return []example{
		{"dropbox-long-lived-api-token", "", `dropbox_token = "` + letters(11) + "AAAA" + "AAAAAA" + letters(43) + `"`},
		{"dropbox-short-lived-api-token", "", `dropbox_token = "sl` + "." + letters(135) + `"`},
		{"pkcs12-file", "a/b.p12", "x"},
	}
}

// Every example of every rule is found, as the whole of a file and within one, at the path that it is for and where
// no path is known. No rule and no example is left out.
func TestExamplesOfTheRules(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles gitleaks' generator")
	}
	all := examples(t)
	generated := len(all)
	all = append(all, ownExamples()...)
	s, err := newScanner()
	if err != nil {
		t.Fatal(err)
	}
	passes := func(text string, w where) bool { return len(s.look(context.Background(), []byte(text), w)) == 0 }
	around := strings.Repeat("an ordinary line of text\n", 10)
	count := map[string]int{}
	work := make(chan example)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for e := range work {
				for how, text := range map[string]string{"alone": e.Text, "within a text": around + e.Text + "\n" + around} {
					if passes(text, where{path: e.Path}) {
						t.Errorf("%s passes %s: %.80q", e.Rule, how, e.Text)
					}
					if _, limited := s.anywhere.Config.Rules[e.Rule]; limited && passes(text, where{other: true}) {
						t.Errorf("%s passes %s, at a path that is not known: %.80q", e.Rule, how, e.Text)
					}
				}
			}
		})
	}
	for _, e := range all {
		count[e.Rule]++
		work <- e
	}
	close(work)
	workers.Wait()
	for id := range s.detector.Config.Rules {
		if count[id] == 0 {
			t.Errorf("there is no example of %s", id)
		}
	}
	t.Logf("%d examples of gitleaks and %d more, of %d rules", generated, len(all)-generated, len(count))
}
