package sidecars

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A dynamic executable would be compiled anew; what is missing for that is told before. Other reasons are no such ones.
func TestCompiles(t *testing.T) {
	program := func(kind elf.ProgType) error {
		t.Helper()
		var b bytes.Buffer
		head := elf.Header64{Type: uint16(elf.ET_EXEC), Machine: uint16(elf.EM_X86_64), Version: uint32(elf.EV_CURRENT), Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 1, Shentsize: 64}
		copy(head.Ident[:], elf.ELFMAG+string([]byte{byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)}))
		for _, part := range []any{head, elf.Prog64{Type: uint32(kind), Align: 1}} {
			if err := binary.Write(&b, binary.LittleEndian, part); err != nil {
				t.Fatal(err)
			}
		}
		path := filepath.Join(t.TempDir(), "program")
		if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		_, err = static(f)
		return err
	}
	if why, cannot := compiles(program(elf.PT_LOAD)); why != nil || cannot != nil {
		t.Errorf("a static one: %v, %v", why, cannot)
	}
	if why, cannot := compiles(errors.New("this program is for another system")); why != nil || cannot != nil {
		t.Errorf("another system's: %v, %v", why, cannot)
	}
	dynamic := program(elf.PT_INTERP)
	if why, cannot := compiles(dynamic); !errors.Is(why, ErrDynamic) || cannot != nil {
		t.Errorf("a dynamic one with Go in PATH: %v, %v", why, cannot)
	}
	t.Setenv("PATH", t.TempDir())
	if why, cannot := compiles(dynamic); !errors.Is(why, ErrDynamic) || cannot == nil {
		t.Errorf("a dynamic one without Go in PATH: %v, %v", why, cannot)
	}
}

// The sidecars run what this program was built from: a checkout that was changed since is not compiled.
func TestAChangedCheckoutIsNotCompiled(t *testing.T) {
	dir, built := t.TempDir(), time.Unix(1_700_000_000, 0)
	put := func(name string, at time.Time) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, nil, 0o600), os.Chtimes(path, at, at)); err != nil {
			t.Fatal(err)
		}
	}
	later := built.Add(time.Second)
	put("go.mod", built)
	put("main.go", built.Add(-time.Hour))
	for _, other := range []string{"main_test.go", "README.md", ".git/x.go", "docs/x.go", "a/testdata/agent/x.go"} {
		put(other, later)
	}
	if err := unchanged(dir, built); err != nil {
		t.Errorf("as it was: %v", err)
	}
	for _, name := range []string{"go.mod", "go.sum", "sidecars/egress/x.go", "themes/x.toml", "bottles/claudecode/Dockerfile"} {
		put(name, later)
		if err := unchanged(dir, built); !errors.Is(err, ErrChanged) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s is newer: %v", name, err)
		}
		put(name, built)
	}
}

// What was compiled is read from a file, which has no name, and stays what it is when the next compilation writes over its own.
func TestWhatWasCompiledIsReadFromAFile(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "compiled")
	if err := os.WriteFile(out, []byte("the first"), 0o700); err != nil {
		t.Fatal(err)
	}
	e, err := aside(out)
	if err != nil {
		t.Fatal(err)
	}
	if _, file := e.ReaderAt.(*os.File); !file {
		t.Errorf("it is held as a %T", e.ReaderAt)
	}
	if err := os.WriteFile(out, []byte("another"), 0o700); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(io.NewSectionReader(e, 0, e.Size))
	if err != nil || string(b) != "the first" {
		t.Errorf("it reads %q, %v", b, err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("there are %v, %v", entries, err)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	if _, err := e.ReadAt(b, 0); !errors.Is(err, os.ErrClosed) {
		t.Errorf("closed, it reads: %v", err)
	}
	if _, err := aside(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("of none: %v", err)
	}
}
