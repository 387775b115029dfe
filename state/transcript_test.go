package state_test

import (
	"archive/tar"
	"bytes"
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

	"bottle-tui/state"
)

var when = time.Date(2026, 11, 1, 10, 0, 0, 0, time.UTC)

// entry is one entry of a tar under test.
type entry struct {
	name, content string
	kind          byte // 0: a file, or a directory where the name ends in a slash
	link          string
}

func pack(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Typeflag: e.kind, Linkname: e.link, Mode: 0o666, Uid: 1000, Gid: 1000, ModTime: when, Size: int64(len(e.content))}
		if e.kind == 0 {
			h.Typeflag = tar.TypeReg
			if strings.HasSuffix(e.name, "/") {
				h.Typeflag = tar.TypeDir
			}
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// files lists what an archive holds, and checks what every entry must be.
func files(t testing.TB, archive []byte, uid int) string {
	t.Helper()
	r := tar.NewReader(bytes.NewReader(archive))
	var out []string
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if h.Uid != uid || h.Gid != uid || h.Uname != "" || h.Gname != "" || !strings.HasPrefix(h.Name, "projects/") {
			t.Errorf("entry %+v", h)
		}
		if mode := map[byte]int64{tar.TypeDir: 0o700, tar.TypeReg: 0o600}[h.Typeflag]; h.Mode != mode {
			t.Errorf("%s has type %c and mode %o", h.Name, h.Typeflag, h.Mode)
		}
		if h.Typeflag == tar.TypeReg {
			out = append(out, h.Name+"="+string(content))
		}
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func transcript(t testing.TB, b *state.Bottle) string {
	t.Helper()
	var out bytes.Buffer
	if err := b.TranscriptArchive(&out, 1234, 1234); err != nil {
		t.Fatal(err)
	}
	return files(t, out.Bytes(), 1234)
}

func replace(t testing.TB, b *state.Bottle, entries ...entry) {
	t.Helper()
	if err := b.ReplaceTranscript(bytes.NewReader(pack(t, entries...))); err != nil {
		t.Fatal(err)
	}
}

func TestTranscriptInAndOut(t *testing.T) {
	b := create(t, open(t))
	if has, err := b.HasTranscript(); has || err != nil || transcript(t, b) != "" {
		t.Errorf("a new bottle has a transcript: %v, %v", has, err)
	}
	replace(t, b, entry{name: "projects/"}, entry{name: "projects/-w/"})
	if has, err := b.HasTranscript(); has || err != nil {
		t.Errorf("directories alone: %v, %v", has, err)
	}
	long := "projects/-w/" + strings.Repeat("long/", 40) + "deep.jsonl"
	replace(t, b, entry{name: "./projects/"}, entry{name: "projects/-w/a.jsonl", content: "1\n"}, entry{name: long, content: "x"}, entry{name: "projects/-w/empty"})
	if has, err := b.HasTranscript(); !has || err != nil {
		t.Errorf("HasTranscript() = %v, %v", has, err)
	}
	want := "projects/-w/a.jsonl=1\n projects/-w/empty= " + long + "=x"
	if got := transcript(t, b); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	path := filepath.Join(b.Dir(), "transcript", "-w", "a.jsonl")
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 || !info.ModTime().Equal(when) {
		t.Errorf("%v, %v", info, err)
	}
	if info, err := os.Stat(filepath.Dir(path)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info, err)
	}
}

func TestATranscriptLosesNothing(t *testing.T) {
	b := create(t, open(t))
	big := strings.Repeat("0123456789abcdef", 10_000) // more than the comparison takes at once
	replace(t, b, entry{name: "projects/"}, entry{name: "projects/kept/old.jsonl", content: "old"}, entry{name: "projects/same", content: big},
		entry{name: "projects/grows", content: big}, entry{name: "projects/cut", content: big}, entry{name: "projects/emptied", content: "e"}, entry{name: "projects/changes", content: big})
	inode := func(name string) os.FileInfo {
		info, err := os.Stat(filepath.Join(b.Dir(), "transcript", name))
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	same := inode("same")
	changed := big[:100_000] + "!" + big[100_001:]
	replace(t, b, entry{name: "projects/"}, entry{name: "projects/new", content: "n"}, entry{name: "projects/same", content: big},
		entry{name: "projects/grows", content: big + "more"}, entry{name: "projects/cut", content: big[:70_000]}, entry{name: "projects/emptied"}, entry{name: "projects/changes", content: changed})
	want := "projects/changes=" + changed + " projects/cut=" + big + " projects/emptied=e projects/grows=" + big + "more projects/kept/old.jsonl=old projects/new=n projects/same=" + big
	if got := transcript(t, b); got != want {
		t.Errorf("%d bytes, want %d", len(got), len(want))
	}
	if !os.SameFile(same, inode("same")) {
		t.Error("an unchanged file was written again")
	}
	if entries, _ := filepath.Glob(filepath.Join(b.Dir(), ".transcript*")); len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
}

// Whatever an agent makes of its directory, the rest of it is kept, and nothing that was kept is lost.
func TestAHostileArchiveIsTakenAsFarAsItGoes(t *testing.T) {
	top, good := entry{name: "projects/"}, entry{name: "projects/z", content: "z"}
	whole := pack(t, top, entry{name: "projects/a", content: strings.Repeat("x", 5000)})
	huge := bytes.Clone(pack(t, top)[:512])
	huge = append(huge, hugeHeader(t)...)
	many := []entry{top}
	for i := range 5 {
		many = append(many, entry{name: fmt.Sprintf("projects/l%d", i), kind: tar.TypeSymlink, link: "/etc"})
	}
	const kept = "projects/kept/old.jsonl=old"
	for name, test := range map[string]struct {
		archive []byte
		want    string // the reason
		keeps   string // besides what was kept before
	}{
		"empty":           {nil, "holds nothing", kept},
		"not a tar":       {[]byte(strings.Repeat("garbage ", 200)), "can't be read", kept},
		"cut off":         {whole[:2000], "unexpected EOF", kept},
		"parent":          {pack(t, top, entry{name: "projects/../../escape", content: "x"}, good), "does not lie below", kept + " projects/z=z"},
		"absolute":        {pack(t, top, entry{name: "/projects/x", content: "x"}, good), "does not lie below", kept + " projects/z=z"},
		"beside":          {pack(t, top, entry{name: "projectsx/x", content: "x"}, good), "does not lie below", kept + " projects/z=z"},
		"double slash":    {pack(t, top, entry{name: "projects//x", content: "x"}, good), "does not lie below", kept + " projects/z=z"},
		"top is a file":   {pack(t, entry{name: "projects", content: "x"}), "is a file, not a directory", kept},
		"top is a link":   {pack(t, entry{name: "projects", kind: tar.TypeSymlink, link: "real"}), `"projects": it is a link`, kept},
		"twice":           {pack(t, top, entry{name: "projects/a", content: "1"}, entry{name: "projects/a", content: "2"}, good), "twice", "projects/a=1 " + kept + " projects/z=z"},
		"file and dir":    {pack(t, top, entry{name: "projects/a", content: "1"}, entry{name: "projects/a/b", content: "2"}), "", "projects/a.earlier=1 projects/a/b=2 " + kept},
		"long path":       {pack(t, top, entry{name: "projects/" + strings.Repeat("a/", 3000), content: ""}, good), "at most 4096", kept + " projects/z=z"},
		"long name":       {pack(t, top, entry{name: "projects/" + strings.Repeat("a", 300), content: ""}, good), "file name too long", kept + " projects/z=z"},
		"9 GiB announced": {huge, "more than 4096 MiB", kept},
		"file over a dir": {pack(t, top, entry{name: "projects/kept", content: "x"}, good), "", "projects/kept.earlier/old.jsonl=old projects/kept=x projects/z=z"},
		"dir over a file": {pack(t, top, entry{name: "projects/kept/old.jsonl/"}, good), "", "projects/kept/old.jsonl.earlier=old projects/z=z"},
		"links, many":     {pack(t, append(many, good)...), "it is a link; and more", kept + " projects/z=z"},
		"special files":   {pack(t, top, entry{name: "projects/f", kind: tar.TypeFifo}, entry{name: "projects/d", kind: tar.TypeChar}, good), "neither a file nor a directory", kept + " projects/z=z"},
		"through a link":  {pack(t, top, entry{name: "projects/l", kind: tar.TypeSymlink, link: "/tmp"}, entry{name: "projects/l/x", content: "x"}), "it is a link", kept + " projects/l/x=x"},
	} {
		t.Run(name, func(t *testing.T) {
			b := create(t, open(t))
			replace(t, b, top, entry{name: "projects/kept/old.jsonl", content: "old"})
			err := b.ReplaceTranscript(bytes.NewReader(test.archive))
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), b.Identity())) {
				t.Errorf("the error is %v, want %q", err, test.want)
			}
			if got := transcript(t, b); got != test.keeps {
				t.Errorf("the transcript is now %q, want %q", got, test.keeps)
			}
			if entries, _ := os.ReadDir(b.Dir()); len(entries) != 3 {
				t.Errorf("left behind: %v", entries)
			}
			if _, err := os.Lstat(filepath.Join(b.Dir(), "..", "escape")); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("it escaped: %v", err)
			}
		})
	}
}

