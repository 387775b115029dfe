package sidecars

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

const modulePath = "bottle-tui"

// embedded holds the linux executables of a release, named "bottle-tui-linux-<arch>": a release build (build
// tag release) sets it from an embed.FS in a file of its own. In every other build there are none.
var embedded fs.FS

// Executable is this program's binary for a platform: to be read, and closed.
type Executable struct {
	io.ReaderAt
	Size   int64
	Origin string // where it came from, for the log: "own", "embedded" or "compiled"
	close  func() error
}

// Close releases what is open.
func (e *Executable) Close() error {
	if e.close == nil {
		return nil
	}
	return e.close()
}

// ErrNoBinary: there is no executable for the engine's platform, and none can be made here.
var ErrNoBinary = errors.New("no binary of bottle-tui for the engine's platform")

// Binary opens this program's static executable for a platform of GOOS and GOARCH: this process's own file,
// when it is one; else the one that a release carries; else one compiled with the Go toolchain out of the
// source checkout that this program was built from, if that is as it was then (up to some minutes, kept in the user's
// cache). Its error
// wraps ErrNoBinary and says what each of these lacked.
func Binary(ctx context.Context, goos, goarch string) (*Executable, error) {
	e, ownErr := own(goos, goarch)
	if ownErr == nil {
		return e, nil
	}
	e, embErr := fromRelease(goos, goarch)
	if embErr == nil {
		return e, nil
	}
	e, goErr := compile(ctx, goos, goarch)
	if goErr == nil {
		return e, nil
	}
	return nil, fmt.Errorf("%w (%s/%s): %w; %w; %w. Use a release, which carries them, or build this program from a source checkout that stays in place, with the Go toolchain in PATH",
		ErrNoBinary, goos, goarch, ownErr, embErr, goErr)
}

// ErrDynamic: an executable needs a dynamic loader, which the sidecars' image does not have.
var ErrDynamic = errors.New("it is linked dynamically (build with CGO_ENABLED=0)")

// Compiles says whether Binary would have to compile this program for every engine, because it was linked dynamically: why
// is then not nil, and cannot says what is missing for that, if anything is. It compiles nothing.
func Compiles() (why, cannot error) {
	e, err := own(runtime.GOOS, runtime.GOARCH)
	if err == nil {
		e.Close()
	}
	return compiles(err)
}

// compiles is Compiles, by what own said of this program's file.
func compiles(own error) (why, cannot error) {
	if !errors.Is(own, ErrDynamic) || embedded != nil {
		return nil, nil
	}
	if _, err := sourceDir(); err != nil {
		return own, err
	}
	_, err := exec.LookPath("go")
	return own, err
}

// own is the file that this process runs from, even if it was replaced meanwhile.
func own(goos, goarch string) (*Executable, error) {
	if runtime.GOOS != goos || runtime.GOARCH != goarch {
		return nil, fmt.Errorf("this program is for %s/%s", runtime.GOOS, runtime.GOARCH)
	}
	if info, ok := debug.ReadBuildInfo(); !ok || info.Path != modulePath {
		return nil, errors.New("this process is not bottle-tui itself")
	}
	f, err := openSelf()
	if err != nil {
		return nil, err
	}
	e, err := static(f)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("this program's file: %w", err)
	}
	e.Origin = "own"
	return e, nil
}

// openSelf opens the file that this process runs from.
func openSelf() (*os.File, error) {
	path := "/proc/self/exe"
	if _, err := os.Stat(path); err != nil {
		if path, err = os.Executable(); err != nil {
			return nil, fmt.Errorf("find this program's file: %w", err)
		}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open this program's file: %w", err)
	}
	return f, nil
}

