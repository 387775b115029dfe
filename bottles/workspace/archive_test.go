package workspace

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// onWrite is a writer that does something before the first byte that passes it.
type onWrite struct {
	io.Writer
	do func()
}

func (w *onWrite) Write(p []byte) (int, error) {
	if w.do != nil {
		w.do()
		w.do = nil
	}
	return w.Writer.Write(p)
}

// The directory changes between the scan and the copy, and while a file is read.
func TestChangesUnderTheCopy(t *testing.T) {
	large := strings.Repeat("l", 3*chunk)
	dir := plant(t, map[string]string{
		"a": large, "cut": "12345", "dir/x": "x", "file": "f", "gone": "g", "gone.d/y": "y", "grown": "1", "out/z": "z", "same": "s", "to-link": "t",
	})
	tree := mustScan(t, dir)
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, err := range []error{
		os.WriteFile(at("cut"), []byte("12"), 0o644), os.WriteFile(at("grown"), []byte("123"), 0o644),
		os.Remove(at("gone")), os.RemoveAll(at("gone.d")),
		os.RemoveAll(at("dir")), os.WriteFile(at("dir"), nil, 0o644),
		os.Remove(at("file")), os.Mkdir(at("file"), 0o755),
		os.RemoveAll(at("out")), os.Symlink("/etc", at("out")),
		os.Remove(at("to-link")), os.Symlink("/etc/passwd", at("to-link")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	w := &onWrite{&out, func() { // the first of three parts of a was read
		if err := os.Truncate(at("a"), chunk+10); err != nil {
			t.Error(err)
		}
	}}
	if err := tree.Archive(t.Context(), w, 1, 2, nil); err != nil {
		t.Fatal(err)
	}
	got := unpack(t, &out)
	if want := []string{"a", "cut", "grown", "same"}; !slices.Equal(got.names, want) {
		t.Errorf("the archive has %q", got.names)
	}
	a := got.content["a"]
	if len(a) != len(large) || strings.TrimRight(a, "\x00") != large[:len(strings.TrimRight(a, "\x00"))] || strings.Count(a, "\x00") == 0 {
		t.Errorf("what shrank has %d bytes, %d of them zero", len(a), strings.Count(a, "\x00"))
	}
	if got.content["cut"] != "12" || got.content["grown"] != "123" {
		t.Errorf("what changed before it was opened: %q, %q", got.content["cut"], got.content["grown"])
	}
}

// Somebody writes to a file without end while it is copied.
func TestAFileWithoutEnd(t *testing.T) {
	dir := plant(t, map[string]string{"log": strings.Repeat("0", chunk), "z": "after it"})
	tree := mustScan(t, dir)
	f, err := os.OpenFile(filepath.Join(dir, "log"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	more := bytes.Repeat([]byte("1"), chunk)
	var out bytes.Buffer
	w := writerFunc(func(p []byte) (int, error) {
		if _, err := f.Write(more); err != nil { // always as fast as it is read
			t.Error(err)
		}
		return out.Write(p)
	})
	if err := tree.Archive(t.Context(), w, 0, 0, nil); err != nil {
		t.Fatal(err)
	}
	got := unpack(t, &out)
	if got.content["log"] != strings.Repeat("0", chunk) || got.content["z"] != "after it" {
		t.Errorf("the archive has %d bytes of log and %q", len(got.content["log"]), got.content["z"])
	}
	// Grown beyond what is copied at all, between the scan and the copy.
	tree.maxBytes = chunk
	if err := tree.Archive(t.Context(), io.Discard, 0, 0, nil); err == nil || !strings.Contains(err.Error(), "the directory grew while it was copied, to more than 256 KiB") {
		t.Errorf("of what grew too large it says %v", err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestArchiveEnds(t *testing.T) {
	dir := plant(t, map[string]string{"a": strings.Repeat("x", 8*chunk), "b": "b"})
	tree := mustScan(t, dir)
	ctx, cancel := context.WithCancel(t.Context())
	if err := tree.Archive(ctx, &onWrite{io.Discard, cancel}, 0, 0, nil); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), dir) {
		t.Errorf("with its context it ends with %v", err)
	}
	broken := errors.New("the pipe is broken")
	if err := tree.Archive(t.Context(), writerFunc(func([]byte) (int, error) { return 0, broken }), 0, 0, nil); !errors.Is(err, broken) {
		t.Errorf("with its writer it ends with %v", err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := tree.Archive(t.Context(), io.Discard, 0, 0, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("with its directory it ends with %v", err)
	}
}

func TestProgress(t *testing.T) {
	files := map[string]string{"large": strings.Repeat("x", 20*chunk)}
	for i := range 200 {
		files[fmt.Sprintf("d/%d", i)] = "12345"
	}
	tree := mustScan(t, plant(t, files))
	type told struct {
		files int
		bytes int64
		at    time.Time
	}
	var all []told
	slow := writerFunc(func(p []byte) (int, error) { // 20 parts of 10 ms each
		timer := time.NewTimer(10 * time.Millisecond)
		<-timer.C
		return len(p), nil
	})
	if err := tree.Archive(t.Context(), slow, 0, 0, func(files int, bytes int64) { all = append(all, told{files, bytes, time.Now()}) }); err != nil {
		t.Fatal(err)
	}
	if len(all) < 3 {
		t.Fatalf("it was told %d times", len(all))
	}
	if last := all[len(all)-1]; last.files != tree.Files || last.bytes != tree.Bytes {
		t.Errorf("the end is %+v, of %d files and %d bytes", last, tree.Files, tree.Bytes)
	}
	for i := 1; i < len(all)-1; i++ {
		if all[i].at.Sub(all[i-1].at) < progressEvery-5*time.Millisecond || all[i].bytes < all[i-1].bytes {
			t.Errorf("told after %v: %+v, %+v", all[i].at.Sub(all[i-1].at), all[i-1], all[i])
		}
	}
}

// FuzzNames makes a file and a link with any name, and finds them in the archive as they are.
func FuzzNames(f *testing.F) {
	for _, name := range []string{"a", "ü", "\xff\xfe", "new\nline", `back\slash`, "-rf", "…", "a ", " ", "\u202e", strings.Repeat("n", 255), "%s", "*", "[", "\x1b[2J", "=", "!x", "#x"} {
		f.Add(name, "*.o")
	}
	f.Add("x", "**/\xff*\n!?")
	f.Add("a.b", "a{b}(c)|+^$")
	f.Fuzz(func(t *testing.T, name, ignored string) {
		if name == "" || name == "." || name == ".." || name == ignoreFile || len(name) > 255 || strings.ContainsAny(name, "/\x00") {
			return
		}
		dir := plant(t, nil)
		for _, err := range []error{
			os.Mkdir(filepath.Join(dir, "d"), 0o755), os.WriteFile(filepath.Join(dir, "d", name), []byte(name), 0o600), os.Symlink(name, filepath.Join(dir, "link")),
		} {
			if err != nil {
				t.Skip(err) // the file system has no such name
			}
		}
		got := archive(t, mustScan(t, dir))
		if want := []string{"d/", "d/" + name, "link"}; !slices.Equal(got.names, want) || got.content["d/"+name] != name || got.headers["link"].Linkname != name {
			t.Errorf("the archive has %q, the link is to %q", got.names, got.headers["link"].Linkname)
		}
		// With any .bottleignore it either says what is wrong or gives what an archive can be made of.
		if err := os.WriteFile(filepath.Join(dir, ignoreFile), []byte(ignored), 0o600); err != nil {
			t.Fatal(err)
		}
		tree, err := Scan(t.Context(), dir, Options{})
		var refused *Refused
		if err != nil && !errors.As(err, &refused) {
			t.Errorf("with %q it says %v", ignored, err)
		}
		if err == nil {
			archive(t, tree)
		}
	})
}

// BenchmarkWorkspace scans and archives 1,000 files of 20 MB; "plain" is the shortest program that makes a tar of them,
// without any of the checks.
func BenchmarkWorkspace(b *testing.B) {
	files := map[string]string{}
	for i := range 1000 {
		files[fmt.Sprintf("d%d/e%d/f%d", i%10, i%50, i)] = strings.Repeat(fmt.Sprint(i%10), 20_000)
	}
	dir := plant(b, files)
	b.Run("ours", func(b *testing.B) {
		for b.Loop() {
			if err := mustScan(b, dir).Archive(b.Context(), io.Discard, 1000, 1000, func(int, int64) {}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("plain", func(b *testing.B) {
		for b.Loop() {
			w := tar.NewWriter(io.Discard)
			if err := errors.Join(w.AddFS(os.DirFS(dir)), w.Close()); err != nil {
				b.Fatal(err)
			}
		}
	})
}
