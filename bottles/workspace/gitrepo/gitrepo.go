// Package gitrepo reads the git repository of a directory of the operator's, in whatever shape it is there, as the files
// of one self-contained `.git` directory. It must not run git, change the repository, follow a link out of the places
// that it names, or let a path of the host into what it gives.
package gitrepo

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// ErrNone: what is called `.git` is no repository and does not point to one.
var ErrNone = errors.New("not a git repository")

// Unusable says why no self-contained copy of a repository can be made, and what to do.
type Unusable struct {
	What, Fix string
	Broken    bool // git does not work on the host either
}

func (u *Unusable) Error() string { return u.What + ": " + u.Fix }

// Repo is a git repository as it lies on the host. It holds no open files.
type Repo struct {
	Git    string // its own directory, without links: the worktree's own one, for a linked worktree
	Common string // the directory that all its worktrees share; mostly Git
	Work   string // the directory with its files; "": not known
	// Linked: the copy is a linked worktree, too, of a copy of Common: it has the worktree's own files alone.
	Linked bool
	Part   string // the one directory of Work whose files are in a copy, with slashes, and one at its end; "": all are

	// Removed are the names of the settings of its configuration that are left out of a copy; never their values.
	Removed []string

	links    map[string]string // what of Common, or of Git, is a link: where it leads, by its first name
	objects  []string          // the directories of its objects: its own first, then those that it borrows from
	settings []setting
	idLen    int // bytes of an object's name
	reftable bool
}

// The bounds of what is read whole.
const (
	maxPointer = 64 << 10  // bytes of a file that has a path in it, or one ref
	maxConfig  = 4 << 20   // bytes of a configuration
	maxState   = 512 << 20 // bytes of all that is not objects
	maxBorrow  = 5         // how far a repository that another one borrows from may borrow itself; git's bound
)

// Open finds the repository whose `.git` lies in a directory, whatever that is: a directory, a file or a link. It gives
// ErrNone where there is none, and an *Unusable where there is one that can't be copied.
func Open(dir string) (*Repo, error) {
	git, pointed, err := gitDirOf(dir)
	if err != nil {
		return nil, err
	}
	r, err := OpenGit(git)
	switch {
	case errors.Is(err, ErrNone) && pointed:
		return nil, &Unusable{
			What:   fmt.Sprintf("%s points to %s, which is no git repository", filepath.Join(dir, ".git"), git),
			Fix:    "mend it (git worktree repair, or git submodule update), or go on without git",
			Broken: true,
		}
	case err != nil:
		return nil, err
	}
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, err
	}
	if r.Git == r.Common {
		switch elsewhere, set := r.worktree(); {
		case set && elsewhere != real:
			return nil, &Unusable{
				What: fmt.Sprintf("the files of the repository %s are in %s (core.worktree), not in %s", r.Git, elsewhere, dir),
				Fix:  "start with --cwd " + elsewhere + " where it has a .git, or unset core.worktree",
			}
		case !set && r.bare():
			return nil, &Unusable{
				What: fmt.Sprintf("%s is a bare repository: it has no files to work on", r.Git),
				Fix:  "make a worktree of it (git -C " + r.Git + " worktree add DIRECTORY) and start with --cwd DIRECTORY",
			}
		}
	}
	r.Work = real
	return r, nil
}

// OpenGit opens the repository that a directory is, one that would be called `.git`.
func OpenGit(git string) (*Repo, error) {
	git, err := filepath.EvalSymlinks(git)
	if err != nil {
		return nil, none(err)
	}
	r := &Repo{Git: git, Common: git, idLen: 20, links: map[string]string{}}
	if text, err := readSmall(filepath.Join(git, "commondir"), maxPointer); err == nil {
		if r.Common, err = filepath.EvalSymlinks(below(git, trimLine(text))); err != nil {
			return nil, none(err)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, none(err)
	}
	if _, err := os.Lstat(filepath.Join(r.Git, "HEAD")); err != nil {
		return nil, none(err)
	}
	for _, name := range []string{"objects", "refs"} {
		info, err := os.Stat(filepath.Join(r.Common, name))
		if err != nil || !info.IsDir() {
			return nil, none(err)
		}
	}
	if err := r.findLinks(); err != nil {
		return nil, err
	}
	if err := r.configure(); err != nil {
		return nil, err
	}
	return r, r.borrow()
}

// none is ErrNone for what is not there, and the error else.
func none(err error) error {
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return ErrNone
	}
	return err
}

