package bottles

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"bottle-tui/queue"
)

// How long StaysUp watches an agent. A program that does not take its arguments says so and ends, which on a busy machine
// comes some time after its start, but soon after the first thing that it prints.
const (
	printsWithin = 3 * time.Second // for the first output; one that prints nothing until then waits for something
	staysFor     = time.Second     // that it runs on afterwards
)

// StaysUp watches an agent that has just been started until it has printed something and has run on for a moment, 4 s at
// most. The error says how it ended and what it printed last, or why that can't be told. When ctx ends, it is watched no
// longer, and that is no error.
func StaysUp(ctx context.Context, e Engine, identity string) error {
	name := agentName(identity)
	// The log ends with the container.
	log, err := e.Logs(ctx, name, 1, true)
	if err != nil {
		return notWatched(ctx, name, err)
	}
	printed, over := make(chan struct{}), make(chan struct{})
	read := make(chan struct{})
	defer func() { log.Close(); <-read }()
	go func() {
		defer close(read)
		defer close(over)
		p := make([]byte, 4<<10)
		for told := false; ; {
			n, err := log.Read(p)
			if n > 0 && !told {
				told = true
				close(printed)
			}
			if err != nil {
				return
			}
		}
	}()
	limit := time.NewTimer(printsWithin)
	defer limit.Stop()
	for last := false; ; {
		select {
		case <-printed:
			printed = nil
			limit.Reset(staysFor)
			continue
		case <-over:
			over = nil
		case <-limit.C:
			last = true
		case <-ctx.Done():
			return nil
		}
		c, err := e.Container(ctx, name)
		switch {
		case err != nil:
			return notWatched(ctx, name, err)
		case !c.State.alive():
			return fmt.Errorf("the agent ended %.1f s after its start: %s%s", c.EndedAt.Sub(c.StartedAt).Seconds(), ended(c), lastWords(ctx, e, name))
		case last:
			return nil
		}
	}
}

// notWatched is the error for an agent that came up, and of which nothing more can be told.
func notWatched(ctx context.Context, name string, err error) error {
	switch {
	case ctx.Err() != nil:
		return nil
	case errors.Is(err, ErrNotFound):
		return fmt.Errorf("the agent came up, and its container %s was removed since", name)
	}
	return fmt.Errorf("the agent came up, and whether it stays up can't be told: %w", err)
}

// lastWords is the end of what a container printed, safe to show; "" when nothing can be had.
func (s *Supervisor) lastWords(container string) string {
	return lastWords(s.ctx, s.cfg.Engine, container)
}

func lastWords(ctx context.Context, e Engine, container string) string {
	text := lastPrinted(ctx, e, container)
	if text == "" {
		return ""
	}
	return "; it said last:\n" + text
}

// lastPrinted is the text of lastWords.
func lastPrinted(ctx context.Context, e Engine, container string) string {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	r, err := e.Logs(ctx, container, 20, false)
	if err != nil {
		return ""
	}
	defer r.Close()
	out, _ := io.ReadAll(io.LimitReader(r, 16<<10)) // what could be read is better than nothing
	return strings.TrimSpace(queue.VisibleText(string(out), 4<<10))
}

// soon is after its start: an agent that ends by then has most likely refused its arguments or its environment, and
// what it printed says why.
const soon = 10 * time.Second

// lastLine is what an agent that ended soon after its start printed last, to follow the reason of its end in one line.
func (s *Supervisor) lastLine(c Container) string {
	if c.EndedAt.Sub(c.StartedAt) > soon {
		return ""
	}
	lines := strings.Split(lastPrinted(s.ctx, s.cfg.Engine, c.Name), "\n")
	for _, line := range slices.Backward(lines) {
		line = strings.TrimSpace(strings.TrimSuffix(line, "␍")) // a terminal's end of line
		if line != "" && !strings.HasPrefix(line, "␛") {        // which gives the terminal back, and says nothing
			return "; it said last: " + cut(line, 200)
		}
	}
	return ""
}
