package state

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// walkTranscript calls visit for each directory and regular file of the transcript, parents first, with
// its slash-separated path below the transcript's directory. Without a transcript there is nothing to do.
func walkTranscript(root *os.Root, visit func(name string, info fs.FileInfo) error) error {
	err := fs.WalkDir(root.FS(), transcriptDir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || name == transcriptDir || !e.IsDir() && !e.Type().IsRegular() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		return visit(strings.TrimPrefix(name, transcriptDir+"/"), info)
	})
	if errors.Is(err, fs.ErrNotExist) {
		if _, missing := root.Lstat(transcriptDir); errors.Is(missing, fs.ErrNotExist) {
			return nil
		}
	}
	return err
}

// TranscriptArchive writes the transcript as a tar of the directory "projects" whose entries all belong
// to uid and gid, without names. A bottle without a transcript gives that directory, empty.
func (b *Bottle) TranscriptArchive(w io.Writer, uid, gid int) error {
	root, err := os.OpenRoot(b.Dir())
	if err != nil {
		return b.orUnknown(fmt.Errorf("reading the transcript of %s: %w", b.identity, err))
	}
	defer root.Close()
	out := tar.NewWriter(w)
	put := func(name string, info fs.FileInfo) error {
		header := &tar.Header{Name: archiveTop + "/", Typeflag: tar.TypeDir, Mode: int64(dirPerm), Uid: uid, Gid: gid, ModTime: time.Now()}
		if info == nil {
			return out.WriteHeader(header)
		}
		header.Name, header.ModTime = path.Join(archiveTop, name), info.ModTime()
		if info.IsDir() {
			header.Name += "/"
			return out.WriteHeader(header)
		}
		f, err := root.Open(path.Join(transcriptDir, name))
		if err != nil {
			return err
		}
		defer f.Close()
		header.Typeflag, header.Mode, header.Size = tar.TypeReg, int64(filePerm), info.Size()
		if err := out.WriteHeader(header); err != nil {
			return err
		}
		_, err = io.CopyN(out, f, info.Size())
		return err
	}
	err = putBack(root)
	if err == nil {
		err = put("", nil)
	}
	if err == nil {
		err = walkTranscript(root, put)
	}
	if err == nil {
		err = out.Close()
	}
	if err != nil {
		return fmt.Errorf("packing the transcript %s: %w%s", filepath.Join(b.Dir(), transcriptDir), err, adviceFor(err))
	}
	return nil
}

var errFound = errors.New("found")

// HasTranscript says whether the transcript holds any file.
func (b *Bottle) HasTranscript() (bool, error) {
	root, err := os.OpenRoot(b.Dir())
	if err != nil {
		return false, b.orUnknown(fmt.Errorf("reading the transcript of %s: %w", b.identity, err))
	}
	defer root.Close()
	if err := putBack(root); err != nil {
		return false, fmt.Errorf("reading the transcript of %s: %w%s", b.identity, err, adviceFor(err))
	}
	err = walkTranscript(root, func(_ string, info fs.FileInfo) error {
		if info.Mode().IsRegular() {
			return errFound
		}
		return nil
	})
	if errors.Is(err, errFound) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading the transcript %s: %w%s", filepath.Join(b.Dir(), transcriptDir), err, adviceFor(err))
	}
	return false, nil
}
