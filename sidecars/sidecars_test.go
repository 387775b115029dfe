package sidecars_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"bottle-tui/sidecars"
	"bottle-tui/sidecars/internal/heard"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestVoiceIsOneLineEach(t *testing.T) {
	var b bytes.Buffer
	v := sidecars.NewVoice(&b, func() time.Time { return time.Unix(1700000000, 5).In(time.FixedZone("x", 3600)) })
	hostile := "a\nb\x1b[2J\u202e\xff"
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() { v.Say(sidecars.Line{Event: sidecars.EventRefuse, Host: hostile, Port: 443, Reason: "no"}) })
	}
	all.Wait()
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	if len(lines) != 50 {
		t.Fatalf("%d lines", len(lines))
	}
	for _, s := range lines {
		l, ok := sidecars.ParseLine([]byte(s + "\r\n"))
		if !ok || l.Host != strings.ToValidUTF8(hostile, "\ufffd") || l.Port != 443 || !l.At.Equal(time.Unix(1700000000, 5)) || l.At.Location() != time.UTC {
			t.Errorf("%q: %+v", s, l)
		}
	}
	if err := sidecars.NewVoice(broken{}, nil).Say(sidecars.Line{Event: sidecars.EventReady}); err == nil {
		t.Error("a voice that nobody hears says nothing of it")
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestParseLineTakesOnlyLines(t *testing.T) {
	for _, s := range []string{"", "\n", "panic: x", "{", "{}", "[]", `{"event":1}`, `{"at":"x","event":"ready"}`, `"ready"`, `{"event":"ready","reason":"` + strings.Repeat("x", 70<<10) + `"}`} {
		if l, ok := sidecars.ParseLine([]byte(s)); ok {
			t.Errorf("%.40q: %+v", s, l)
		}
	}
	l, ok := sidecars.ParseLine([]byte(` {"event":"later-invented","at":"2026-11-23T00:00:00Z","shape":[1,{"a":2}]} `))
	if !ok || l.Event != "later-invented" {
		t.Errorf("%+v %v", l, ok)
	}
}

func TestDecodeConfigIsStrict(t *testing.T) {
	type config struct{ A int }
	var c config
	if err := sidecars.DecodeConfig([]byte(" {\"a\": 1}\n"), &c); err != nil || c.A != 1 {
		t.Error(c, err)
	}
	for _, bad := range []string{"", "{", "[1]", `{"b":1}`, `{"a":1}{"a":2}`, `{"a":1} x`, `{"a":"1"}`} {
		if err := sidecars.DecodeConfig([]byte(bad), &c); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestConfigArchive(t *testing.T) {
	content := []byte(`{"allow":[]}`)
	r := tar.NewReader(bytes.NewReader(sidecars.ConfigArchive(content, 1234)))
	h, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	if h.Name != "config.json" || h.Uid != 1234 || h.Gid != 1234 || h.Mode != 0o400 || h.Typeflag != tar.TypeReg {
		t.Errorf("%+v", h)
	}
	if got, _ := io.ReadAll(r); !bytes.Equal(got, content) {
		t.Errorf("%q", got)
	}
	if _, err := r.Next(); err != io.EOF {
		t.Error(err)
	}
}

// watched is a configuration under watch.
type watched struct {
	t    *testing.T
	path string
	ear  *heard.Ear
	mu   sync.Mutex
	took []string
}

func watch(t *testing.T, first string) *watched {
	t.Helper()
	w := &watched{t: t, path: filepath.Join(t.TempDir(), "config.json"), ear: heard.New()}
	w.write(first)
	ctx, cancel := context.WithCancel(context.Background())
	hash, wait, err := sidecars.WatchConfig(ctx, w.path, w.apply, sidecars.NewVoice(w.ear, nil))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); wait() })
	if hash != sidecars.Hash([]byte(first)) {
		t.Errorf("hash %s", hash)
	}
	return w
}

