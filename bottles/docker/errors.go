package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/client"

	"bottle-tui/bottles"
)

// failure is an error of an engine call: what was tried, the engine's words, what to do. It is both
// its cause and, where it has one, its kind.
type failure struct {
	what  string
	cause error
	kind  error  // an Err… of package bottles, or nil
	hint  string // what to do, or ""
}

func (f *failure) Error() string {
	// The prefix is the client library's, not the engine's.
	words := strings.ReplaceAll(f.cause.Error(), "Error response from daemon: ", "")
	s := f.what + ": " + words
	if f.hint != "" {
		s += "; " + f.hint
	}
	return s
}

func (f *failure) Unwrap() []error {
	if f.kind == nil {
		return []error{f.cause}
	}
	return []error{f.kind, f.cause}
}

// tooOldError is an engine that does not speak minAPI.
type tooOldError struct{ api string }

func (t *tooOldError) Error() string { return "it speaks API " + t.api + " at most" }

// silentError is an engine that did not answer the question whether it is there before the
// context's end.
type silentError struct{ cause error }

func (s *silentError) Error() string { return "no answer: " + s.cause.Error() }
func (s *silentError) Unwrap() error { return s.cause }

// silence tells apart a caller who gave up (cancelled) from an engine that let its time run out.
func silence(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return &silentError{cause: ctx.Err()}
	}
	return err
}

// archiveError is a failure to read what the caller wanted to send; the engine has no part in it.
type archiveError struct{ cause error }

func (a *archiveError) Error() string { return "reading the archive to send: " + a.cause.Error() }
func (a *archiveError) Unwrap() error { return a.cause }

// explain gives err its final form.
func (e *Engine) explain(ctx context.Context, what string, err error) error {
	if err == nil {
		return nil
	}
	if f := (*failure)(nil); errors.As(err, &f) {
		return err
	}
	f := &failure{what: what, cause: err}
	var silent *silentError
	var old *tooOldError
	var archive *archiveError
	switch {
	case errors.As(err, &archive):
	case errors.As(err, &silent) && !errors.Is(err, context.Canceled):
		f.kind = bottles.ErrUnavailable
		f.hint = "the engine at " + e.host + " takes the connection and says nothing: look at its log (journalctl -u docker)"
		e.forget()
	case ctx.Err() != nil && !isAnswer(err):
		if !errors.Is(err, ctx.Err()) {
			f.cause = fmt.Errorf("%w (%w)", ctx.Err(), err)
		}
	case errors.As(err, &old):
		f.kind = bottles.ErrUnavailable
		f.hint = "Docker Engine 20.10 (API " + minAPI + ") or newer is needed at " + e.host + "; upgrade it, and unset DOCKER_API_VERSION if it is set"
	case cerrdefs.IsNotFound(err):
		f.kind = bottles.ErrNotFound
	case isGone(err):
		f.kind = bottles.ErrUnavailable
		f.hint = e.reachHint(err)
		e.forget()
	case cerrdefs.IsUnavailable(err):
		f.kind = bottles.ErrUnavailable
		f.hint = "try again when the engine at " + e.host + " has settled"
	case strings.Contains(err.Error(), "Minimum supported API version"):
		// The engine was upgraded under the session, or it is newer than this program.
		f.kind = bottles.ErrUnavailable
		f.hint = "try again; if it stays, the engine is too new for this program: upgrade bottle-tui, and unset DOCKER_API_VERSION if it is set"
		e.forget()
	}
	return f
}

// brokenError is an answer that broke off, where the client library keeps only the words of that.
type brokenError struct{ cause error }

func (b *brokenError) Error() string { return b.cause.Error() }
func (b *brokenError) Unwrap() error { return b.cause }

// isAnswer says that the engine itself answered with err.
func isAnswer(err error) bool {
	return cerrdefs.IsNotFound(err) || cerrdefs.IsConflict(err) || cerrdefs.IsInvalidArgument(err) ||
		cerrdefs.IsPermissionDenied(err) || cerrdefs.IsInternal(err)
}

// isGone says that err is a connection that could not be made or broke off, be it in an answer that
// had begun. What the engine only tells of (of a registry, say) is text and never one of these.
func isGone(err error) bool {
	var op *net.OpError
	var broken *brokenError
	return errors.As(err, &broken) || client.IsErrConnectionFailed(err) || errors.As(err, &op) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNREFUSED)
}

// reachHint says what to do about an engine that can't be reached.
func (e *Engine) reachHint(err error) string {
	path := e.socket()
	if path == "" {
		return "is the engine at " + e.host + " running and does it listen there? DOCKER_HOST names it; unset it for the engine of this machine"
	}
	const start = "start it (sudo systemctl start docker, or run dockerd as root), or set DOCKER_HOST to the engine to use"
	if errors.Is(err, os.ErrPermission) {
		return "this user may not open " + path + ": join the group that owns it (sudo usermod -aG docker $USER, then log in again), or set DOCKER_HOST to an engine of your own"
	}
	switch _, statErr := os.Stat(path); {
	case errors.Is(statErr, os.ErrNotExist):
		return "there is no socket " + path + ": is dockerd installed and running? " + start
	case errors.Is(statErr, os.ErrPermission):
		return "this user may not look into the directory of " + path + ": set DOCKER_HOST to an engine of your own"
	}
	return "is dockerd running? " + start
}

// says tells whether the engine's words contain one of texts. The API has no codes for these.
func says(err error, texts ...string) bool {
	if err == nil {
		return false
	}
	s := strings.ToLower(err.Error())
	for _, t := range texts {
		if strings.Contains(s, t) {
			return true
		}
	}
	return false
}
