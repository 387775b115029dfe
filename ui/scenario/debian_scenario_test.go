package scenario_test

import (
	"fmt"
	"strings"
	"testing"

	"bottle-tui/bottles"
	"bottle-tui/queue"
	"bottle-tui/ui/scenario/ci"
)

const debian = "bottle-tui-test-debian:bookworm"

// The operator gives the agent another system in the place of what it asked for: a Debian, on which apt installs a
// package. The agent goes on there, with its conversation and its files, and the package's program works for it.
//
// The demo's images are built without a network, so the package is fetched from Debian's mirror by a build
// before, and installed by the one that is approved.
func TestAptPackage(t *testing.T) {
	t.Parallel()
	s := newStage(t).withEditor()
	ref := s.debianWith("tree")
	op := s.demo("counter")
	op.reviews()
	id := op.reviewed()
	asked, before := s.request(id), s.facts(id)
	base, _, _ := strings.Cut(strings.TrimPrefix(asked.Proposed, "FROM "), "\n")
	op.edits(fmt.Sprintf(`FROM %[1]s
ENV STAGE=%[3]s
RUN apt-get install --yes --no-download tree && ln -s /usr/bin/tree /usr/local/bin/tally
COPY --from=%[2]s /bin/bottle-tui /usr/local/bin/bottle-tui
COPY --from=%[2]s /home/agent /home/agent
COPY --from=%[2]s /workspace /workspace
ENV HOME=/home/agent TERM=xterm-256color
WORKDIR /workspace
USER 1000:1000
ENTRYPOINT ["/usr/local/bin/bottle-tui", "demo-agent"]
`, ref, base, s.root.ID())) // the stage is there so that no earlier build is used again
	op.seesDone(id, "is live on its new image", "your version is in force: "+id+" goes on")
	op.sees("2 directories, 4 files")
	op.sees("tally works now")
	s.wasAnsweredOnce(id, asked, queue.Edited)

	after := s.facts(id)
	if after.agent() == "" || after.meta.ImageDigest == before.meta.ImageDigest || after.meta.SessionID != before.meta.SessionID {
		t.Errorf("it was %+v and is %+v", before, after)
	}
	log := op.log()
	for _, want := range []string{"Unpacking tree", "Setting up tree"} {
		if !strings.Contains(log, want) {
			t.Errorf("the build's log lacks %q:\n%s", want, log)
		}
	}
	op.types(id, [2]string{"cat notes.md", "Every file here was written by the demo agent"}, [2]string{"status", "user      1000:1000"})
}

// log is the log of what was done last, as the screen shows it.
func (o *operator) log() string {
	o.s.t.Helper()
	o.Press("4")
	o.sees("is done")
	screen := o.sees("Setting up")
	o.Press("1")
	o.seesNoMore("Setting up")
	return screen
}

// debianWith makes an image of Debian that has fetched a package and not installed it.
func (s *stage) debianWith(name string) (ref string) {
	s.t.Helper()
	if _, err := s.engine.Image(s.t.Context(), debian); err != nil {
		_, err := ci.Run("debian-base", "bookworm")
		s.must(err)
	}
	ref = "bottle-tui-test-debian-" + s.root.ID() + ":" + name
	var failures []string
	for _, network := range []string{"default", "host"} { // not every machine's engine gives both a way out
		var log []string
		_, err := s.engine.Build(s.t.Context(), bottles.BuildSpec{
			Dockerfile: fmt.Appendf(nil, "FROM %s\nRUN apt-get update && apt-get install --yes --download-only %s\n", debian, name),
			Tag:        ref, Network: network,
			Labels: map[string]string{bottles.LabelRoot: s.root.ID()}, // demo --clean removes it
		}, func(p bottles.BuildProgress) { log = append(log, p.Line) })
		if err == nil {
			return ref
		}
		failures = append(failures, fmt.Sprintf("with the network %q: %v\n%s", network, err, strings.Join(log, "\n")))
	}
	s.t.Fatalf("fetch the package %s from Debian's mirror in a build: %s", name, strings.Join(failures, "\n"))
	return ""
}
