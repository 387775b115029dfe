package docker

import (
	"context"
	"strconv"

	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/client"

	"bottle-tui/bottles"
)

// backlog is how many events wait for a reader before the stream is given up.
const backlog = 4096

// Events streams changes of containers whose LabelRoot is root, with "" of every root. The engine's messages that it is made
// of (API: GET /events; type container) are
//
//	create, start, die (attribute exitCode), destroy, rename (attribute oldName), pause, unpause, oom
//
// with the container's labels, its name and its image mixed into one map of attributes. A message of
// the moment between the engine's answer and its subscription would be missed, so the stream is asked
// for from just before, by the engine's clock: an event may come twice, none is missed while the
// channel is open. It is closed when ctx ends, the stream breaks, or the reader is more than
// 4,096 events behind (an unread stream would slow the whole engine): then connect again and Observe.
func (e *Engine) Events(ctx context.Context, root string) (<-chan bottles.Event, error) {
	var out chan bottles.Event
	err := e.call(ctx, "follow the events of state root "+root, func(c *client.Client) error {
		info, err := engineInfo(ctx, c)
		if err != nil {
			return err
		}
		args := filters.NewArgs(filters.Arg("type", string(events.ContainerEventType)),
			labelled(root))
		for _, a := range []events.Action{events.ActionCreate, events.ActionStart, events.ActionDie, events.ActionDestroy, events.ActionRename, events.ActionPause, events.ActionUnPause, events.ActionOOM} {
			args.Add("event", string(a))
		}
		streamCtx, cancel := context.WithCancel(ctx)
		messages, errs := c.Events(streamCtx, events.ListOptions{Since: info.SystemTime, Filters: args})
		select {
		case err := <-errs:
			cancel()
			return err
		default:
		}
		out = make(chan bottles.Event, backlog)
		go func() {
			defer close(out)
			defer func() {
				cancel()
				for range errs { // until the client's own goroutine has ended
				}
			}()
			relay(messages, errs, out)
		}()
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// relay hands on events until the stream ends or out is full.
func relay(messages <-chan events.Message, errs <-chan error, out chan<- bottles.Event) {
	for {
		select {
		case m := <-messages:
			select {
			case out <- event(m):
			default:
				return
			}
		case <-errs:
			return
		}
	}
}

// event is a message in this program's words.
func event(m events.Message) bottles.Event {
	ev := bottles.Event{Action: string(m.Action), Container: m.Actor.Attributes["name"], ID: m.Actor.ID, Labels: map[string]string{}}
	for k, v := range m.Actor.Attributes {
		switch k {
		case "name", "image", "oldName", "execDuration":
		case "exitCode":
			if m.Action == events.ActionDie {
				ev.ExitCode, _ = strconv.Atoi(v)
			}
		default:
			ev.Labels[k] = v
		}
	}
	return ev
}
