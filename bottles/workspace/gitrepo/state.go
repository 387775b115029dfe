package gitrepo

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Content is one file of a copy's `.git` that was read, and may have been changed for it.
type Content struct {
	Name string // from the copy's `.git`, with slashes
	Data []byte
	Mode fs.FileMode // permission bits
	Time time.Time   // of its last change
}

// State is everything of a repository that is not objects, at one moment: HEAD, refs, index, configuration, what a
// rebase or a merge left.
type State struct {
	Files []Content
	tips  map[string]string // what HEAD and the refs point to: object, by the name of the ref
	sig   string
}

// lockFresh is how old a lock may be to count as one that somebody holds; an older one was left behind.
const lockFresh = 10 * time.Second

// Unchanged says whether the repository is still in the state that was read, and nobody is changing it.
func (r *Repo) Unchanged(s *State, now time.Time) (same, busy bool, err error) {
	sig, err := r.signature()
	return sig == s.sig, r.locked(now), err
}

// signature tells one state of the repository from another, by the times, sizes and places of its files.
func (r *Repo) signature() (string, error) {
	var b strings.Builder
	err := r.eachState(func(f File, info fs.FileInfo) error {
		fmt.Fprintf(&b, "%s %v\n", f.Name, MarkOf(info))
		return nil
	})
	return b.String(), err
}

// locked says whether a git command is changing the repository.
func (r *Repo) locked(now time.Time) bool {
	locks := []string{filepath.Join(r.Git, "index.lock"), filepath.Join(r.Git, "HEAD.lock"), filepath.Join(r.Common, "packed-refs.lock")}
	return slices.ContainsFunc(locks, func(name string) bool {
		info, err := os.Lstat(name)
		return err == nil && now.Sub(info.ModTime()) < lockFresh
	})
}

// readTries is how often a state is read that changes meanwhile. The last one read may be of two moments.
const readTries = 5

