package state

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What goes beyond a bound is passed over, the rest is kept, and the reason stays the same as it grows.
func TestTheBoundsOfATranscript(t *testing.T) {
	most := limits{file: 100, bytes: 250, entries: 6, read: 1000}
	for name, c := range map[string]struct {
		files []string // a name and a size each
		want  string   // names and sizes that are kept
		why   string
	}{
		"a large file":   {[]string{"a 10", "b 101", "c 10"}, "a 10 b 100 c 10", `"projects/b" has more than 0 MiB`},
		"all too large":  {[]string{"a 90", "b 90", "c 90", "d 10"}, "a 90 b 90 d 10", "more than 0 MiB would be kept"},
		"too many":       {[]string{"a 1", "b 1", "c 1", "d 1", "e 1", "f 1", "g 1"}, "a 1 b 1 c 1 d 1 e 1 f 1", "more than 6 entries"},
		"too much to go": {[]string{"a 1", "b 1000", "c 1"}, "a 1", "it has more than 0 MiB"},
	} {
		root, err := Open(filepath.Join(t.TempDir(), "root"))
		if err != nil {
			t.Fatal(err)
		}
		b, err := root.Create(Metadata{AgentName: "tester"})
		if err != nil {
			t.Fatal(err)
		}
		var archive bytes.Buffer
		w := tar.NewWriter(&archive)
		for _, f := range c.files {
			var name string
			var size int
			if _, err := fmt.Sscan(f, &name, &size); err != nil {
				t.Fatal(err)
			}
			if err := w.WriteHeader(&tar.Header{Name: "projects/" + name, Typeflag: tar.TypeReg, Size: int64(size)}); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write(bytes.Repeat([]byte("x"), size)); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second finds what the first kept
			var part *PartialError
			err = b.replaceTranscript("", bytes.NewReader(archive.Bytes()), most)
			if !errors.As(err, &part) || !strings.Contains(err.Error(), c.why) {
				t.Errorf("%s: %v, want %q", name, err, c.why)
			}
			var got []string
			entries, _ := os.ReadDir(filepath.Join(b.Dir(), transcriptDir))
			for _, e := range entries {
				info, err := e.Info()
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, fmt.Sprint(e.Name(), " ", info.Size()))
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("%s: kept %v, want %s", name, got, c.want)
			}
		}
	}
}

// Whoever replaces a file waits for another who has its lock, and looks at the file after that.
func TestReplaceFileWaitsForTheLock(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("before")
	done := make(chan error, 1)
	err := briefly(path, func() error {
		go func() { done <- ReplaceFile(path, []byte("before"), []byte("after")) }()
		select {
		case err := <-done:
			return fmt.Errorf("it did not wait: %w", err)
		case <-time.After(100 * time.Millisecond): // enough for one that does not wait
		}
		write("changed")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, ErrChanged) {
		t.Errorf("it gives %v", err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "changed" {
		t.Errorf("the file is %q, %v", got, err)
	}
}
