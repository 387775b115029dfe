package queue

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"bottle-tui/state"
)

const (
	requestSuffix = ".request.json"
	answerSuffix  = ".answer.json"
	doneDir       = "done"

	dirPerm  fs.FileMode = 0o700
	filePerm fs.FileMode = 0o600

	maxNames    = 4096 // names in a queue directory that are looked at
	maxRequests = 64   // request files that are read at once
	maxDropped  = 200  // latest archived requests, which are kept however they ended
	maxDone     = 1000 // archived requests that are kept
)

// Box is one bottle's queue directory.
type Box struct {
	dir      string
	identity string // whose requests may lie in it; "" when the directory's name does not say
}

// Open is the box in dir, whether there is one or not. Where dir is named after an identity, requests of
// another one are refused.
func Open(dir string) *Box {
	b := &Box{dir: filepath.Clean(dir)}
	if name := filepath.Base(b.dir); state.ValidIdentity(name) {
		b.identity = name
	}
	return b
}

// Dir is the queue directory.
func (b *Box) Dir() string { return b.dir }

func (b *Box) requestPath(id string) string { return filepath.Join(b.dir, id+requestSuffix) }
func (b *Box) answerPath(id string) string  { return filepath.Join(b.dir, id+answerSuffix) }

// Make makes the directory if it is missing, 0700. When this program is root and owner is above 0, it
// belongs to the user and group of that number, under whom the sidecar runs.
func (b *Box) Make(owner int) error {
	fail := func(err error) error { return fmt.Errorf("making the queue directory %s: %w", b.dir, err) }
	if err := os.Mkdir(b.dir, dirPerm); err != nil && !errors.Is(err, fs.ErrExist) {
		return fail(err)
	}
	root, err := b.root()
	if err != nil {
		return fail(err)
	}
	defer root.Close()
	if err := root.Mkdir(doneDir, dirPerm); err != nil && !errors.Is(err, fs.ErrExist) {
		return fail(err)
	}
	for _, name := range []string{".", doneDir} {
		info, err := root.Lstat(name)
		if err == nil && !info.IsDir() {
			err = fmt.Errorf("%s is not a directory: remove it", name)
		}
		if err == nil && info.Mode().Perm() != dirPerm {
			err = root.Chmod(name, dirPerm)
		}
		if err == nil && owner > 0 && os.Geteuid() == 0 {
			err = root.Lchown(name, owner, owner)
		}
		if err != nil {
			return fail(err)
		}
	}
	if err := errors.Join(state.SyncDir(b.dir), state.SyncDir(filepath.Dir(b.dir))); err != nil {
		return fail(err)
	}
	return nil
}

// Probe says with an error why a request can't be put into the directory: it writes a file there, and removes it.
func (b *Box) Probe() error {
	fail := func(err error) error { return fmt.Errorf("writing into the queue %s: %w", b.dir, err) }
	root, err := b.root()
	if err != nil {
		return fail(err)
	}
	defer root.Close()
	name := ".probe." + state.RandomBase36(8) // no name of a request
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, filePerm)
	if err != nil {
		return fail(err)
	}
	_, err = f.WriteString("probe\n")
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close(), root.Remove(name)); err != nil {
		return fail(err)
	}
	return nil
}

// root opens the directory so that nothing the sidecar put there leads out of it.
func (b *Box) root() (*os.Root, error) {
	info, err := os.Lstat(b.dir)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, errors.New("it is not a directory")
	}
	return os.OpenRoot(b.dir)
}

// Put writes a request, in place of one with the same id that has no answer yet; after that it is
// ErrAnswered. A request whose file would be larger than MaxFile is refused.
func (b *Box) Put(r Request) error {
	fail := func(err error) error { return fmt.Errorf("putting the request %s in the queue: %w", quoted(r.ID), err) }
	if err := r.check(b.identity); err != nil {
		return fail(err)
	}
	content, err := text(r.unknown, r.fields())
	if err != nil {
		return fail(err)
	}
	if answered, err := b.exists(r.ID+answerSuffix, doneName(r.ID+requestSuffix), doneName(r.ID+answerSuffix)); err != nil {
		return fail(err)
	} else if answered {
		return fail(ErrAnswered)
	}
	if err := state.WriteFile(b.requestPath(r.ID), content, filePerm); err != nil {
		return fail(err)
	}
	return nil
}