// hugeHeader announces a file of 9 GiB that does not follow.
func hugeHeader(t *testing.T) []byte {
	var out bytes.Buffer
	if err := tar.NewWriter(&out).WriteHeader(&tar.Header{Name: "projects/huge", Typeflag: tar.TypeReg, Size: 9 << 30, ModTime: when}); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// A part of the transcript is brought up alone, and what only grew is not written again.
func TestAPartOfATranscriptGrowsInPlace(t *testing.T) {
	b := create(t, open(t))
	big := strings.Repeat("0123456789abcdef", 10_000)
	replace(t, b, entry{name: "projects/"}, entry{name: "projects/-w/s.jsonl", content: big})
	path := filepath.Join(b.Dir(), "transcript", "-w", "s.jsonl")
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.ReplaceTranscriptPart("-w/s.jsonl", bytes.NewReader(pack(t, entry{name: "s.jsonl", content: big + "more"}))); err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(path)
	if err != nil || !os.SameFile(before, after) || transcript(t, b) != "projects/-w/s.jsonl="+big+"more" {
		t.Errorf("%v: the same file %v, %d bytes", err, os.SameFile(before, after), after.Size())
	}
	var part *state.PartialError
	for name, archive := range map[string][]byte{
		"-w/s.jsonl": pack(t, entry{name: "s.jsonl", kind: tar.TypeSymlink, link: "/etc/passwd"}),
		"-w":         pack(t, entry{name: "projects/", content: ""}),
	} {
		if err := b.ReplaceTranscriptPart(name, bytes.NewReader(archive)); !errors.As(err, &part) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := b.ReplaceTranscriptPart("../x", bytes.NewReader(nil)); err == nil {
		t.Error("a path that leads out was taken")
	}
}

func TestACrashInTheReplacementIsClearedUp(t *testing.T) {
	b := create(t, open(t))
	replace(t, b, entry{name: "projects/"}, entry{name: "projects/a", content: "a"})
	// In the unpacking: a part of the new one lies there.
	write(t, filepath.Join(b.Dir(), ".transcript.next", "half"), "half")
	if got := transcript(t, b); got != "projects/a=a" {
		t.Errorf("got %q", got)
	}
	replace(t, b, entry{name: "projects/"}, entry{name: "projects/b", content: "b"})
	if got := transcript(t, b); got != "projects/a=a projects/b=b" {
		t.Errorf("got %q", got)
	}
	// Between two renames, where the file system can't exchange names.
	if err := os.Rename(filepath.Join(b.Dir(), "transcript"), filepath.Join(b.Dir(), ".transcript.old")); err != nil {
		t.Fatal(err)
	}
	if has, err := b.HasTranscript(); !has || err != nil {
		t.Errorf("HasTranscript() = %v, %v", has, err)
	}
	if got := transcript(t, b); got != "projects/a=a projects/b=b" {
		t.Errorf("got %q", got)
	}
}

func TestTheTranscriptOfABottleThatIsGone(t *testing.T) {
	b := create(t, open(t))
	if err := b.Delete(); err != nil {
		t.Fatal(err)
	}
	_, has := b.HasTranscript()
	for _, err := range []error{has, b.TranscriptArchive(io.Discard, 1, 1), b.ReplaceTranscript(bytes.NewReader(pack(t, entry{name: "projects/"})))} {
		if !errors.Is(err, state.ErrUnknown) {
			t.Error(err)
		}
	}
}

func BenchmarkReplaceTranscriptUnchanged(b *testing.B) {
	bottle := create(b, open(b))
	entries := []entry{{name: "projects/"}}
	for i := range 50 {
		entries = append(entries, entry{name: fmt.Sprintf("projects/-w/%d.jsonl", i), content: strings.Repeat("x", 400_000)})
	}
	archive := pack(b, entries...)
	for b.Loop() {
		if err := bottle.ReplaceTranscript(bytes.NewReader(archive)); err != nil {
			b.Fatal(err)
		}
	}
}
