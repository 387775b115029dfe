package bottles

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"time"
)

// The errors that an Engine gives, each wrapped around the engine's own words. Test with errors.Is.
var (
	// ErrUnavailable: the engine does not answer, or went away in the middle of a call.
	ErrUnavailable = errors.New("the container engine does not answer")
	// ErrNotFound: no container, network, volume or image has that name.
	ErrNotFound = errors.New("not found")
	// ErrNameInUse: another object has that name.
	ErrNameInUse = errors.New("the name is in use")
	// ErrBuild: a build ran and failed; the log was already given to the progress function.
	ErrBuild = errors.New("the build failed")
)

// Labels under which everything that bottle-tui makes on an engine is found again. Names are for
// people; only labels decide what belongs to whom.
const (
	LabelIdentity = "claude-bottle.identity" // the bottle
	LabelRole     = "claude-bottle.role"     // a Role, or "net", "out", "work", "user", "home", RoleAnonymous
	LabelAgent    = "claude-bottle.agent"    // the agent's name in the manifest
	LabelRoot     = "claude-bottle.root"     // state.Root.ID: whose bottle it is
	LabelSpec     = "claude-bottle.spec"     // hash of the specification it was made from
)

// SharedRoot stands in LabelRoot of the images that this program makes out of itself: they belong to no
// state root, any of them can be made again, and what no container uses may be removed.
const SharedRoot = "shared"

// Role names a container's part in its bottle.
type Role string

// The containers of a bottle. The egress container holds the pod's network namespace.
const (
	RoleAgent     Role = "agent"
	RoleEgress    Role = "egress"
	RolePipelock  Role = "pipelock" // where it stands in egress's place, which then answers DNS alone
	RoleCredProxy Role = "cred-proxy"
	RoleGitGate   Role = "git-gate"
	RoleSupervise Role = "supervise"
)

// RoleAnonymous stands in LabelRole of a container's anonymous volumes, which have the container's other labels. They go
// with it; where the engine was killed in the middle of that they are left behind.
const RoleAnonymous Role = "anonymous"