// static makes sure that an executable needs no dynamic loader, because the image has none.
func static(f *os.File) (*Executable, error) {
	bin, err := elf.NewFile(f)
	if err != nil {
		return nil, fmt.Errorf("read as ELF: %w", err)
	}
	for _, p := range bin.Progs {
		if p.Type == elf.PT_INTERP {
			return nil, ErrDynamic
		}
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return &Executable{ReaderAt: f, Size: info.Size(), close: f.Close}, nil
}

func fromRelease(goos, goarch string) (*Executable, error) {
	if embedded == nil {
		return nil, errors.New("this build is not a release and carries no binaries")
	}
	b, err := fs.ReadFile(embedded, "bottle-tui-"+goos+"-"+goarch)
	if err != nil {
		return nil, fmt.Errorf("this release carries none: %w", err)
	}
	return &Executable{ReaderAt: bytes.NewReader(b), Size: int64(len(b)), Origin: "embedded"}, nil
}

// sourceDir is the checkout that this program was compiled from. The current directory is not asked: it
// may be an agent's project, and what is found here is compiled and run.
func sourceDir() (string, error) {
	_, file, _, ok := runtime.Caller(0)
	if !ok || !filepath.IsAbs(file) {
		return "", errors.New("this build does not know its source checkout")
	}
	dir := filepath.Dir(filepath.Dir(file))
	mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		return "", fmt.Errorf("the source checkout is gone: %w", err)
	}
	if !strings.HasPrefix(string(mod), "module "+modulePath+"\n") {
		return "", fmt.Errorf("%s is not bottle-tui's source checkout", dir)
	}
	if info, ok := debug.ReadBuildInfo(); !ok || info.Path != modulePath {
		return dir, nil // a test, which go has just compiled
	}
	f, err := openSelf()
	if err != nil {
		return "", err
	}
	defer f.Close()
	program, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("find when this program was built: %w", err)
	}
	return dir, unchanged(dir, program.ModTime())
}

// ErrChanged: the source checkout is not what this program was built from any more.
var ErrChanged = errors.New("changed since this program was built")

// unchanged makes sure that nothing which is compiled in the checkout dir was written after the program was: what runs
// beside an agent is what the operator built, not what the checkout holds by then. A checkout of another revision writes
// the files that differ.
func unchanged(dir string, built time.Time) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("look through the source checkout: %w", err)
		}
		name := d.Name()
		if d.IsDir() {
			if path != dir && (strings.HasPrefix(name, ".") || name == "testdata" || name == "docs") {
				return filepath.SkipDir
			}
			return nil
		}
		compiled := name == "go.mod" || name == "go.sum" || name == "Dockerfile" ||
			strings.HasSuffix(name, ".toml") || strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go")
		if !compiled {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return fmt.Errorf("look through the source checkout: %w", err)
		}
		if info.ModTime().After(built) {
			return fmt.Errorf("%s was %w; build it again", path, ErrChanged)
		}
		return nil
	})
}

// compileTimeout bounds a compilation from an empty build cache on a slow machine.
const compileTimeout = 10 * time.Minute

// compile builds the binary into the user's cache, where an unchanged one is not linked again.
func compile(ctx context.Context, goos, goarch string) (*Executable, error) {
	dir, err := sourceDir()
	if err != nil {
		return nil, err
	}
	tool, err := exec.LookPath("go")
	if err != nil {
		return nil, fmt.Errorf("compile it: %w", err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("compile it: %w", err)
	}
	cache = filepath.Join(cache, "bottle-tui", "sidecars")
	if err := os.MkdirAll(cache, 0o700); err != nil {
		return nil, fmt.Errorf("compile it: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, compileTimeout)
	defer cancel()
	out := filepath.Join(cache, "bottle-tui-"+goos+"-"+goarch)
	lock := flock.New(out + ".lock")
	if _, err := lock.TryLockContext(ctx, 50*time.Millisecond); err != nil {
		return nil, fmt.Errorf("compile it: lock %s: %w", out+".lock", err)
	}
	defer lock.Close()

	args := []string{"build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", out}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "-tags" && s.Value != "" {
				args = append(args, "-tags="+s.Value)
			}
		}
	}
	cmd := exec.CommandContext(ctx, tool, append(args, ".")...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+goos, "GOARCH="+goarch, "GOFLAGS=", "GOWORK=off")
	cmd.WaitDelay = 5 * time.Second
	if said, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("compile it in %s (go %s): %w: %s", dir, strings.Join(args, " "), err, tailOf(said, 2000))
	}
	e, err := aside(out)
	if err != nil {
		return nil, fmt.Errorf("compile it: %w", err)
	}
	return e, nil
}

// aside opens a copy of what was compiled, which has no name any more: the next compilation may write over the file, and
// the tens of megabytes of it are not held in memory for as long as they may be needed.
func aside(compiled string) (*Executable, error) {
	from, err := os.Open(compiled)
	if err != nil {
		return nil, err
	}
	defer from.Close()
	f, err := os.CreateTemp(filepath.Dir(compiled), "."+filepath.Base(compiled)+".*")
	if err != nil {
		return nil, err
	}
	size := int64(0)
	if err = os.Remove(f.Name()); err == nil {
		size, err = io.Copy(f, from)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("copy %s: %w", compiled, err), f.Close())
	}
	return &Executable{ReaderAt: f, Size: size, Origin: "compiled", close: f.Close}, nil
}

func tailOf(b []byte, n int) string {
	s := strings.TrimSpace(string(b))
	if len(s) > n {
		s = "…" + s[len(s)-n:]
	}
	return s
}
