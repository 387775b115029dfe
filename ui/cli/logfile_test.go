package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The file of --log has a bound, also where two programs write to it: what is older goes.
func TestTheLogFileIsSetAside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	var logs []*logFile
	for range 2 {
		l, err := openLog(path, 100)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		logs = append(logs, l)
	}
	for range 50 {
		for _, l := range logs {
			if n, err := l.Write([]byte("0123456789\n")); n != 11 || err != nil {
				t.Fatal(n, err)
			}
		}
	}
	for _, name := range []string{path, path + ".1"} {
		content, err := os.ReadFile(name)
		if err != nil || len(content) > 250 || strings.Count(string(content), "0123456789\n")*11 != len(content) {
			t.Errorf("%s has %d bytes, %v", filepath.Base(name), len(content), err)
		}
	}
}
