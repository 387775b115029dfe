package bottles

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"bottle-tui/state"
)

// surveyEnv makes of this program one that surveys a root as another user, who may open few files.
const surveyEnv = "BOTTLE_TUI_TEST_SURVEY"

// nobody is a user who is neither root nor has files of his own.
const nobody = 65534

func init() {
	dir := os.Getenv(surveyEnv)
	if dir == "" {
		return
	}
	if os.Getuid() == 0 && os.Getenv(surveyEnv+"_ROOT") == "" {
		if err := syscall.Setuid(nobody); err != nil {
			panic(err)
		}
	}
	root, err := state.Open(dir)
	if err == nil && os.Getenv(surveyEnv+"_FILES") != "" {
		err = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 3, Max: 3})
	}
	if err != nil {
		fmt.Println("refused:", err)
		os.Exit(0)
	}
	identity, id := os.Getenv(surveyEnv+"_IDENTITY"), os.Getenv(surveyEnv+"_ID")
	for _, p := range surveyed(root, identity, id) {
		fmt.Println(p)
	}
	os.Exit(0)
}

// surveyed says how a root lists a bottle that the engine has a running container and a workspace of, and what a cleanup
// would remove of it.
func surveyed(root *state.Root, identity, id string) (out []string) {
	engine := holding(id, identity, StateRunning)
	engine.info = func() error { return nil }
	snap, err := Survey(context.Background(), root, engine, time.Now())
	if err != nil {
		return []string{err.Error()}
	}
	s := New(Config{Root: root, Engine: engine, Catalog: noCatalog{}})
	s.ctx = context.Background()
	all, _ := engine.observe() // it does not fail
	x := &execution{sup: s, layout: layout{identity: identity}, report: func(string, int, int) {}}
	if err := s.cleanUp(s.ctx, x, group(all)[identity].names()); len(engine.gone) > 0 {
		out = append(out, fmt.Sprintf("removed as an orphan: %v (%v)", engine.gone, err))
	}
	for _, b := range snap.Bottles {
		out = append(out, fmt.Sprintf("%s %s (%s)", b.Identity, b.Status, b.Detail))
	}
	for _, p := range snap.Problems {
		out = append(out, "problem: "+p.Path+": "+p.Err)
	}
	return out
}

