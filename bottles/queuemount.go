package bottles

import (
	"errors"
	"fmt"
)

// aboutMounts adds to the error of making or starting supervise, which alone has a directory of the host, where that one
// is. Errors that say what to do already are left as they are.
func (x *execution) aboutMounts(container string, err error) error {
	if err == nil || x.role(container) != RoleSupervise || errors.Is(err, ErrUnavailable) || errors.Is(err, ErrNotFound) || errors.Is(err, ErrNameInUse) {
		return err
	}
	return x.sup.aboutQueue(x.layout.identity, err)
}

// aboutQueue adds where a bottle's queue is to an error of supervise: an engine may not see every file system of its host,
// nor a sidecar's user be let in.
func (s *Supervisor) aboutQueue(identity string, err error) error {
	dir := s.cfg.Root.QueueDir(identity)
	s.mu.Lock()
	address := s.madeFor.Address
	s.mu.Unlock()
	return fmt.Errorf("%w\nIts queue is %s, on the file system %s, which the engine at %s mounts into it. If the engine or the user %d can't write there, choose a state root on a local disk of the engine's machine (--home, CLAUDE_BOTTLE_HOME)",
		err, dir, fileSystemOf(dir), orDefault(address, "its address"), sidecarOwner())
}
