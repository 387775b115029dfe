package state

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
)

// The history is a directory of files <number>-<request>.Dockerfile, numbered from 0001 in the order in
// which they came into force. A rollback is <number>-<request>.restored.Dockerfile, or, back to the
// profile's own image, <number>-<request>.removed.Dockerfile, which is empty. A Dockerfile that was found
// in force without being in the history (the predecessor's, or one put there by hand) is entered first,
// with "found" for the request.
const (
	historyDir   = "Dockerfile.history"
	historyFound = "found"
)

var historyForm = regexp.MustCompile(`^([0-9]{4,9})-([a-z0-9-]{1,64})(\.restored|\.removed)?\.Dockerfile$`)

// DockerfileVersion is one entry of a bottle's Dockerfile history.
type DockerfileVersion struct {
	Number  int
	Request string // what made it: a request's id, or "found"
	Change  DockerfileChange
	Path    string // of the file that holds the content
}

// DockerfileChange says how a version came into force.
type DockerfileChange string

// The ways in which a version comes into force.
const (
	DockerfilePut      DockerfileChange = ""          // a request was approved
	DockerfileRestored DockerfileChange = ".restored" // rolled back to an earlier Dockerfile
	DockerfileRemoved  DockerfileChange = ".removed"  // rolled back to the profile's image: none is in force
)

func (b *Bottle) dockerfilePath() string { return filepath.Join(b.Dir(), "Dockerfile") }

// Dockerfile is the bottle's own Dockerfile; nil, nil when it has none.
func (b *Bottle) Dockerfile() ([]byte, error) { return optional(b.dockerfilePath(), maxFile) }

// PutDockerfile puts the Dockerfile of an approved request in force and into the history. Doing so again
// for the same request and content changes nothing.
func (b *Bottle) PutDockerfile(content []byte, request string) error {
	if len(content) == 0 {
		return fmt.Errorf("writing %s: an empty Dockerfile can't be put in force", b.dockerfilePath())
	}
	return b.changeDockerfile(content, request, DockerfilePut)
}

// RestoreDockerfile rolls a request back: previous is in force again, or, when it is nil, no Dockerfile.
// The history tells of it. Doing so again changes nothing.
func (b *Bottle) RestoreDockerfile(previous []byte, request string) error {
	if previous == nil {
		return b.changeDockerfile(nil, request, DockerfileRemoved)
	}
	return b.changeDockerfile(previous, request, DockerfileRestored)
}

func (b *Bottle) changeDockerfile(content []byte, request string, change DockerfileChange) error {
	if !requestForm.MatchString(request) {
		return fmt.Errorf("writing %s: %q is not the id of a request", b.dockerfilePath(), request)
	}
	if len(content) > maxFile {
		return fmt.Errorf("writing %s: %d bytes are more than the %d that are allowed", b.dockerfilePath(), len(content), maxFile)
	}
	return b.briefly(func() error {
		if err := b.enterHistory(content, request, change); err != nil {
			return err
		}
		if content == nil {
			return removeFile(b.dockerfilePath())
		}
		return WriteFile(b.dockerfilePath(), content, filePerm)
	})
}

// enterHistory makes the change the last entry of the history, before it comes into force: a crash in
// between leaves an entry too many, never one too few.
func (b *Bottle) enterHistory(content []byte, request string, change DockerfileChange) error {
	dir := filepath.Join(b.Dir(), historyDir)
	if err := makeDir(dir); err != nil {
		return fmt.Errorf("writing %s: %w%s", dir, err, adviceFor(err))
	}
	versions, err := b.DockerfileHistory()
	if err != nil {
		return err
	}
	number := 0
	var last []byte
	if n := len(versions); n > 0 {
		number = versions[n-1].Number
		if last, err = ReadFile(versions[n-1].Path, maxFile); err != nil {
			return err
		}
		if v := versions[n-1]; v.Request == request && v.Change == change && bytes.Equal(last, content) {
			return nil
		}
	}
	enter := func(content []byte, request string, change DockerfileChange) error {
		number++
		name := fmt.Sprintf("%04d-%s%s.Dockerfile", number, request, change)
		return WriteFile(filepath.Join(dir, name), content, filePerm)
	}
	inForce, err := b.Dockerfile()
	if err != nil {
		return err
	}
	if len(inForce) > 0 && !bytes.Equal(inForce, last) && !bytes.Equal(inForce, content) {
		if known, err := inHistory(versions, inForce); err != nil {
			return err
		} else if !known {
			if err := enter(inForce, historyFound, DockerfilePut); err != nil {
				return err
			}
		}
	}
	return enter(content, request, change)
}

func inHistory(versions []DockerfileVersion, content []byte) (bool, error) {
	for _, v := range versions {
		old, err := ReadFile(v.Path, maxFile)
		if err != nil {
			return false, err
		}
		if bytes.Equal(old, content) {
			return true, nil
		}
	}
	return false, nil
}

// DockerfileHistory lists the Dockerfiles that were in force, the earliest first. Other files in the
// history's directory are passed over.
func (b *Bottle) DockerfileHistory() ([]DockerfileVersion, error) {
	dir := filepath.Join(b.Dir(), historyDir)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing %s: %w%s", dir, err, adviceFor(err))
	}
	var versions []DockerfileVersion
	for _, e := range entries {
		part := historyForm.FindStringSubmatch(e.Name())
		if part == nil || !e.Type().IsRegular() {
			continue
		}
		number, err := strconv.Atoi(part[1])
		if err != nil {
			continue
		}
		versions = append(versions, DockerfileVersion{
			Number: number, Request: part[2], Change: DockerfileChange(part[3]), Path: filepath.Join(dir, e.Name()),
		})
	}
	slices.SortStableFunc(versions, func(a, b DockerfileVersion) int { return cmp.Compare(a.Number, b.Number) })
	return versions, nil
}