// Whatever is wrong with a state, or with the whole root, its bottle is no orphan, and the reason is told with its path.
func TestWhatCanNotBeReadIsNoOrphan(t *testing.T) {
	other := t.TempDir() // an ordinary user can't give files away: these cases are root's
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name   string
		spoil  func(r *state.Root, b *state.Bottle)
		few    bool   // the survey may open few files
		mounts string // what is mounted for the survey alone, which then runs as root: $0 is the root, $1 the bottle's state
		legacy bool   // the objects carry the hash of the path
		want   string // in the line of the bottle; "": the root does not open, or lists nothing
	}{
		{name: "whole", want: "live"},
		{name: "owner of the state", spoil: func(_ *state.Root, b *state.Bottle) { must(os.Chown(b.Dir(), 0, 0)); must(os.Chmod(b.Dir(), 0o700)) }, want: "live"},
		{name: "owner of state/", spoil: func(r *state.Root, _ *state.Bottle) { must(os.Chown(filepath.Join(r.Dir(), "state"), 0, 0)) }, want: "failed"},
		{name: "owner of state/, legacy", legacy: true, spoil: func(r *state.Root, _ *state.Bottle) { must(os.Chown(filepath.Join(r.Dir(), "state"), 0, 0)) }, want: "failed"},
		{name: "mode of state/", spoil: func(r *state.Root, _ *state.Bottle) { must(os.Chmod(filepath.Join(r.Dir(), "state"), 0o100)) }, want: "failed"},
		{name: "link", spoil: func(_ *state.Root, b *state.Bottle) {
			away := filepath.Join(other, b.Identity())
			must(os.Rename(b.Dir(), away))
			must(os.Symlink(away, b.Dir()))
		}, want: "it is a link"},
		{name: "dangling link, legacy", legacy: true, spoil: func(_ *state.Root, b *state.Bottle) {
			must(os.RemoveAll(b.Dir()))
			must(os.Symlink("/nowhere", b.Dir()))
		}, want: "it is a link"},
		{name: "file", spoil: func(_ *state.Root, b *state.Bottle) {
			must(os.RemoveAll(b.Dir()))
			must(os.WriteFile(b.Dir(), nil, 0o600))
		}, want: "not a directory"},
		{name: "too few files", few: true, want: "too many open files"},
		{name: "half written", spoil: func(_ *state.Root, b *state.Bottle) {
			must(os.WriteFile(filepath.Join(b.Dir(), "metadata.json"), []byte(`{"agent_name": "te`), 0o644))
		}, want: "live"},
		{name: "metadata is a directory", spoil: func(_ *state.Root, b *state.Bottle) {
			must(os.Remove(filepath.Join(b.Dir(), "metadata.json")))
			must(os.Mkdir(filepath.Join(b.Dir(), "metadata.json"), 0o700))
		}, want: "live"},
		{name: "no metadata", spoil: func(_ *state.Root, b *state.Bottle) {
			must(os.Remove(filepath.Join(b.Dir(), "metadata.json")))
		}, want: "live"},
		// At the beginning of a process's memory nothing is mapped: who reads there gets EIO.
		{name: "a disk that fails", mounts: `mount --bind /proc/$$/mem "$1/metadata.json"`, want: "input/output error"},
		{name: "another root of this path", mounts: `mount -t tmpfs none "$0"`},
		{name: "another root of this path, legacy", legacy: true, mounts: `mount -t tmpfs none "$0"`},
		{name: "state/ is missing", spoil: func(r *state.Root, _ *state.Bottle) {
			must(os.RemoveAll(filepath.Join(r.Dir(), "state")))
		}},
		{name: "state/ is a dangling link", spoil: func(r *state.Root, _ *state.Bottle) {
			must(os.RemoveAll(filepath.Join(r.Dir(), "state")))
			must(os.Symlink("/nowhere", filepath.Join(r.Dir(), "state")))
		}},
		{name: "the root is missing", spoil: func(r *state.Root, _ *state.Bottle) { must(os.RemoveAll(r.Dir())) }},
		{name: "the root is missing, legacy", legacy: true, spoil: func(r *state.Root, _ *state.Bottle) { must(os.RemoveAll(r.Dir())) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			if os.Getuid() != 0 && (strings.HasPrefix(c.name, "owner") || c.mounts != "") {
				return // only root can give files away, and mount
			}
			top, err := os.MkdirTemp("", "bottle-survey") // t.TempDir lets nobody else in
			must(err)
			t.Cleanup(func() { _ = os.RemoveAll(top) })
			must(os.Chmod(top, 0o777))
			root, err := state.Open(filepath.Join(top, "root"))
			must(err)
			b, err := root.Create(state.Metadata{AgentName: "tester"})
			must(err)
			must(root.Audit(b.Identity()).Append("launch", 1))
			id := root.ID()
			if c.legacy {
				id = root.PathID()
			}
			cmd := exec.Command(os.Args[0])
			if c.mounts != "" {
				cmd = exec.Command("unshare", "--mount", "sh", "-c", c.mounts+` && exec "$2"`, root.Dir(), b.Dir(), os.Args[0])
			}
			cmd.Env = append(os.Environ(), surveyEnv+"="+root.Dir(), surveyEnv+"_IDENTITY="+b.Identity(), surveyEnv+"_ID="+id, "HOME=/nowhere")
			switch {
			case c.few:
				cmd.Env = append(cmd.Env, surveyEnv+"_FILES=few")
			case c.mounts != "":
				cmd.Env = append(cmd.Env, surveyEnv+"_ROOT=yes")
			}
			if os.Getuid() == 0 && c.mounts == "" {
				must(exec.Command("chown", "-R", fmt.Sprint(nobody), root.Dir()).Run())
			}
			if c.spoil != nil {
				c.spoil(root, b)
			}
			out, err := cmd.CombinedOutput()
			said := string(out)
			switch {
			case err != nil:
				t.Errorf("%v: %s", err, said)
			case strings.Contains(said, string(Orphan)):
				t.Errorf("an orphan: %s", said)
			case c.want == "" && strings.Contains(said, b.Identity()):
				t.Errorf("it lists %s", said)
			case c.want != "" && (!strings.Contains(said, c.want) || !strings.HasPrefix(said, b.Identity())):
				t.Errorf("it says %s, and not %q", said, c.want)
			}
		})
	}
}
