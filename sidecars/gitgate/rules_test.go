package gitgate

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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
		t.Skipf("gitleaks' generator does not run here: %v: %.500s", failed, words)
	}
	return all
}

// Every example of every rule is found, alone and within a text.
func TestExamplesOfTheRules(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles gitleaks' generator")
	}
	all := examples(t)
	if len(all) < 500 {
		t.Fatalf("only %d examples", len(all))
	}
	s, err := newScanner()
	if err != nil {
		t.Fatal(err)
	}
	around := strings.Repeat("an ordinary line of text\n", 10)
	rules := map[string]bool{}
	for _, e := range all {
		rules[e.Rule] = true
		if len(s.look(context.Background(), []byte(e.Text), e.Path)) == 0 {
			t.Errorf("%s passes: %.80q", e.Rule, e.Text)
		}
		if len(s.look(context.Background(), []byte(around+e.Text+"\n"+around), e.Path)) == 0 {
			t.Errorf("%s passes within a text: %.80q", e.Rule, e.Text)
		}
	}
	t.Logf("%d examples of %d rules", len(all), len(rules))
}