// Engine is the container engine as the lifecycle needs it. The one real implementation is
// bottles/docker. Every method returns when ctx ends; every error wraps the engine's own words and,
// where it is one, an Err… of this package. Removing what is not there is not an error.
type Engine interface {
	// Info asks the engine who it is. It is the cheapest call and the probe for ErrUnavailable.
	Info(ctx context.Context) (EngineInfo, error)
	// Holders finds who has any of these names on the engine, whoever it belongs to.
	Holders(ctx context.Context, containers, networks, volumes []string) ([]Holder, error)
	// Observe lists every container, network and volume whose LabelRoot is root; "": of every root. Of the anonymous
	// volumes it lists those that no container has.
	Observe(ctx context.Context, root string) (Observed, error)
	// Events streams changes of containers whose LabelRoot is root, or with "" of every root, until ctx ends or the stream
	// breaks; then the channel is closed. Events may be lost: after each (re)connect, Observe.
	Events(ctx context.Context, root string) (<-chan Event, error)

	// Image finds an image by reference or ID; ErrNotFound when the engine has none.
	Image(ctx context.Context, ref string) (Image, error)
	// Import makes the image ref out of one layer, an uncompressed tar of its root file system.
	Import(ctx context.Context, ref string, rootfs io.Reader, config ImageConfig) (Image, error)
	// Build builds spec, giving its log line by line as it comes. It prefers BuildKit and uses
	// the classic builder where the engine has no other. A failed build wraps ErrBuild.
	Build(ctx context.Context, spec BuildSpec, progress func(BuildProgress)) (Image, error)
	// Images lists the references of the images that were built for the state root, or with "" for any, with their labels.
	Images(ctx context.Context, root string) (map[string]map[string]string, error)
	// RemoveImage removes the reference, and the image with its last reference.
	RemoveImage(ctx context.Context, ref string) error

	// CreateNetwork makes a bridge network with a subnet of its own (a /28 that is free on the
	// engine and on the host's interfaces) and says which.
	CreateNetwork(ctx context.Context, spec NetworkSpec) (Network, error)
	RemoveNetwork(ctx context.Context, name string) error
	// CreateVolume makes a named volume; one that exists with the same labels is left as it is.
	CreateVolume(ctx context.Context, name string, labels map[string]string) error
	RemoveVolume(ctx context.Context, name string) error
	// DiskUsage measures what is on the engine's disk. The engine may walk all its volumes for it, which takes from a
	// second to some minutes.
	DiskUsage(ctx context.Context) (DiskUsage, error)

	// CreateContainer makes a container without starting it; ErrNameInUse names the holder.
	CreateContainer(ctx context.Context, spec ContainerSpec) error
	StartContainer(ctx context.Context, name string) error
	// StopContainer sends SIGTERM, and SIGKILL after grace; nil when it does not run.
	StopContainer(ctx context.Context, name string, grace time.Duration) error
	// RemoveContainer removes it, running or not, and its anonymous volumes.
	RemoveContainer(ctx context.Context, name string) error
	// Container looks at one container; ErrNotFound when there is none.
	Container(ctx context.Context, name string) (Container, error)

	// CopyIn unpacks a tar into dir, which exists in the container; owners are numeric. Works
	// before the container was started; in one with a read-only root only into a volume.
	CopyIn(ctx context.Context, container, dir string, archive io.Reader) error
	// CopyOut is path as a tar, from a running or a stopped container; ErrNotFound when the
	// path is not there. The caller closes it.
	CopyOut(ctx context.Context, container, path string) (io.ReadCloser, error)
	// Stat is what is known of a regular file in the container, running or stopped, without reading it. It takes the
	// engine a fiftieth of the time of CopyOut.
	Stat(ctx context.Context, container, path string) (FileStat, error)

	// Attach opens the container's terminal: what it prints from now on, and its keyboard.
	// Every byte goes through (no detach keys). The caller must keep reading: an attachment
	// that is not read stops the container's output.
	Attach(ctx context.Context, container string) (io.ReadWriteCloser, error)
	// Feed writes content to the standard input of a running container that was made with Stdin. The input
	// stays open. What goes this way is kept nowhere by the engine.
	Feed(ctx context.Context, container string, content []byte) error
	// Resize sets the terminal's size in cells of a running container.
	Resize(ctx context.Context, container string, cols, rows int) error
	// Logs is what the container printed: the last tail lines (0: all), then, with follow,
	// what it prints until it ends. For a container without a terminal the two streams are
	// joined into one, stripped of the engine's framing.
	Logs(ctx context.Context, container string, tail int, follow bool) (io.ReadCloser, error)

	Close() error
}

// EngineInfo says which engine answers.
type EngineInfo struct {
	ID      string // the engine's own identifier
	Version string // e.g. "20.10.24"
	API     string // negotiated API version, e.g. "1.41"
	OS      string // GOOS of its containers: "linux"
	Arch    string // GOARCH of its containers
	Address string // where it was reached, e.g. "unix:///var/run/docker.sock"
	// Init says that the engine has an init program of its own for containers.
	Init bool
	// Local says that the engine shares this host's file system, so that bind mounts work.
	Local bool
}

// Observed is one full listing of an engine: the truth at one moment.
type Observed struct {
	Containers []Container
	Networks   []Network
	Volumes    []Volume
}

// FileStat is what Engine.Stat knows of a file.
type FileStat struct {
	Size    int64 // in bytes
	ModTime time.Time
}

// Holder is an object of the engine that has a name.
type Holder struct {
	Kind   string // "container", "network" or "volume"
	Name   string
	Labels map[string]string
}

// Container is a container as the engine lists it.
type Container struct {
	ID          string
	Name        string // without the leading slash
	Labels      map[string]string
	State       ContainerState
	ExitCode    int    // of an exited one; only Engine.Container fills it
	Error       string // the engine's reason for a failed start; only Engine.Container fills it
	Image       string // the reference it was created with
	ImageID     string // digest of the image it runs on
	CreatedAt   time.Time
	StartedAt   time.Time // only Engine.Container fills it
	EndedAt     time.Time // likewise, of an exited one
	OutOfMemory bool      // likewise: the kernel killed it, or a process in it, for want of memory
}

