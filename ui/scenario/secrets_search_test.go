package scenario_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"bottle-tui/bottles"
)

// spellingsOf are the forms in which a credential might turn up.
func spellingsOf(token string) []string {
	encoded, _ := json.Marshal(token) // a text
	all := []string{token, string(encoded[1 : len(encoded)-1]), fmt.Sprintf("%x", token)}
	for _, text := range []string{token, "x-access-token:" + token, "Bearer " + token} {
		all = append(all, strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(text)), "="), base64.RawURLEncoding.EncodeToString([]byte(text)))
	}
	if _, password, found := strings.Cut(token, ":"); found {
		all = append(all, password)
	}
	return all
}

// search looks for credentials in one place after another.
type search struct {
	*stage
	needles map[string][]byte // by where it is from
	seen    map[string]bool   // kinds of places: whether what was planted was found there
	plants  bool              // also into memory file systems
}

// searching looks for tokens, which are named after what each is for, in every form.
func (s *stage) searching(tokens map[string]string) *search {
	h := &search{stage: s, needles: map[string][]byte{}, seen: map[string]bool{}}
	for what, token := range tokens {
		for i, form := range spellingsOf(token) {
			h.needles[fmt.Sprintf("%s in form %d", what, i)] = []byte(form)
		}
	}
	return h
}

func (h *search) look(kind, where string, content []byte) {
	h.t.Helper()
	h.seen[kind] = h.seen[kind] || bytes.Contains(content, []byte(planted))
	for what, needle := range h.needles {
		if at := bytes.Index(content, needle); at >= 0 {
			h.t.Errorf("%s (%s) has the credential of %s, at byte %d", kind, where, what, at)
		}
	}
}

// tree looks into every file below a directory of this machine, and at its name.
func (h *search) tree(kind, dir string) {
	h.t.Helper()
	h.must(h.walk(kind, dir))
}

// walk is tree with its error, which is not that of a file that went away meanwhile: the program is at work.
func (h *search) walk(kind, dir string) error {
	h.t.Helper()
	return filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if path != dir && errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		h.look(kind, path, content)
		h.look(kind, path, []byte(path))
		return err
	})
}

// docker runs the engine's client.
func (h *search) docker(args ...string) []byte {
	h.t.Helper()
	out, err := exec.Command("docker", args...).CombinedOutput()
	if err != nil {
		h.t.Fatalf("docker %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return out
}

// bottle looks everywhere that a bottle is: on the engine, in its processes, and on disk.
func (h *search) bottle(id string) {
	h.t.Helper()
	mine := "label=" + bottles.LabelIdentity + "=" + id
	volumes := strings.Fields(string(h.docker("volume", "ls", "-q", "--filter", mine)))
	for name, mounted := range h.containers(id) {
		h.files(id, name, "/")
		for _, volume := range mounted {
			if !slices.Contains(volumes, volume) {
				volumes = append(volumes, volume)
			}
		}
	}
	for _, volume := range volumes {
		h.look("the inspection of a volume", volume, h.docker("volume", "inspect", volume))
		h.tree("a volume", strings.TrimSpace(string(h.docker("volume", "inspect", "--format", "{{.Mountpoint}}", volume))))
	}
	for _, network := range strings.Fields(string(h.docker("network", "ls", "-q", "--filter", mine))) {
		h.look("the inspection of a network", network, h.docker("network", "inspect", network))
	}
	h.tree("the state directory", h.root.Dir())
	h.tree("the queue", h.root.QueueDir(id))
	h.tree("the audit log", filepath.Join(h.root.Dir(), "audit"))
	h.tree("the file of --log", filepath.Dir(h.log))
}

// partOf says what a container is of a bottle.
func partOf(id, name string) string {
	if name == "claude-bottle-"+id {
		return "the agent"
	}
	return "a sidecar"
}

// files looks at what lies in a container below a directory, volumes included.
func (h *search) files(id, name, dir string) {
	h.t.Helper()
	files, err := h.engine.CopyOut(h.t.Context(), name, dir)
	h.must(err)
	content, err := io.ReadAll(io.LimitReader(files, 1<<30))
	files.Close()
	h.must(err)
	h.look("the files of "+partOf(id, name), name, content)
}

// containers looks at what the engine says of a bottle's containers, and, where this is root, into their processes. It
// gives the containers with their volumes.
func (h *search) containers(id string) (volumes map[string][]string) {
	h.t.Helper()
	volumes = map[string][]string{}
	for _, name := range strings.Fields(string(h.docker("ps", "-a", "--filter", "label="+bottles.LabelIdentity+"="+id, "--format", "{{.Names}}"))) {
		described := h.docker("container", "inspect", name)
		h.look("the inspection of a container", name, described)
		var facts []struct {
			Image  string
			State  struct{ Pid int }
			Mounts []struct{ Type, Name string }
		}
		h.must(json.Unmarshal(described, &facts))
		h.look("the inspection of an image", facts[0].Image, h.docker("image", "inspect", facts[0].Image))
		h.look("the history of an image", facts[0].Image, h.docker("image", "history", "--no-trunc", facts[0].Image))
		h.look("the log of a container", name, h.docker("logs", name))
		who := partOf(id, name)
		volumes[name] = nil
		if pid := facts[0].State.Pid; pid > 0 {
			h.look("the processes of "+who, name, h.docker("top", name))
			if os.Geteuid() == 0 {
				h.process(who, pid)
			}
		}
		for _, m := range facts[0].Mounts {
			if m.Type == "volume" {
				volumes[name] = append(volumes[name], m.Name)
			}
		}
	}
	return volumes
}

// process looks at a container's first process and at those below it, and at what lies in its memory file systems,
// which the engine does not copy.
func (h *search) process(who string, pid int) {
	h.t.Helper()
	proc := fmt.Sprintf("/proc/%d/", pid)
	// A process may end meanwhile; it is then as if it had never been seen.
	gone := func(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) }
	for _, file := range []string{"environ", "cmdline"} {
		content, err := os.ReadFile(proc + file)
		if gone(err) {
			return
		}
		h.must(err)
		h.look(file+" of "+who, proc+file, content)
	}
	for _, dir := range []string{"tmp", "dev/shm", "run"} {
		if _, err := os.Stat(proc + "root/" + dir); err == nil && h.plants {
			_ = os.WriteFile(proc+"root/"+dir+"/"+planted, []byte(planted), 0o644) // where it is a memory file system
			if err := h.walk("the memory file systems of "+who, proc+"root/"+dir); !gone(err) {
				h.must(err)
			}
		}
	}
	children, err := os.ReadFile(fmt.Sprintf("%stask/%d/children", proc, pid))
	if gone(err) {
		return
	}
	h.must(err)
	for _, child := range strings.Fields(string(children)) {
		var n int
		_, err := fmt.Sscan(child, &n)
		h.must(err)
		h.process(who, n)
	}
}