// gitDirOf finds where the `.git` of a directory is; pointed says that it is only a pointer.
func gitDirOf(dir string) (git string, pointed bool, err error) {
	dot := filepath.Join(dir, ".git")
	info, err := os.Stat(dot)
	if errors.Is(err, fs.ErrNotExist) {
		if to, err := os.Readlink(dot); err == nil {
			return below(dir, to), true, nil
		}
	}
	switch {
	case err != nil:
		return "", false, none(err)
	case info.IsDir():
		linked, _ := os.Lstat(dot)
		return dot, linked != nil && linked.Mode()&fs.ModeSymlink != 0, nil
	case !info.Mode().IsRegular():
		return "", false, ErrNone
	}
	text, err := readSmall(dot, maxPointer)
	if err != nil {
		return "", false, err
	}
	to, found := strings.CutPrefix(text, "gitdir:")
	if to = strings.TrimSpace(to); !found || to == "" {
		return "", false, ErrNone
	}
	return below(dir, to), true, nil
}

// below is a path that may be relative to a directory.
func below(dir, p string) string {
	if filepath.IsAbs(p) {
		return filepath.Clean(p)
	}
	return filepath.Join(dir, p)
}

func trimLine(text string) string { return strings.TrimRight(text, "\r\n") }

// readSmall reads a file of at most so many bytes.
func readSmall(name string, most int64) (string, error) {
	f, err := os.OpenFile(name, openFlags, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return readFile(f, most)
}

func readFile(f *os.File, most int64) (string, error) {
	info, err := f.Stat()
	switch {
	case err != nil:
		return "", err
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("%s is not a regular file", f.Name())
	case info.Size() > most:
		return "", fmt.Errorf("%s has %d bytes, more than the %d that are read", f.Name(), info.Size(), most)
	}
	text, err := io.ReadAll(io.LimitReader(f, most))
	return string(text), err
}

// linkable are the names in a repository's directory that may be links to other places, as git-new-workdir makes them.
var linkable = []string{"objects", "refs", "packed-refs", "config", "logs", "info", "shallow", "rr-cache", "remotes", "hooks", "branches", "lfs", "modules"}

// findLinks finds what of the repository is a link.
func (r *Repo) findLinks() error {
	for _, name := range linkable {
		dir := r.Common
		if private(name) {
			dir = r.Git
		}
		info, err := os.Lstat(filepath.Join(dir, name))
		if err != nil || info.Mode()&fs.ModeSymlink == 0 {
			continue // what can't be looked at fails where it is read
		}
		real, err := filepath.EvalSymlinks(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		r.links[name] = real
	}
	return nil
}

// configure reads the repository's configuration.
func (r *Repo) configure() error {
	text, err := readSmall(filepath.Join(r.Common, "config"), maxConfig)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read the configuration of the repository %s: %w", r.Common, err)
	}
	if r.settings, err = parseConfig([]byte(text)); err != nil {
		return &Unusable{What: fmt.Sprintf("the configuration of the repository %s can't be read (%v)", r.Common, err), Fix: "mend " + filepath.Join(r.Common, "config"), Broken: true}
	}
	if last, ok := r.get("extensions.worktreeconfig"); ok && last.yes() {
		text, err := readSmall(filepath.Join(r.Git, "config.worktree"), maxConfig)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("read the configuration of the worktree %s: %w", r.Git, err)
		}
		more, err := parseConfig([]byte(text))
		if err != nil {
			return &Unusable{What: fmt.Sprintf("the configuration of the worktree %s can't be read (%v)", r.Git, err), Fix: "mend " + filepath.Join(r.Git, "config.worktree"), Broken: true}
		}
		r.settings = append(r.settings, more...)
	}
	if last, ok := r.get("extensions.objectformat"); ok && strings.EqualFold(last.value, "sha256") {
		r.idLen = 32
	}
	if last, ok := r.get("extensions.refstorage"); ok && strings.HasPrefix(strings.ToLower(last.value), "reftable") {
		if r.reftable = true; r.Git != r.Common {
			return &Unusable{
				What: fmt.Sprintf("the repository %s keeps its refs as a reftable, and %s is one of its worktrees", r.Common, r.Git),
				Fix:  "start with its main worktree, or change it with: git refs migrate --ref-format=files",
			}
		}
	}
	_, r.Removed = sanitizeConfig(r.settings)
	return r.partial()
}