// exists says whether there is anything of one of the names, given relative to the directory. What can't be looked at is
// an error, and not absent.
func (b *Box) exists(names ...string) (bool, error) {
	for _, name := range names {
		if _, err := os.Lstat(filepath.Join(b.dir, name)); !errors.Is(err, fs.ErrNotExist) {
			return err == nil, err
		}
	}
	return false, nil
}

// isDone says whether the request was archived.
func (b *Box) isDone(id string) (bool, error) {
	return b.exists(doneName(id+requestSuffix), doneName(id+answerSuffix))
}

func doneName(name string) string { return filepath.Join(doneDir, name) }

// Requests reads the requests that were not archived, in order of arrival, and says which files were
// refused and why. Names that are not of requests are passed over. A directory that is not there is empty.
func (b *Box) Requests() ([]Pending, []Problem) {
	var problems []Problem
	refuse := func(path string, err error) {
		problems = append(problems, Problem{Path: Visible(path), Err: Visible(err.Error())})
	}
	names, err := b.names()
	if err != nil {
		refuse(b.dir, err)
	}
	var out []Pending
	read := 0
	for _, name := range names {
		id, ok := strings.CutSuffix(name, requestSuffix)
		if !ok || strings.HasPrefix(name, ".") {
			continue
		}
		if !ValidID(id) {
			refuse(filepath.Join(b.dir, name), errors.New("its name is not that of a request"))
			continue
		}
		if read++; read > maxRequests {
			refuse(b.dir, fmt.Errorf("it holds more than %d requests: only the first are shown", maxRequests))
			break
		}
		r, err := b.read(id)
		if errors.Is(err, fs.ErrNotExist) {
			continue // archived since the directory was listed
		}
		if err != nil {
			refuse(b.requestPath(id), err)
			continue
		}
		answer, err := readAnswer(b.answerPath(id), id)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			refuse(b.answerPath(id), err)
		}
		out = append(out, Pending{Request: r, Answer: answer})
	}
	slices.SortStableFunc(out, func(x, y Pending) int {
		if c := x.ArrivedAt.Compare(y.ArrivedAt); c != 0 {
			return c
		}
		return strings.Compare(x.ID, y.ID)
	})
	return out, problems
}

// names lists the directory, sorted. More names than anybody needs are an error beside the first of them.
func (b *Box) names() ([]string, error) {
	root, err := b.root()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer root.Close()
	d, err := root.Open(".")
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(maxNames + 1)
	if len(names) > maxNames {
		names, err = names[:maxNames], fmt.Errorf("it holds more than %d names: only some are looked at", maxNames)
	} else if errors.Is(err, io.EOF) {
		err = nil // so an empty directory ends
	}
	slices.Sort(names)
	return names, err
}

func (b *Box) read(id string) (Request, error) {
	content, err := readFile(b.requestPath(id))
	if err != nil {
		return Request{}, err
	}
	return parseRequest(content, id, b.identity)
}

// readFile reads a file of the queue. Its errors leave the path to the caller.
func readFile(path string) ([]byte, error) {
	content, err := state.ReadFile(path, MaxFile)
	if cause := errors.Unwrap(err); cause != nil {
		return nil, cause
	}
	return content, err
}

func readAnswer(path, id string) (*Answer, error) {
	content, err := readFile(path)
	if err != nil {
		return nil, err
	}
	a, err := parseAnswer(content, id)
	if err != nil {
		return nil, err
	}
	return &a, nil
}

// Answer writes the decision on a request. Of several the first alone is written: after it, the error is
// ErrAnswered, and for an id that was never asked, ErrNoRequest. The file goes to the owner of the
// directory, who waits for it.
func (b *Box) Answer(a Answer) error {
	if err := b.answer(a); err != nil {
		return fmt.Errorf("answering the request %s in %s: %w", quoted(a.Request), b.dir, err)
	}
	return nil
}

