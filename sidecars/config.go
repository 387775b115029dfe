package sidecars

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// MaxConfig is the largest configuration file, in bytes: room for a Dockerfile of 256 KiB in JSON.
const MaxConfig = 4 << 20

// How a change of the file is noticed. An engine unpacks a file by creating and then writing it, so an event
// is given time to become a whole file before it is called bad. The poll is for what inotify misses, and for
// a host whose inotify instances are used up (they are counted per user, across containers).
const (
	settle     = 15 * time.Millisecond
	pollSafety = 2 * time.Second
	pollAlone  = 250 * time.Millisecond
)

var settleRetries = []time.Duration{25 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond}

// Hash is the name of a configuration's content: "sha256:" and 64 hex digits. Whoever delivered content waits
// for a ready or config Line whose Config is Hash(content): then that is in force.
func Hash(content []byte) string {
	sum := sha256.Sum256(content)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// DecodeConfig reads a configuration file into v, strictly: a field that v does not have and anything after
// the first JSON value are errors, so that a typing mistake can't pass for a default.
func DecodeConfig(content []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(content))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("read the configuration: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("read the configuration: something follows after its end")
	}
	return nil
}

// ConfigArchive is content as a tar to be unpacked into ConfigDir: the one file config.json, readable by the
// user uid alone.
func ConfigArchive(content []byte, uid int) []byte {
	var b bytes.Buffer
	b.Grow(len(content) + 4096)
	w := tar.NewWriter(&b)
	// Writing to memory with a plain header can't fail.
	_ = w.WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Name: filepath.Base(ConfigFile), Mode: 0o400,
		Uid: uid, Gid: uid, Size: int64(len(content)), ModTime: time.Now().Truncate(time.Second),
	})
	_, _ = w.Write(content)
	_ = w.Close()
	return b.Bytes()
}

// WatchConfig reads the configuration file at path, gives it to apply, and goes on doing so on every change
// until ctx ends. The first reading happens before WatchConfig returns, and its failure is the error. Later a
// content that apply refuses leaves the old one in force and is said as config-error; one that it takes is
// said as config, also when it is the same again. hash is the first content's; wait returns when the
// watching has ended, which it does after ctx. apply is never called by two at once.
func WatchConfig(ctx context.Context, path string, apply func(content []byte) error, voice *Voice) (hash string, wait func(), err error) {
	w := &configWatch{path: path, apply: apply, voice: voice}
	// The watch comes before the first reading: a change between the two is an event, not a loss.
	if w.fs, err = fsnotify.NewWatcher(); err == nil {
		if err = w.fs.Add(filepath.Dir(path)); err != nil {
			w.fs.Close()
			w.fs = nil
		}
	}
	content, err := readConfig(path)
	if err == nil {
		err = apply(content)
	}
	if err != nil {
		if w.fs != nil {
			w.fs.Close()
		}
		return "", nil, fmt.Errorf("configuration %s: %w", path, err)
	}
	w.inForce = Hash(content)
	w.seen = w.inForce
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.run(ctx)
	}()
	return w.inForce, func() { <-done }, nil
}

type configWatch struct {
	path    string
	apply   func([]byte) error
	voice   *Voice
	fs      *fsnotify.Watcher // nil: poll alone
	inForce string            // Hash of what apply took last
	seen    string            // Hash of what was read last
}

func (w *configWatch) run(ctx context.Context) {
	every := pollAlone
	var events chan fsnotify.Event
	var failures chan error
	if w.fs != nil {
		defer w.fs.Close()
		events, failures, every = w.fs.Events, w.fs.Errors, pollSafety
	}
	poll := time.NewTicker(every)
	defer poll.Stop()
	quiet := time.NewTimer(time.Hour)
	quiet.Stop()
	defer quiet.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case e, ok := <-events:
			if !ok {
				events = nil
				poll.Reset(pollAlone)
			} else if filepath.Base(e.Name) == filepath.Base(w.path) && !e.Has(fsnotify.Remove) {
				quiet.Reset(settle)
			}
		case _, ok := <-failures:
			if !ok {
				failures = nil
			} else { // events were lost: look
				quiet.Reset(settle)
			}
		case <-quiet.C:
			w.look(ctx, true)
		case <-poll.C:
			w.look(ctx, false)
		}
	}
}

// look reads the file and applies what is new. event says that the file was touched, so that whoever touched
// it hears of it even if nothing is new.
func (w *configWatch) look(ctx context.Context, event bool) {
	var err error
	for try := 0; ; try++ {
		var content []byte
		if content, err = readConfig(w.path); err == nil {
			hash := Hash(content)
			if hash == w.seen && (!event || hash == w.inForce) {
				if event {
					w.voice.Say(Line{Event: EventConfig, Config: hash})
				}
				return
			}
			if err = w.apply(content); err == nil {
				w.inForce, w.seen = hash, hash
				w.voice.Say(Line{Event: EventConfig, Config: hash})
				return
			}
			if try == len(settleRetries) {
				w.seen = hash
			}
		} else if !event {
			return // gone for the moment: whoever replaces it makes an event
		}
		if try == len(settleRetries) {
			break
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(settleRetries[try]):
		}
	}
	w.voice.Say(Line{Event: EventConfigError, Config: w.inForce, Reason: err.Error()})
}

// readConfig reads a regular file of bounded size.
func readConfig(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, MaxConfig+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if len(content) > MaxConfig {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, MaxConfig)
	}
	return content, nil
}
