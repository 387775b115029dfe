// Package demo says what a demo consists of: the agents that take part, the image that they run in, made
// from this program's own binary, and the Dockerfile that they start with. It needs neither a registry nor
// a network. The agents themselves are in package agent; starting bottles is the caller's.
package demo

import (
	"fmt"
	"io"

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
	role(agent.Scout, "Read the page of example.com."),
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

// BaseImage is the demo's base image, made from this program's executable as sidecars.Binary opens it. Its
// entrypoint is the demo agent: give its flags as command.
func BaseImage(binary io.ReaderAt, size int64) (*sidecars.Image, error) {
	var entries []sidecars.Entry
	dir := func(name string, mode int64, owner int) {
		entries = append(entries, sidecars.Entry{Name: name + "/", Mode: mode, Owner: owner})
	}
	file := func(name, content string) {
		entries = append(entries, sidecars.Entry{Name: name, Mode: 0o644, Content: content})
	}
	for _, name := range []string{"bin", "etc", "etc/claude-bottle", sidecars.CurrentConfigDir[1:], "etc/ssl", "etc/ssl/certs", "home"} {
		dir(name, 0o755, 0)
	}
	dir(Home[1:], 0o755, UID) // a new volume takes its owner from the directory that it covers
	dir(Home[1:]+"/.claude", 0o700, UID)
	dir("tmp", 0o1777, 0)
	for _, name := range []string{"usr", "usr/local", "usr/local/bin"} {
		dir(name, 0o755, 0)
	}
	dir(Workspace[1:], 0o755, UID)
	file("etc/group", "root:x:0:\nagent:x:1000:\n")
	file("etc/nsswitch.conf", "hosts: files dns\n")
	file("etc/passwd", "root:x:0:0:root:/:/\nagent:x:"+User+":demo agent:"+Home+":/\n")
	return sidecars.MakeImage(ImageName, entries, BinaryPath, binary, size, sidecars.ImageConfig{
		Entrypoint: []string{BinaryPath, "demo-agent"},
		Env:        []string{"PATH=/usr/local/bin:/bin", "HOME=" + Home, "TERM=xterm-256color", "LANG=C.UTF-8"},
		User:       User,
		WorkingDir: Workspace,
	})
}
