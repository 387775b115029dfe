package sidecars

import (
	"io"
	"strconv"
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

// NewImage is the one image that all sidecars run from, made from this program's linux binary of size bytes. Its
// entrypoint is the binary (give the sidecar's arguments as command), its user is UID.
func NewImage(binary io.ReaderAt, size int64) (*Image, error) {
	id := strconv.Itoa(UID)
	return MakeImage(ImageName, []Entry{
		{Name: "config/", Mode: 0o755, Owner: UID}, // the anonymous volume takes its owner from here
		{Name: "etc/", Mode: 0o755},
		{Name: "etc/group", Mode: 0o644, Content: "root:x:0:\nsidecar:x:" + id + ":\n"},
		{Name: "etc/nsswitch.conf", Mode: 0o644, Content: "hosts: files dns\n"},
		{Name: "etc/passwd", Mode: 0o644, Content: "root:x:0:0:root:/:/\nsidecar:x:" + id + ":" + id + "::/:/\n"},
		{Name: "etc/ssl/", Mode: 0o755},
		{Name: "etc/ssl/certs/", Mode: 0o755},
		{Name: "queue/", Mode: 0o700, Owner: UID},
		{Name: "spool/", Mode: 0o700, Owner: UID}, // an anonymous volume of git-gate takes its owner from here
		{Name: "tmp/", Mode: 0o1777},
	}, BinaryPath, binary, size, ImageConfig{
		Entrypoint: []string{BinaryPath},
		User:       id + ":" + id,
		WorkingDir: "/",
	})
}
