// Package demo says what a demo consists of: the agents that take part, the image that they run in, made
// from this program's own binary, and the Dockerfile that they start with. It needs neither a registry nor
// a network. The agents themselves are in package agent; starting bottles is the caller's.
package demo

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"time"

	"bottle-tui/sidecars"
	"bottle-tui/ui/cli/demo/agent"
)

// Where things are in the demo's images.
const (
	BinaryPath = "/bin/bottle-tui"
	Home       = "/home/agent" // a volume of the bottle, or holds one
	Workspace  = "/workspace"  // likewise
	UID        = 1000          // user and group of the agent
	User       = "1000:1000"
	ImageName  = "bottle-tui-demo" // the repository part of the image's tag
)

// Role is one agent that takes part in the demo.
type Role struct {
	Name string   // the agent's name, and the value of agent.EnvRole
	Task string   // its first message
	Env  []string // NAME=value
}

// Roles are the demo's agents, in the order in which they are started.
var Roles = []Role{
	role(agent.Counter, "Write a small report and count what is in the workspace by file type."),
	role(agent.Reckless, "Deploy the service, quickly."),
	role(agent.Steady, "Go through all packages and keep a note of the progress."),
}

// QuietRole has little to do; it is for tests and benchmarks.
var QuietRole = role(agent.Quiet, "")

func role(name, task string) Role {
	return Role{Name: name, Task: task, Env: []string{agent.EnvRole + "=" + name}}
}

// Dockerfile is what every demo bottle starts with, on the image baseRef.
func Dockerfile(baseRef string) []byte {
	return fmt.Appendf(nil, `FROM %s
LABEL org.opencontainers.image.title="bottle-tui demo agent"
USER %s
`, baseRef, User)
}

// Image is the demo's base image, to be imported into an engine that does not have Ref yet.
type Image struct {
	// Ref is the image's tag: ImageName and 12 hex digits of its content's hash, so an engine that
	// has it needs no import.
	Ref string
	// Config has the demo agent as its entrypoint (give its flags as command), and User.
	Config sidecars.ImageConfig

	head, tail []byte // of the tar, around the binary
	binary     io.ReaderAt
	size       int64
}

// BaseImage makes the image from this program's executable, as sidecars.Binary opens it. It reads it once, to
// name it; binary stays in use until the last reader of RootFS is done.
func BaseImage(binary io.ReaderAt, size int64) (*Image, error) {
	head, tail, err := frame(size)
	if err != nil {
		return nil, fmt.Errorf("lay out the demo's image: %w", err)
	}
	config := sidecars.ImageConfig{
		Entrypoint: []string{BinaryPath, "demo-agent"},
		Env:        []string{"PATH=/usr/local/bin:/bin", "HOME=" + Home, "TERM=xterm-256color", "LANG=C.UTF-8"},
		User:       User,
		WorkingDir: Workspace,
	}
	h := sha256.New()
	h.Write(head) // a change of the layout is a change of the image
	fmt.Fprintf(h, "%q\n", config)
	n, err := io.Copy(h, io.NewSectionReader(binary, 0, size))
	if err != nil {
		return nil, fmt.Errorf("read the executable for the demo's image: %w", err)
	}
	if n != size {
		return nil, fmt.Errorf("read the executable for the demo's image: %d bytes instead of %d", n, size)
	}
	return &Image{Ref: ImageName + ":" + hex.EncodeToString(h.Sum(nil))[:12], Config: config,
		head: head, tail: tail, binary: binary, size: size}, nil
}

// RootFS is the image's root file system as an uncompressed tar, streamed. Each call starts anew.
func (i *Image) RootFS() io.Reader {
	return io.MultiReader(bytes.NewReader(i.head), io.NewSectionReader(i.binary, 0, i.size), bytes.NewReader(i.tail))
}

// frame is the tar before and after the binary's bytes. Its times are fixed, so the same binary always makes
// the same image. A new volume takes its owner from the directory that it covers.
func frame(size int64) (head, tail []byte, err error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	epoch := time.Unix(0, 0)
	dir := func(name string, mode int64, uid int) {
		if err == nil {
			err = w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: mode, Uid: uid, Gid: uid, ModTime: epoch})
		}
	}
	file := func(name, content string) {
		if err == nil {
			err = w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(content)), ModTime: epoch})
		}
		if err == nil {
			_, err = io.WriteString(w, content)
		}
	}
	for _, name := range []string{"bin", "etc", "etc/claude-bottle", sidecars.CurrentConfigDir[1:], "etc/ssl", "etc/ssl/certs", "home"} {
		dir(name, 0o755, 0)
	}
	dir(Home[1:], 0o755, UID)
	dir(Home[1:]+"/.claude", 0o700, UID)
	dir("tmp", 0o1777, 0)
	for _, name := range []string{"usr", "usr/local", "usr/local/bin"} {
		dir(name, 0o755, 0)
	}
	dir(Workspace[1:], 0o755, UID)
	file("etc/group", "root:x:0:\nagent:x:1000:\n")
	file("etc/nsswitch.conf", "hosts: files dns\n")
	file("etc/passwd", "root:x:0:0:root:/:/\nagent:x:"+User+":demo agent:"+Home+":/\n")
	if err == nil {
		err = w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: BinaryPath[1:], Mode: 0o755, Size: size, ModTime: epoch})
	}
	if err != nil {
		return nil, nil, err
	}
	// Padding of the binary to a whole block, and the two empty blocks that end a tar.
	tail = make([]byte, (512-size%512)%512+1024)
	return b.Bytes(), tail, nil
}
