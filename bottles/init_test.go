package bottles_test

import (
	"context"
	"strings"
	"testing"

	"bottle-tui/bottles"
)

// noInit is an engine without an init for containers.
type noInit struct{ bottles.Engine }

func (n noInit) Info(ctx context.Context) (bottles.EngineInfo, error) {
	info, err := n.Engine.Info(ctx)
	info.Init = false
	return info, err
}

// What an agent leaves behind is reaped, by the engine's init or by this program's, under which the agent has its terminal
// and is told to end, and whose exit code is the agent's.
func TestOrphanedProcessesAreReaped(t *testing.T) {
	for name, wrap := range map[string]func(bottles.Engine, func()) bottles.Engine{
		"the engine's init": nil,
		"an init of ours":   func(e bottles.Engine, _ func()) bottles.Engine { return noInit{e} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.run(wrap)
			id := w.launch("")
			w.sup.Type(id, []byte("orphans 1200\ncat /proc/1/comm\n"))
			w.awaitText(id, "orphans left: 0\r\n")
			first := "docker-init"
			if wrap != nil {
				first = ".bottle-init"
			}
			w.awaitText(id, "cat /proc/1/comm: \""+first)
			w.must(bottles.TearDown{Identity: id})
			w.awaitText(id, "told to end")
			if wrap == nil {
				return
			}
			w.must(bottles.Resume{Identity: id})
			w.sup.Type(id, []byte("exit 3\n"))
			if b := w.awaitStatus(id, bottles.Failed); !strings.Contains(b.Detail, "exit code 3") {
				t.Errorf("it ended %q", b.Detail)
			}
		})
	}
}