// ContainerState is the engine's word for what a container does.
type ContainerState string

// The states of a container.
const (
	StateCreated    ContainerState = "created"
	StateRunning    ContainerState = "running"
	StatePaused     ContainerState = "paused"
	StateRestarting ContainerState = "restarting"
	StateRemoving   ContainerState = "removing"
	StateExited     ContainerState = "exited"
	StateDead       ContainerState = "dead"
)

// alive says whether a container in this state does something, or may at any moment.
func (s ContainerState) alive() bool {
	return s == StateRunning || s == StatePaused || s == StateRestarting
}

// Network is a bridge network.
type Network struct {
	Name   string
	Labels map[string]string
	Subnet netip.Prefix
}

// Volume is a named volume, or an anonymous one, which the engine has named.
type Volume struct {
	Name   string
	Labels map[string]string
}

// DiskUsage is what an engine measured, in bytes.
type DiskUsage struct {
	Volumes    []VolumeSize // that have LabelRoot
	BuildCache int64        // of whoever builds on the engine, without what images are made of
}

// VolumeSize is a volume and what it takes, in bytes.
type VolumeSize struct {
	Volume
	Size int64
}

// Event is one change that the engine told of.
type Event struct {
	Action    string // "create", "start", "die", "destroy", "rename", "pause", "unpause", "oom"
	Container string // its name
	ID        string
	Labels    map[string]string
	ExitCode  int // with "die"
}

// Image is an image on the engine.
type Image struct {
	ID     string // sha256 digest of its configuration
	Labels map[string]string
	User   string // as its configuration says
	// Layers are what it is made of, the lowest first. Images with an equal beginning have that in common on the disk.
	Layers []string
	Size   int64 // bytes, those shared with other images included
}

// ImageConfig is the configuration of an imported image.
type ImageConfig struct {
	Entrypoint []string
	Cmd        []string
	Env        []string
	User       string
	WorkingDir string
	Labels     map[string]string
}

// BuildSpec is one image to build. The build's context holds the Dockerfile and nothing else.
type BuildSpec struct {
	Dockerfile []byte
	Tag        string
	Labels     map[string]string
	Network    string // "none", "default" or "host"
	NoCache    bool
}

// BuildProgress is one line of a build's log, or a change of step.
type BuildProgress struct {
	Step, Steps int    // 1-based; 0 where the builder did not say
	Line        string // without line end; raw, as the build printed it
}

// NetworkSpec is a network to make.
type NetworkSpec struct {
	Name   string
	Labels map[string]string
	// Internal networks have no way out, and no address of the host on them either
	// (com.docker.network.bridge.inhibit_ipv4).
	Internal bool
}

// ContainerSpec is a container to make. Every container, without its asking, drops all
// capabilities, may not gain privileges, and keeps a bounded log.
type ContainerSpec struct {
	Name       string
	Image      string
	Labels     map[string]string
	Entrypoint []string // nil: the image's
	Init       bool     // the engine's own init is the first process
	Before     []string // without that: what is put before the entrypoint and the command, those of the image included
	Cmd        []string
	Env        []string // NAME=value
	User       string   // "": the image's
	WorkingDir string   // "": the image's
	Terminal   bool     // a TTY with an open keyboard
	Stdin      bool     // without a terminal: an open standard input, for Feed
	Cols, Rows int      // the terminal's first size; 0: the engine's default
	Endpoints  []Endpoint
	JoinPod    string   // name of the container whose network namespace it shares
	DNS        []string // the resolver's addresses; nil: the engine's
	ReadOnly   bool     // read-only root file system
	Mounts     []Mount
	Tmpfs      map[string]string // path → options, e.g. "/tmp" → "size=64m,mode=1777"
	Sysctls    map[string]string
	Pids       int64 // 0: no limit
	Memory     int64 // bytes; 0: no limit
}

// Endpoint puts a container on a network.
type Endpoint struct {
	Network string
	Address netip.Addr // zero: the engine chooses
	Aliases []string
}

// Mount is a named volume or a directory of the host.
type Mount struct {
	Volume   string // a named volume; "" with no Host: an anonymous one
	Host     string // a directory of the host
	Target   string
	ReadOnly bool
}