// Read reads the state. place is where the copy's `.git` lies, and work where its files lie, both from one directory,
// "" for work that is the copy's own or not known; of a Linked one work is the whole path inside. hostPaths are directories whose names are not told.
func (r *Repo) Read(place, work string, hostPaths []string) (s *State, err error) {
	hostPaths = r.hidden(hostPaths)
	for range readTries {
		sig, err := r.signature()
		if err != nil {
			return nil, err
		}
		if s != nil && s.sig == sig {
			break
		}
		if s, err = r.read(sig, place, work, hostPaths); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// hidden are the directories of the host whose names are not told, the longest first.
func (r *Repo) hidden(more []string) []string {
	paths := append(append([]string{r.Git, r.Common, r.Work}, r.objects...), more...)
	paths = slices.DeleteFunc(paths, func(p string) bool { return len(p) < 2 })
	slices.SortFunc(paths, func(a, b string) int { return len(b) - len(a) })
	return paths
}

// tellsOf says whether a text has one of some paths in it.
func tellsOf(text []byte, paths []string) bool {
	return slices.ContainsFunc(paths, func(p string) bool { return bytes.Contains(text, []byte(p)) })
}

// HostHooks are the names of the hooks that have a path of the host in them, and are left out of a copy.
func (r *Repo) HostHooks(hostPaths []string) (out []string, err error) {
	hostPaths = r.hidden(hostPaths)
	err = r.eachState(func(f File, _ fs.FileInfo) error {
		if !strings.HasPrefix(f.Name, "hooks/") {
			return nil
		}
		text, err := f.read()
		if tellsOf(text, hostPaths) {
			out = append(out, f.Name)
		}
		return gone(err)
	})
	return out, err
}

func (r *Repo) read(sig, place, work string, hostPaths []string) (*State, error) {
	s := &State{sig: sig, tips: map[string]string{}}
	var size int64
	err := r.eachState(func(f File, info fs.FileInfo) error {
		var err error
		c := Content{Name: f.Name, Mode: info.Mode().Perm(), Time: info.ModTime()}
		if size += info.Size(); size > maxState {
			return fmt.Errorf("it has more than %d MiB besides its objects", maxState>>20)
		}
		if info.Mode()&fs.ModeSymlink != 0 { // HEAD, as git wrote it long ago
			to, err := f.dir.Readlink(f.base)
			if err != nil || !strings.HasPrefix(to, "refs/") {
				return gone(err)
			}
			c.Data, c.Mode = []byte("ref: "+to+"\n"), 0o644
		} else if c.Data, err = f.read(); err != nil {
			return gone(err)
		}
		return s.take(r, c, hostPaths)
	})
	s.Files = slices.DeleteFunc(s.Files, func(c Content) bool { return c.Name == "config" })
	if r.Linked {
		now := time.Now()
		s.Files = append(s.Files, Content{Name: "commondir", Data: []byte("../..\n"), Mode: 0o644, Time: now},
			Content{Name: "gitdir", Data: []byte(work + "/.git\n"), Mode: 0o644, Time: now})
		return s, err
	}
	s.Files = append(s.Files, r.config(place, work))
	s.exclude(r, hostPaths)
	if r.Part != "" {
		s.Files = append(s.Files, Content{Name: "info/sparse-checkout", Data: []byte("/" + patternOf.Replace(r.Part) + "\n"), Mode: 0o644, Time: time.Now()})
	}
	return s, err
}

func (f File) read() ([]byte, error) {
	file, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := readFile(file, maxState)
	return []byte(text), err
}

// take adds a file as the copy has it.
func (s *State) take(r *Repo, c Content, hostPaths []string) error {
	switch first, _, _ := strings.Cut(c.Name, "/"); {
	case c.Name == "index": // a shared index, which a split one is based on, has nothing of the host's
		out, err := portableIndex(c.Data, r.idLen, r.Part)
		switch {
		case err == nil:
			c.Data = out
		case r.Part != "":
			return fmt.Errorf("read its index: %w", err)
		}
	case c.Name == "info/sparse-checkout" && r.Part != "":
		return nil
	case first == "refs" || c.Name == "HEAD" || strings.HasSuffix(c.Name, "_HEAD"):
		if len(c.Data) > maxPointer {
			return nil
		}
		target := trimLine(string(c.Data))
		id, _, _ := strings.Cut(target, "\t")
		switch {
		case len(id) == 2*r.idLen && isHex(id):
			if first == "refs" || c.Name == "HEAD" { // what others, such as ORIG_HEAD, point to may be gone long since
				s.tips[c.Name] = id
			}
		case first == "refs" && !strings.HasPrefix(target, "ref: refs/"):
			return nil // no ref
		}
	case c.Name == "packed-refs":
		for line := range strings.Lines(string(c.Data)) {
			id, name, found := strings.Cut(trimLine(line), " ")
			if found && len(id) == 2*r.idLen && isHex(id) {
				if _, loose := s.tips[name]; !loose { // "refs" is read after "packed-refs", and has the last word
					s.tips[name] = id
				}
			}
		}
	case first == "logs":
		c.Data = scrubLog(c.Data, hostPaths)
	case first == "hooks":
		if tellsOf(c.Data, hostPaths) {
			return nil
		}
	}
	s.Files = append(s.Files, c)
	return nil
}

// exclude adds what the operator's git ignores everywhere to what this repository ignores, so that git in the copy does not
// take for new what git on the host ignores.
func (s *State) exclude(r *Repo, hostPaths []string) {
	files := r.Excludes()
	if len(files) < 2 {
		return
	}
	text, err := readSmall(files[1], maxConfig)
	if err != nil || strings.TrimSpace(text) == "" {
		return // there is none, as a rule
	}
	i := slices.IndexFunc(s.Files, func(c Content) bool { return c.Name == "info/exclude" })
	if i < 0 {
		i, s.Files = len(s.Files), append(s.Files, Content{Name: "info/exclude", Mode: 0o644, Time: time.Now()})
	}
	var b bytes.Buffer // the operator's first: of two patterns the later one decides
	b.WriteString("# From the host's core.excludesFile:\n")
	for line := range strings.Lines(text) {
		if !tellsOf([]byte(line), hostPaths) {
			b.WriteString(trimLine(line) + "\n")
		}
	}
	b.WriteString("# From this repository:\n")
	b.Write(s.Files[i].Data)
	s.Files[i].Data = b.Bytes()
}

// patternOf writes a path as a pattern that matches it alone.
var patternOf = strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`, " ", `\ `)

// pathWord is a word of a reflog's message that is a path.
var pathWord = regexp.MustCompile(`(^|[\s'"])(?:file:)?[/~][^\s'"]*/[^\s'"]*`)

// scrubLog takes the paths of the host out of the messages of a reflog, such as "clone: from /home/op/api".
func scrubLog(log []byte, hostPaths []string) []byte {
	var out bytes.Buffer
	for line := range bytes.Lines(log) {
		head, message, found := bytes.Cut(line, []byte("\t"))
		if !found {
			out.Write(line)
			continue
		}
		for _, p := range hostPaths {
			message = bytes.ReplaceAll(message, []byte(p), []byte("…"))
		}
		message = pathWord.ReplaceAll(message, []byte("${1}…"))
		out.Write(head)
		out.WriteByte('\t')
		out.Write(message)
	}
	return out.Bytes()
}

// config is the configuration of the copy. An index tells by a file's times, owner and place whether it has changed; of
// those a copy keeps the time of the last change.
func (r *Repo) config(place, work string) Content {
	inside := []setting{
		{section: "core", key: "bare", value: strconv.FormatBool(r.Work == "" && r.bare())},
		{section: "core", key: "checkstat", value: "minimal"},
		{section: "core", key: "trustctime", value: "false"},
	}
	if work != "" {
		if to, err := filepath.Rel(filepath.FromSlash(place), filepath.FromSlash(work)); err == nil {
			inside = append(inside, setting{section: "core", key: "worktree", value: filepath.ToSlash(to)})
		}
	}
	if r.Part != "" {
		inside = append(inside, setting{section: "core", key: "sparsecheckout", value: "true"}, setting{section: "core", key: "sparsecheckoutcone", value: "false"})
	}
	kept, _ := sanitizeConfig(r.settings, inside...)
	c := Content{Name: "config", Data: formatConfig(kept), Mode: 0o644}
	if info, err := os.Stat(filepath.Join(r.Common, "config")); err == nil {
		c.Time = info.ModTime()
	}
	return c
}

// Missing are the refs of a state whose object is neither among the copied files nor in a pack of them, by their names;
// those that the host's repository lacks, too, among them.
func (r *Repo) Missing(s *State, copied func(name string) bool) ([]string, error) {
	if r.reftable {
		return nil, nil // git alone reads those
	}
	var packs []*packIndex
	defer func() {
		for _, p := range packs {
			p.file.Close()
		}
	}()
	var out []string
	known := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(s.tips)) {
		id := s.tips[name]
		if known[id] || copied("objects/"+id[:2]+"/"+id[2:]) || strings.Trim(id, "0") == "" {
			continue
		}
		if packs == nil {
			var err error
			if packs, err = r.openPacks(copied); err != nil {
				return nil, err
			}
		}
		if !slices.ContainsFunc(packs, func(p *packIndex) bool { return p.has(id) }) {
			out = append(out, name)
			continue
		}
		known[id] = true
	}
	return out, nil
}
