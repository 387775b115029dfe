package sidecars

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"time"
)

// Entry is a directory (its name ends in a slash) or a file of an image's root file system.
type Entry struct {
	Name    string // without the leading slash
	Mode    int64
	Owner   int // user and group
	Content string
}

// Image is an image that this program makes out of its own binary, to be imported into an engine that does not
// have Ref yet.
type Image struct {
	// Ref is the image's tag: a name and 12 hex digits of its content's hash, so an engine that has
	// it needs no import.
	Ref    string
	Config ImageConfig

	head, tail []byte // of the tar, around the binary
	binary     io.ReaderAt
	size       int64
}

// MakeImage makes the image NAME:… out of an executable of size bytes, which is to stand at path, and the entries.
// It reads the executable once, to name the image; binary stays in use until the last reader of RootFS is done.
func MakeImage(name string, entries []Entry, path string, binary io.ReaderAt, size int64, config ImageConfig) (*Image, error) {
	head, err := layOut(entries, path, size)
	if err != nil {
		return nil, fmt.Errorf("lay out the image %s: %w", name, err)
	}
	h := sha256.New()
	h.Write(head) // a change of the layout is a change of the image
	fmt.Fprintf(h, "%q\n", config)
	n, err := io.Copy(h, io.NewSectionReader(binary, 0, size))
	if err != nil {
		return nil, fmt.Errorf("read the executable for the image %s: %w", name, err)
	}
	if n != size {
		return nil, fmt.Errorf("read the executable for the image %s: %d bytes instead of %d", name, n, size)
	}
	return &Image{
		Ref: name + ":" + hex.EncodeToString(h.Sum(nil))[:12], Config: config,
		head: head, binary: binary, size: size,
		// Padding of the binary to a whole block, and the two empty blocks that end a tar.
		tail: make([]byte, (512-size%512)%512+1024),
	}, nil
}

// RootFS is the image's root file system as an uncompressed tar, streamed: beyond the binary it holds a few
// kilobytes. Each call starts anew.
func (i *Image) RootFS() io.Reader {
	return io.MultiReader(bytes.NewReader(i.head), io.NewSectionReader(i.binary, 0, i.size), bytes.NewReader(i.tail))
}

// layOut is the tar before the binary's bytes. Its times are fixed, so the same binary always makes the same image.
func layOut(entries []Entry, path string, size int64) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	epoch := time.Unix(0, 0)
	for _, e := range entries {
		h := tar.Header{Typeflag: tar.TypeReg, Name: e.Name, Mode: e.Mode, Uid: e.Owner, Gid: e.Owner, Size: int64(len(e.Content)), ModTime: epoch}
		if e.Name[len(e.Name)-1] == '/' {
			h.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(&h); err != nil {
			return nil, err
		}
		if _, err := io.WriteString(w, e.Content); err != nil {
			return nil, err
		}
	}
	err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: path[1:], Mode: 0o755, Size: size, ModTime: epoch})
	return b.Bytes(), err
}
