package sidecars

import (
	"errors"
	"io"
)

// BinaryPath is where this program is in the image of the sidecars.
const BinaryPath = "/bottle-tui"

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
// into an engine that does not have Ref yet. Close it after use.
type Image struct {
	// Ref is the image's tag; it names the content, so an engine that has it needs no import.
	Ref    string
	Config ImageConfig
}

// Binary opens this program's executable for a platform, with its size in bytes.
func Binary(goos, goarch string) (io.ReadCloser, int64, error) {
	return nil, 0, errors.New("not written yet")
}

// NewImage makes the image out of an executable of size bytes. It reads it once, to name it.
func NewImage(binary io.ReaderAt, size int64) (*Image, error) {
	return nil, errors.New("not written yet")
}

// RootFS is the image's root file system as an uncompressed tar, streamed. Each call starts anew.
func (i *Image) RootFS() io.Reader { return nil }
