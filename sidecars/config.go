package sidecars

import (
	"context"
	"errors"
)

// Hash is the name of a configuration's content: "sha256:" and 64 hex digits. Whoever delivered content waits
// for a ready or config Line whose Config is Hash(content): then that is in force.
func Hash(content []byte) string { return "" }

// ConfigArchive is content as a tar to be unpacked into ConfigDir: the one file config.json, readable by uid alone.
func ConfigArchive(content []byte, uid int) []byte { return nil }

// WatchConfig reads the configuration file at path, gives it to apply, and goes on doing so on every change
// until ctx ends. The first reading happens before WatchConfig returns, and its failure is the error. Later a
// content that apply refuses leaves the old one in force and is said as config-error; one that it takes is
// said as config. hash is the first content's; wait returns when the watching, after ctx's end, has ended.
func WatchConfig(ctx context.Context, path string, apply func(content []byte) error, voice *Voice) (hash string, wait func(), err error) {
	return "", func() {}, errors.New("not written yet")
}
