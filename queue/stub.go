package queue

import (
	"context"
	"errors"
	"time"

	"bottle-tui/state"
)

var errLater = errors.New("queue: not written yet")

// The errors of answering. Test with errors.Is.
var (
	ErrAnswered  = errors.New("the request is answered already")
	ErrNoRequest = errors.New("no such request")
)

// Box is the queue directory of one bottle.
type Box struct{ dir, identity string }

// Pending is a request that has not been archived, with its answer if there is one.
type Pending struct {
	Request
	Answer *Answer
}

// Problem is a file that was refused, with the reason; both are safe to print.
type Problem = state.Problem

// Event says: look at this bottle's box again.
type Event struct {
	Identity string
	Overflow bool
}

// Watcher tells of changes in all queue directories.
type Watcher struct{ events chan Event }

func Hash(content []byte) string                   { return "" }
func NewID(now time.Time) string                   { return "" }
func ValidID(id string) bool                       { return false }
func Open(dir string) *Box                         { return &Box{dir: dir} }
func (b *Box) Make(owner int) error                { return errLater }
func (b *Box) Put(r Request) error                 { return errLater }
func (b *Box) Requests() ([]Pending, []Problem)    { return nil, nil }
func (b *Box) Answer(a Answer) error               { return errLater }
func (b *Box) AnswerTo(id string) (*Answer, error) { return nil, errLater }
func (b *Box) Archive(id string) error             { return errLater }
func (b *Box) WaitAnswer(ctx context.Context, id string) (Answer, error) {
	return Answer{}, errLater
}
func Watch(ctx context.Context, queueRoot string) (*Watcher, error) { return nil, errLater }
func (w *Watcher) Events() <-chan Event                             { return w.events }
func (w *Watcher) Close() error                                     { return nil }
func Visible(s string) string                                       { return s }
func VisibleText(s string, maxBytes int) string                     { return s }