func (w *watched) apply(content []byte) error {
	if !json.Valid(content) {
		return errors.New("not JSON")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.took = append(w.took, string(content))
	return nil
}

func (w *watched) write(s string) {
	w.t.Helper()
	if err := os.WriteFile(w.path, []byte(s), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func (w *watched) inForce() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.took[len(w.took)-1]
}

func TestWatchConfig(t *testing.T) {
	confirm := func(w *watched, s string) {
		t.Helper()
		w.ear.Wait(t, sidecars.EventConfig, func(l sidecars.Line) bool { return l.Config == sidecars.Hash([]byte(s)) })
		if got := w.inForce(); got != s {
			t.Errorf("in force is %q, not %q", got, s)
		}
	}
	t.Run("written in place", func(t *testing.T) {
		w := watch(t, `{"n":0}`)
		for i := 1; i < 5; i++ {
			s := fmt.Sprintf(`{"n":%d}`, i)
			w.write(s)
			confirm(w, s)
		}
	})
	t.Run("removed and made anew, as an engine unpacks it", func(t *testing.T) {
		w := watch(t, `{"n":0}`)
		os.Remove(w.path)
		w.write(`{"n":1}`)
		confirm(w, `{"n":1}`)
	})
	t.Run("moved over it", func(t *testing.T) {
		w := watch(t, `{"n":0}`)
		os.WriteFile(w.path+".tmp", []byte(`{"n":2}`), 0o600)
		os.Rename(w.path+".tmp", w.path)
		confirm(w, `{"n":2}`)
	})
	t.Run("slowly", func(t *testing.T) {
		w := watch(t, `{"n":0}`)
		f, err := os.Create(w.path)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range []string{`{"n"`, `:3`, `}`} { // each is an event of its own
			f.WriteString(part)
		}
		f.Close()
		confirm(w, `{"n":3}`)
		if n := w.ear.Count(sidecars.EventConfigError); n > 0 {
			t.Errorf("half a file was called bad %d times", n)
		}
	})
	t.Run("the same again is confirmed again", func(t *testing.T) {
		w := watch(t, `{"n":0}`)
		w.write(`{"n":0}`)
		confirm(w, `{"n":0}`)
	})
	t.Run("bad, then good", func(t *testing.T) {
		w := watch(t, `{"n":0}`)
		w.write(`{"n":`)
		l := w.ear.Wait(t, sidecars.EventConfigError)
		if l.Config != sidecars.Hash([]byte(`{"n":0}`)) || l.Reason != "not JSON" || w.inForce() != `{"n":0}` {
			t.Errorf("%+v", l)
		}
		w.write(`{"n":4}`)
		confirm(w, `{"n":4}`)
	})
	t.Run("bad, then the old one again", func(t *testing.T) {
		w := watch(t, `{"n":0}`)
		w.write(`{"n":`)
		w.ear.Wait(t, sidecars.EventConfigError)
		w.write(`{"n":0}`)
		confirm(w, `{"n":0}`)
	})
	t.Run("too large", func(t *testing.T) {
		w := watch(t, `{"n":0}`)
		w.write(strings.Repeat(" ", sidecars.MaxConfig+1))
		if l := w.ear.Wait(t, sidecars.EventConfigError); !strings.Contains(l.Reason, "larger than") {
			t.Errorf("%+v", l)
		}
	})
}

func TestWatchConfigNeedsAFirstOne(t *testing.T) {
	for name, make := range map[string]func(path string) error{
		"missing":     func(string) error { return nil },
		"bad":         func(p string) error { return os.WriteFile(p, []byte("{"), 0o600) },
		"a directory": func(p string) error { return os.Mkdir(p, 0o700) },
	} {
		path := filepath.Join(t.TempDir(), "config.json")
		if err := make(path); err != nil {
			t.Fatal(err)
		}
		w := &watched{t: t, path: path}
		if _, _, err := sidecars.WatchConfig(t.Context(), path, w.apply, sidecars.NewVoice(io.Discard, nil)); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestImage(t *testing.T) {
	for _, size := range []int64{0, 1, 511, 512, 513, 30<<20 + 7} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			binary := make([]byte, size)
			for i := range binary {
				binary[i] = byte(i * 7)
			}
			i, err := sidecars.NewImage(bytes.NewReader(binary), size)
			if err != nil {
				t.Fatal(err)
			}
			tag, ok := strings.CutPrefix(i.Ref, "bottle-tui-sidecars:")
			if !ok || len(tag) != 12 {
				t.Errorf("ref %q", i.Ref)
			}
			again, err := sidecars.NewImage(bytes.NewReader(binary), size)
			if err != nil || again.Ref != i.Ref {
				t.Errorf("the same binary is %s and %s: %v", i.Ref, again.Ref, err)
			}
			if size > 0 {
				binary2 := bytes.Clone(binary)
				binary2[size-1]++
				if other, err := sidecars.NewImage(bytes.NewReader(binary2), size); err != nil || other.Ref == i.Ref {
					t.Errorf("another binary has the same name: %v", err)
				}
			}
			type entry struct {
				kind     byte
				mode     int64
				uid, gid int
			}
			want := map[string]entry{
				"bottle-tui": {tar.TypeReg, 0o755, 0, 0}, "tmp/": {tar.TypeDir, 0o1777, 0, 0}, "etc/": {tar.TypeDir, 0o755, 0, 0},
				"etc/ssl/": {tar.TypeDir, 0o755, 0, 0}, "etc/ssl/certs/": {tar.TypeDir, 0o755, 0, 0},
				"etc/passwd": {tar.TypeReg, 0o644, 0, 0}, "etc/group": {tar.TypeReg, 0o644, 0, 0}, "etc/nsswitch.conf": {tar.TypeReg, 0o644, 0, 0},
				"config/": {tar.TypeDir, 0o755, sidecars.UID, sidecars.UID}, "queue/": {tar.TypeDir, 0o700, sidecars.UID, sidecars.UID},
				"spool/": {tar.TypeDir, 0o1777, 0, 0}, // whoever the sidecar runs as
			}
			for range 2 { // each call starts anew
				r := tar.NewReader(i.RootFS())
				seen := map[string]bool{}
				for {
					h, err := r.Next()
					if err == io.EOF {
						break
					}
					if err != nil {
						t.Fatal(err)
					}
					seen[h.Name] = true
					if w, ok := want[h.Name]; !ok || w != (entry{h.Typeflag, h.Mode, h.Uid, h.Gid}) {
						t.Errorf("%s is %+v, not %+v", h.Name, h, w)
					}
					content, err := io.ReadAll(r)
					if err != nil {
						t.Fatal(err)
					}
					if h.Name == "bottle-tui" && !bytes.Equal(content, binary) {
						t.Errorf("the binary has %d bytes of %d, or others", len(content), size)
					}
					if h.Name == "etc/passwd" && !strings.Contains(string(content), "sidecar:x:65532:65532:") {
						t.Errorf("passwd: %s", content)
					}
				}
				if len(seen) != len(want) {
					t.Errorf("%d entries, not %d: %v", len(seen), len(want), seen)
				}
			}
			whole, err := io.ReadAll(i.RootFS())
			if err != nil || len(whole)%512 != 0 {
				t.Errorf("the tar has %d bytes: %v", len(whole), err)
			}
		})
	}
	if _, err := sidecars.NewImage(bytes.NewReader(make([]byte, 10)), 20); err == nil {
		t.Error("a binary that is cut off was taken")
	}
}

// The tests' own executable is not bottle-tui, so it is compiled from the checkout.
func TestBinary(t *testing.T) {
	e, err := sidecars.Binary(t.Context(), "linux", runtime.GOARCH)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	path := filepath.Join(t.TempDir(), "bottle-tui")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o700)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(f, io.NewSectionReader(e, 0, e.Size)); err != nil || n != e.Size {
		t.Fatal(n, err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if e.Origin != "compiled" {
		t.Errorf("origin %q", e.Origin)
	}
	first := sum(t, e)
	// Again it is the same, byte for byte: the image's name must not change from run to run.
	again, err := sidecars.Binary(t.Context(), "linux", runtime.GOARCH)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if sum(t, again) != first {
		t.Error("two compilations of the same source differ")
	}
	if out, err := exec.Command("go", "version", "-m", path).CombinedOutput(); err != nil || !strings.Contains(string(out), "CGO_ENABLED=0") {
		t.Errorf("%v: %s", err, out)
	}
}

func sum(t *testing.T, e *sidecars.Executable) [32]byte {
	t.Helper()
	b, err := io.ReadAll(io.NewSectionReader(e, 0, e.Size))
	if err != nil {
		t.Fatal(err)
	}
	return sha256.Sum256(b)
}

func TestBinaryOfNoPlatformSaysWhatToDo(t *testing.T) {
	_, err := sidecars.Binary(t.Context(), "linux", "nonsense")
	if !errors.Is(err, sidecars.ErrNoBinary) {
		t.Fatal(err)
	}
	for _, want := range []string{"linux/nonsense", "not a release", "compile it", "Go toolchain"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q: %v", want, err)
		}
	}
}

func BenchmarkImage(b *testing.B) {
	binary := make([]byte, 30<<20)
	b.SetBytes(int64(len(binary)))
	for b.Loop() {
		i, err := sidecars.NewImage(bytes.NewReader(binary), int64(len(binary)))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, i.RootFS()); err != nil {
			b.Fatal(err)
		}
	}
}