func (b *Box) answer(a Answer) error {
	if err := a.check(); err != nil {
		return err
	}
	content, err := text(a.unknown, a.fields())
	if err != nil {
		return err
	}
	root, err := b.root()
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNoRequest
	}
	if err != nil {
		return err
	}
	defer root.Close()
	if err := b.open(a.Request); err != nil {
		return err
	}
	temp := "." + a.Request + answerSuffix + "." + state.RandomBase36(8)
	if err := b.give(root, temp, content); err != nil {
		_ = root.Remove(temp) // it may not be there
		return err
	}
	name := a.Request + answerSuffix
	err = root.Link(temp, name) // a link, for a rename would replace what another program wrote
	err = errors.Join(err, root.Remove(temp))
	if errors.Is(err, fs.ErrExist) {
		return ErrAnswered
	}
	if err != nil {
		return err
	}
	// Another program may have answered and archived since the request was looked at.
	if err := b.requested(a.Request); err != nil {
		return errors.Join(err, root.Remove(name))
	}
	return state.SyncDir(b.dir)
}

// open says with an error why the request can't be answered.
func (b *Box) open(id string) error {
	if answered, err := b.exists(id + answerSuffix); err != nil {
		return err
	} else if answered {
		return ErrAnswered
	}
	return b.requested(id)
}

func (b *Box) requested(id string) error {
	if there, err := b.exists(id + requestSuffix); err != nil || there {
		return err
	}
	done, err := b.isDone(id)
	switch {
	case err != nil:
		return err
	case done:
		return ErrAnswered
	}
	return ErrNoRequest
}

// give writes a new file for the owner of the directory.
func (b *Box) give(root *os.Root, name string, content []byte) error {
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, filePerm)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil && os.Geteuid() == 0 {
		var dir fs.FileInfo
		if dir, err = root.Stat("."); err == nil {
			if owner, ok := dir.Sys().(*syscall.Stat_t); ok {
				err = f.Chown(int(owner.Uid), int(owner.Gid))
			}
		}
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// AnswerTo is the answer to a request, archived or not; nil while there is none.
func (b *Box) AnswerTo(id string) (*Answer, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	for _, path := range []string{b.answerPath(id), filepath.Join(b.dir, doneDir, id+answerSuffix)} {
		a, err := readAnswer(path, id)
		if err == nil {
			return a, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("reading the answer %s: %w", path, err)
		}
	}
	return nil, nil
}

// Archive moves a request and its answer to done/. Doing so again changes nothing.
func (b *Box) Archive(id string) error {
	fail := func(err error) error { return fmt.Errorf("archiving the request %s of %s: %w", quoted(id), b.dir, err) }
	if err := checkID(id); err != nil {
		return fail(err)
	}
	root, err := b.root()
	if errors.Is(err, fs.ErrNotExist) {
		err = ErrNoRequest
	}
	if err != nil {
		return fail(err)
	}
	defer root.Close()
	moved := false
	// The request first: while its answer is still in place, nobody can answer it again.
	for _, suffix := range []string{requestSuffix, answerSuffix} {
		err := root.Rename(id+suffix, filepath.Join(doneDir, id+suffix))
		if err == nil {
			moved = true
		} else if there, lookErr := b.exists(id + suffix); there || lookErr != nil {
			return fail(err)
		} // else there is nothing to move, or it was moved before
	}
	if !moved {
		done, err := b.isDone(id)
		if err == nil && !done {
			err = ErrNoRequest
		}
		if err != nil {
			return fail(err)
		}
		return nil
	}
	if err := errors.Join(b.prune(root), state.SyncDir(filepath.Join(b.dir, doneDir)), state.SyncDir(b.dir)); err != nil {
		return fail(err)
	}
	return nil
}

// prune removes archived requests when there are many: behind the latest maxDropped those that nobody decided on, and
// behind maxDone all. The audit log has them.
func (b *Box) prune(root *os.Root) error {
	d, err := root.Open(doneDir)
	if err != nil {
		return err
	}
	names, err := d.Readdirnames(-1)
	if err = errors.Join(err, d.Close()); err != nil || len(names) <= 2*maxDropped {
		return err
	}
	slices.Sort(names) // an id begins with the time of its request
	done := 0
	for _, name := range slices.Backward(names) {
		id, ok := strings.CutSuffix(name, requestSuffix)
		if !ok || !ValidID(id) {
			continue
		}
		if done++; done <= maxDropped {
			continue
		}
		answer, err := readAnswer(filepath.Join(b.dir, doneDir, id+answerSuffix), id)
		undecided := err == nil && (answer.Decision == Withdrawn || answer.Decision == Expired)
		if done <= maxDone && !undecided {
			continue
		}
		for _, suffix := range []string{answerSuffix, requestSuffix} {
			if err := root.Remove(filepath.Join(doneDir, id+suffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}