// partial refuses a clone that fetches its objects when they are needed.
func (r *Repo) partial() error {
	for _, s := range r.settings {
		promisor := s.section == "remote" && (s.key == "promisor" && s.yes() || s.key == "partialclonefilter")
		if !promisor && (s.section != "extensions" || s.key != "partialclone") {
			continue
		}
		remote := s.sub
		if s.section == "extensions" {
			remote = s.value
		}
		return &Unusable{
			What: fmt.Sprintf("the repository %s is a partial clone: git fetches what it lacks from %s when it needs it, and can't inside", r.Common, remote),
			Fix: fmt.Sprintf("make it whole first: git -C %[1]s config --unset remote.%[2]s.partialclonefilter; git -C %[1]s config --unset remote.%[2]s.promisor; "+
				"git -C %[1]s config --unset extensions.partialclone; git -C %[1]s fetch --refetch %[2]s", r.Common, remote),
		}
	}
	return nil
}

func (r *Repo) get(name string) (last setting, ok bool) { return lastOf(r.settings, name) }

// lastOf is the last setting of a name without a subsection: the one that holds.
func lastOf(settings []setting, name string) (last setting, ok bool) {
	for _, s := range settings {
		if s.sub == "" && s.name() == name {
			last, ok = s, true
		}
	}
	return last, ok
}

func (r *Repo) bare() bool {
	last, ok := r.get("core.bare")
	return ok && last.yes()
}

// worktree is where core.worktree says that the files are.
func (r *Repo) worktree() (string, bool) {
	last, ok := r.get("core.worktree")
	if !ok || last.value == "" {
		return "", false
	}
	dir := below(r.Git, last.value)
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	return dir, true
}

// borrow finds the directories of objects that this repository has its own in, and borrows others from.
func (r *Repo) borrow() error {
	own, err := filepath.EvalSymlinks(filepath.Join(r.Common, "objects"))
	if err != nil {
		return err
	}
	r.objects = []string{own}
	next := []string{own}
	for range maxBorrow {
		var found []string
		for _, dir := range next {
			text, err := readSmall(filepath.Join(dir, "info", "alternates"), maxPointer)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return fmt.Errorf("read whose objects the repository %s borrows: %w", r.Common, err)
			}
			for line := range strings.Lines(text) {
				line = trimLine(line)
				if line == "" || line[0] == '#' {
					continue
				}
				at, err := filepath.EvalSymlinks(below(dir, unquote(line)))
				if err != nil {
					return &Unusable{
						What:   fmt.Sprintf("the repository %s borrows objects from %s, which can't be read (%v)", r.Common, unquote(line), err),
						Fix:    "bring that back, or clone the repository anew",
						Broken: true,
					}
				}
				if !slices.Contains(r.objects, at) {
					r.objects, found = append(r.objects, at), append(found, at)
				}
			}
		}
		next = found
	}
	return nil
}

// unquote reads a path as git's alternates may have it, in quotes.
func unquote(line string) string {
	if settings, err := parseConfig([]byte("[a]\nb = " + line)); strings.HasPrefix(line, `"`) && err == nil && len(settings) == 1 {
		return settings[0].value
	}
	return line
}

// Places are the directories that a copy is made from.
func (r *Repo) Places() []string {
	out := []string{r.Git}
	for _, p := range slices.Concat([]string{r.Common}, r.objects, slices.Sorted(maps.Values(r.links))) {
		if !slices.ContainsFunc(out, func(known string) bool { return within(p, known) }) {
			out = append(out, p)
		}
	}
	return out
}

// within says whether a path is a directory or in it.
func within(p, dir string) bool {
	return p == dir || strings.HasPrefix(p, strings.TrimSuffix(dir, string(filepath.Separator))+string(filepath.Separator))
}

// Modules are the names of the submodules whose repositories are kept in this one's directory, under "modules".
func (r *Repo) Modules() ([]string, error) {
	var out []string
	var look func(dir, name string, depth int) error
	look = func(dir, name string, depth int) error {
		list, err := os.ReadDir(dir)
		if errors.Is(err, fs.ErrNotExist) || depth > 16 {
			return nil
		}
		if err != nil {
			return err
		}
		has := map[string]bool{}
		for _, e := range list {
			has[e.Name()] = true
		}
		if has["HEAD"] && has["objects"] && has["refs"] {
			out = append(out, name)
			return nil
		}
		for _, e := range list {
			if e.IsDir() {
				if err := look(filepath.Join(dir, e.Name()), path.Join(name, e.Name()), depth+1); err != nil {
					return err
				}
			}
		}
		return nil
	}
	err := look(filepath.Join(r.Git, "modules"), "", 0)
	return out, err
}

// Bare says whether a directory is itself what would be called `.git`.
func Bare(dir string) bool {
	for _, name := range []string{"HEAD", "objects", "refs"} {
		info, err := os.Lstat(filepath.Join(dir, name))
		if err != nil || info.IsDir() != (name != "HEAD") {
			return false
		}
	}
	return true
}
