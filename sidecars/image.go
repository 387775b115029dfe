package sidecars

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"time"
)

// BinaryPath is where this program is in the image of the sidecars.
const BinaryPath = "/bottle-tui"

// ImageName is the repository part of the image's tag.
const ImageName = "bottle-tui-sidecars"

// ImageConfig is the configuration of the image; its fields are those of bottles.ImageConfig, so that one
// converts to the other.
type ImageConfig struct {
	Entrypoint []string
	Cmd        []string
	Env        []string
	User       string
	WorkingDir string
	Labels     map[string]string
}

// Image is the one image that all sidecars run from, made from this program's linux binary, to be imported
// into an engine that does not have Ref yet.
type Image struct {
	// Ref is the image's tag: "bottle-tui-sidecars:" and 12 hex digits of its content's hash, so an
	// engine that has it needs no import.
	Ref string
	// Config has the binary as entrypoint (give the sidecar's arguments as command) and the user UID.
	Config ImageConfig

	head, tail []byte // of the tar, around the binary
	binary     io.ReaderAt
	size       int64
}

// NewImage makes the image out of an executable of size bytes. It reads it once, to name it; binary stays in
// use until the last reader of RootFS is done.
func NewImage(binary io.ReaderAt, size int64) (*Image, error) {
	head, tail, err := frame(size)
	if err != nil {
		return nil, fmt.Errorf("lay out the sidecars' image: %w", err)
	}
	h := sha256.New()
	h.Write(head) // a change of the layout is a change of the image
	n, err := io.Copy(h, io.NewSectionReader(binary, 0, size))
	if err != nil {
		return nil, fmt.Errorf("read the executable for the sidecars' image: %w", err)
	}
	if n != size {
		return nil, fmt.Errorf("read the executable for the sidecars' image: %d bytes instead of %d", n, size)
	}
	return &Image{
		Ref:  ImageName + ":" + hex.EncodeToString(h.Sum(nil))[:12],
		head: head, tail: tail, binary: binary, size: size,
		Config: ImageConfig{
			Entrypoint: []string{BinaryPath},
			User:       strconv.Itoa(UID) + ":" + strconv.Itoa(UID),
			WorkingDir: "/",
		},
	}, nil
}

// RootFS is the image's root file system as an uncompressed tar, streamed: beyond the binary it holds a few
// kilobytes. Each call starts anew.
func (i *Image) RootFS() io.Reader {
	return io.MultiReader(bytes.NewReader(i.head), io.NewSectionReader(i.binary, 0, i.size), bytes.NewReader(i.tail))
}

// frame is the tar before and after the binary's bytes. Its times are fixed, so the same binary always makes
// the same image.
func frame(size int64) (head, tail []byte, err error) {
	id := strconv.Itoa(UID)
	epoch := time.Unix(0, 0)
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	add := func(h tar.Header, content string) {
		h.ModTime = epoch
		if h.Typeflag == tar.TypeReg && content != "" {
			h.Size = int64(len(content))
		}
		if err == nil {
			err = w.WriteHeader(&h)
		}
		if err == nil && content != "" {
			_, err = io.WriteString(w, content)
		}
	}
	dir := func(name string, mode int64, uid int) {
		add(tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: mode, Uid: uid, Gid: uid}, "")
	}
	file := func(name, content string) {
		add(tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644}, content)
	}
	dir("config", 0o755, UID) // the anonymous volume takes its owner from here
	dir("etc", 0o755, 0)
	file("etc/group", "root:x:0:\nsidecar:x:"+id+":\n")
	file("etc/nsswitch.conf", "hosts: files dns\n")
	file("etc/passwd", "root:x:0:0:root:/:/\nsidecar:x:"+id+":"+id+"::/:/\n")
	dir("etc/ssl", 0o755, 0)
	dir("etc/ssl/certs", 0o755, 0)
	dir("queue", 0o700, UID)
	dir("tmp", 0o1777, 0)
	add(tar.Header{Typeflag: tar.TypeReg, Name: BinaryPath[1:], Mode: 0o755, Size: size}, "")
	if err != nil {
		return nil, nil, err
	}
	// Padding of the binary to a whole block, and the two empty blocks that end a tar.
	tail = make([]byte, (512-size%512)%512+1024)
	return b.Bytes(), tail, nil
}
