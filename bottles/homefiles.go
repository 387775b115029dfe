package bottles

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
)

// The files of the agent's home, by their names in it, that tell its programs of the routes.
const (
	fileNPM = ".npmrc"
	fileGit = ".gitconfig"
	fileTea = ".config/tea/config.yml"
)

// Between these lines in a file of the agent's is what is ours.
const (
	oursBegins = "# claude-bottle: the lines from here to the end mark are written anew when the routes change\n"
	oursEnd    = "# claude-bottle: end\n"
)

// maxHomeFile bounds such a file, in bytes; a larger one is no configuration that anybody wrote.
const maxHomeFile = 256 << 10

// maxMergeFile bounds a file that is merged: Claude Code keeps there what was typed, with what was pasted.
const maxMergeFile = 64 << 20

// homeFiles are the files of the home of the agent in a container that tell other things than they did: was and is are
// what roleTexts made of the routes. Of a file that has nothing to tell and had nothing, nothing is touched, and
// what the image or the agent wrote into one stays around what is ours.
func (x *execution) homeFiles(ctx context.Context, container string, was, is map[string]string) ([]File, error) {
	p := x.layout.profile.Program
	var files []File
	for _, name := range []string{fileNPM, fileGit, fileTea} {
		if was[name] == is[name] {
			continue
		}
		f := File{Path: path.Join(p.userHome(), name), Mode: 0o600, UID: p.UID, GID: p.GID}
		if name == fileTea {
			f.Content = []byte(orDefault(is[name], "logins: []\n")) // YAML has no room for two writers
		} else {
			if _, err := x.readInto(ctx, container, &f, maxHomeFile); err != nil {
				return nil, err
			}
			f.Content = []byte(merge(string(f.Content), was[name], is[name]))
		}
		files = append(files, f)
	}
	return files, nil
}

// startFiles are the files that an agent's container is given before its start. Its home keeps what it was told and wrote
// before; where only the agent is replaced, that is what holds.
func (x *execution) startFiles(ctx context.Context, container string) ([]File, error) {
	p := x.layout.profile.Program
	x.mu.Lock()
	fresh := x.newHome
	x.mu.Unlock()
	files := append(currentFiles(x.layout), noteSession(p, x.layout.session))
	if x.layout.aside != "" && p.NoteFile != "" {
		files = append(files, File{Path: p.NoteFile, Content: []byte(x.layout.aside + "\n"), Mode: 0o644})
	}
	own, err := filesOf(x.bottle, x.layout.profile)
	if err != nil {
		return nil, err
	}
	for _, f := range own {
		switch {
		case f.Merge && x.keepsHome && !fresh:
		case f.Merge:
			merged, err := x.mergeFile(ctx, container, f)
			if err != nil {
				return nil, err
			}
			files = append(files, merged...)
		default:
			files = append(files, f)
		}
	}
	is := roleTexts(x.layout.force.routes, x.layout.profile.Git)
	for _, name := range []string{fileNPM, fileGit, fileTea} {
		if is[name] == "" && fresh || x.keepsHome && !fresh {
			continue
		}
		f := File{Path: path.Join(p.userHome(), name), Mode: 0o600, UID: p.UID, GID: p.GID}
		if _, err := x.readInto(ctx, container, &f, maxHomeFile); err != nil {
			return nil, err
		}
		if content := startText(name, string(f.Content), is[name]); content != string(f.Content) {
			f.Content = []byte(content)
			files = append(files, f)
		}
	}
	user, err := x.gitUserFile(ctx, container, fresh)
	return append(files, user...), err
}

// startText is what a file holds at a start, in which ours of an earlier start may stand, with other routes.
func startText(name, file, ours string) string {
	switch {
	case name == fileTea && ours != "":
		return ours // YAML has no room for two writers
	case name == fileTea && strings.Contains(file, Placeholder):
		return "logins: []\n"
	case name == fileTea:
		return file
	case name == fileNPM && !strings.Contains(file, oursBegins): // npm writes it anew without the marks
		var kept strings.Builder
		for line := range strings.Lines(file) {
			if !strings.Contains(line, strings.TrimPrefix(proxyURL("/"), "http:")) {
				kept.WriteString(line)
			}
		}
		file = kept.String()
	}
	return merge(file, "", ours)
}

