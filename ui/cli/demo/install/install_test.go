package install_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bottle-tui/ui/cli/demo/install"
)

func TestInstallLinksAndSaysSo(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "bin")
	self := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(self, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	for range 2 { // again, as a layer on one that has it
		var out bytes.Buffer
		if err := install.Install(t.Context(), self, dir, "tally", &out); err != nil {
			t.Fatal(err)
		}
		if got, err := os.Readlink(filepath.Join(dir, "tally")); err != nil || got != self {
			t.Errorf("linked to %q, %v", got, err)
		}
		if strings.Count(out.String(), "\n") < 4 || !strings.Contains(out.String(), "[3/3]") {
			t.Errorf("said %q", out.String())
		}
	}
}

func TestRunRefusesUnknown(t *testing.T) {
	var out, errs bytes.Buffer
	if code := install.Run(t.Context(), []string{"vim"}, &out, &errs); code != 2 || errs.Len() == 0 {
		t.Errorf("exit code %d, said %q", code, errs.String())
	}
}
