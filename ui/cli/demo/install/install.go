// Package install is `bottle-tui demo-install`, which the demo's Dockerfiles run while an image is built: it
// puts one of this binary's applets among the image's programs. It stands for a package manager, and needs
// no network. It must not run outside a build.
package install

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Dir is where applets are installed. It is in the demo images' PATH.
const Dir = "/usr/local/bin"

// pace is the pause between two lines, so that a build's progress can be seen. Six of them are less than
// half a second.
const pace = 60 * time.Millisecond

var applets = map[string]string{"tally": "counts files, lines and bytes by file type"}

// Run is `bottle-tui demo-install [--check] APPLET`: it links APPLET in Dir to this program, or with --check
// runs it once to see that it works. It gives the process's exit code.
func Run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	check := len(args) > 0 && args[0] == "--check"
	if check {
		args = args[1:]
	}
	if len(args) != 1 || applets[args[0]] == "" {
		fmt.Fprintf(stderr, "usage: bottle-tui demo-install [--check] APPLET\nThe applets: tally.\n")
		return 2
	}
	self, err := os.Executable()
	if err == nil {
		if check {
			err = verify(ctx, Dir, args[0], stdout)
		} else {
			err = Install(ctx, self, Dir, args[0], stdout)
		}
	}
	if err != nil {
		fmt.Fprintf(stderr, "demo-install: %s: %v\n", args[0], err)
		return 1
	}
	return 0
}

// Install links name in dir to the binary at self, telling each step.
func Install(ctx context.Context, self, dir, name string, out io.Writer) error {
	steps := []struct {
		text string
		do   func() error
	}{
		{"looking for it … an applet of " + self, func() error { _, err := os.Stat(self); return err }},
		{"making " + dir, func() error { return os.MkdirAll(dir, 0o755) }},
		{"linking " + filepath.Join(dir, name), func() error {
			link := filepath.Join(dir, name)
			if err := os.Remove(link); err != nil && !os.IsNotExist(err) {
				return err
			}
			return os.Symlink(self, link)
		}},
	}
	for i, s := range steps {
		fmt.Fprintf(out, "%s [%d/%d] %s\n", name, i+1, len(steps), s.text)
		if err := s.do(); err != nil {
			return err
		}
		select {
		case <-time.After(pace):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	fmt.Fprintf(out, "%s installed: it %s\n", name, applets[name])
	return nil
}

// verify runs what was installed.
func verify(ctx context.Context, dir, name string, out io.Writer) error {
	path := filepath.Join(dir, name)
	fmt.Fprintf(out, "%s check: running %s on /etc\n", name, path)
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	said, err := exec.CommandContext(ctx, path, "/etc").CombinedOutput()
	for line := range strings.Lines(string(said)) {
		fmt.Fprintf(out, "  %s", line)
	}
	if err != nil {
		return fmt.Errorf("it was installed but does not run: %w", err)
	}
	fmt.Fprintf(out, "%s check: it works\n", name)
	return nil
}