// mergeFile lays a file over the one that the home has. One that holds no JSON object is kept beside it; where there is
// no regular file of a bearable size, whatever there is is left as the agent wants it.
func (x *execution) mergeFile(ctx context.Context, container string, ours File) ([]File, error) {
	has := ours
	has.Content = nil
	there, err := x.readInto(ctx, container, &has, maxMergeFile)
	switch {
	case err != nil:
		return nil, err
	case !there:
		return []File{ours}, nil
	case has.Content == nil:
		return nil, nil
	}
	merged, err := mergeJSON(has.Content, ours.Content)
	if err != nil {
		aside := has
		aside.Path += ".unreadable"
		return []File{aside, ours}, nil
	}
	has.Content = merged
	return []File{has}, nil
}

// mergeJSON lays the object ours over another: what both have is ours, where it is not an object in both.
func mergeJSON(file, ours []byte) ([]byte, error) {
	var has, set map[string]json.RawMessage
	if err := errors.Join(json.Unmarshal(file, &has), json.Unmarshal(ours, &set)); err != nil {
		return nil, err
	}
	if has == nil {
		return nil, errors.New("no object")
	}
	for key, value := range set {
		if both, err := mergeJSON(has[key], value); err == nil {
			value = both
		}
		has[key] = value
	}
	return json.MarshalIndent(has, "", "  ")
}

// readInto reads a file of a container, with its mode and owner, through one link. there says that something has its
// path; what is no file of at most the given bytes leaves f as it is.
func (x *execution) readInto(ctx context.Context, container string, f *File, most int64) (there bool, err error) {
	for at, links := f.Path, 0; ; links++ {
		r, err := x.sup.cfg.Engine.CopyOut(ctx, container, at)
		if errors.Is(err, ErrNotFound) {
			return links > 0, nil
		}
		if err != nil {
			return false, err
		}
		to, err := fileOf(r, f, most)
		if err != nil {
			return false, fmt.Errorf("read %s of %s: %w", at, container, err)
		}
		if to == "" || links > 0 {
			return true, nil
		}
		if !path.IsAbs(to) {
			to = path.Join(path.Dir(at), to)
		}
		at = to
	}
}

// fileOf takes the first entry of an archive for f, and closes it. link is where it leads if it is a link.
func fileOf(r io.ReadCloser, f *File, most int64) (link string, err error) {
	defer r.Close()
	archive := tar.NewReader(r)
	h, err := archive.Next()
	if err != nil {
		return "", err
	}
	if h.Typeflag == tar.TypeSymlink {
		return h.Linkname, nil
	}
	if h.Typeflag != tar.TypeReg || h.Size > most {
		return "", nil
	}
	content, err := io.ReadAll(io.LimitReader(archive, most))
	if err != nil {
		return "", err
	}
	f.Content, f.Mode, f.UID, f.GID = content, fs.FileMode(h.Mode)&fs.ModePerm, h.Uid, h.Gid
	return "", nil
}

// merge puts ours at the end of a file, in the place of what was there of ours: marked, or without the marks, as a
// program leaves it that writes the file anew without its comments.
func merge(file, was, ours string) string {
	if before, rest, found := strings.Cut(file, oursBegins); found {
		if _, after, ended := strings.Cut(rest, oursEnd); ended {
			file = before + after
		}
	} else if was != "" {
		file = strings.Replace(file, was, "", 1)
	}
	if ours == "" {
		return file
	}
	if file != "" && !strings.HasSuffix(file, "\n") {
		file += "\n"
	}
	return file + oursBegins + ours + oursEnd
}
