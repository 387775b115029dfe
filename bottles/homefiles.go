package bottles

import (
	"archive/tar"
	"context"
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
			if err := x.readInto(ctx, container, &f); err != nil {
				return nil, err
			}
			f.Content = []byte(merge(string(f.Content), was[name], is[name]))
		}
		files = append(files, f)
	}
	return files, nil
}

// readInto reads a file of a container, with its mode and owner; one that is not there, or is no file that could be a
// configuration, leaves f as it is.
func (x *execution) readInto(ctx context.Context, container string, f *File) error {
	r, err := x.sup.cfg.Engine.CopyOut(ctx, container, f.Path)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	defer r.Close()
	archive := tar.NewReader(r)
	h, err := archive.Next()
	if err != nil {
		return fmt.Errorf("read %s of %s: %w", f.Path, container, err)
	}
	if h.Typeflag != tar.TypeReg || h.Size > maxHomeFile {
		return nil
	}
	content, err := io.ReadAll(io.LimitReader(archive, maxHomeFile))
	if err != nil {
		return fmt.Errorf("read %s of %s: %w", f.Path, container, err)
	}
	f.Content, f.Mode, f.UID, f.GID = content, fs.FileMode(h.Mode)&fs.ModePerm, h.Uid, h.Gid
	return nil
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
