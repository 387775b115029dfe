package agent

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// The roles.
const (
	Counter  = "counter"  // asks for a capability, and works with it once it is there
	Reckless = "reckless" // asks for something unwise
	Scout    = "scout"    // asks for a host, and reaches for it again once it may
	Quiet    = "quiet"    // works a little, then waits to be spoken to
	Steady   = "steady"   // works on and on
)

// Roles are the names that EnvRole may have.
var Roles = []string{Counter, Reckless, Scout, Quiet, Steady}

const (
	toolBash  = "Bash"
	toolRead  = "Read"
	toolWrite = "Write"
	toolFetch = "WebFetch"
)

// steadyPace is the time between two lines of steady work, and steadyNote how many of them make a line of
// the transcript.
const (
	steadyPace = 2 * time.Second
	steadyNote = 30
)

// maxOutput bounds what is kept of a command's output or of a file that is shown.
const maxOutput = 16 << 10

// play is the role's script. It ends when there is nothing left to do but answer what is typed.
func (a *agent) play(ctx context.Context) {
	defer func() {
		if ctx.Err() == nil {
			a.idle()
		}
	}()
	if a.inv.message != "" {
		a.user(a.inv.message)
	}
	if a.inv.resume {
		a.resumed(ctx)
		return
	}
	a.view.at(true, "starting")
	if !a.pause(ctx, a.delay) {
		return
	}
	switch a.role {
	case Counter:
		a.count(ctx)
	case Reckless:
		a.careless(ctx)
	case Scout:
		a.explore(ctx)
	case Steady:
		a.steady(ctx)
	default:
		a.quiet(ctx)
	}
}

func (a *agent) idle() { a.view.at(false, "waiting for you · help shows what I understand") }

// resumed goes on where the transcript ends.
func (a *agent) resumed(ctx context.Context) {
	if a.role == Steady {
		a.steady(ctx)
		return
	}
	if a.inv.message == "" {
		return // as Claude Code: without a message nothing is sent
	}
	a.view.at(true, "looking around")
	last := lastRequest(a.transcript.history())
	switch {
	case a.role == Quiet:
		a.say("Here I am again. What I wrote is still in %s.", a.workspace)
	case last.proposal == "":
		a.say("I was ended before I had asked for anything, so I begin again.")
		switch a.role {
		case Counter:
			a.count(ctx)
		case Scout:
			a.explore(ctx)
		default:
			a.careless(ctx)
		}
	case last.verdict == denied:
		a.say("The operator denied what I asked for, so I go on without it.")
		a.without(ctx)
	case a.role == Counter && a.try(ctx):
		a.say("That is what I needed: tally works now. Thank you.")
	case a.role == Scout && a.reach(ctx):
		a.say("The way to %s is still open to me.", scoutHost)
	case last.verdict == undecided:
		a.say("What came of my request I was not told, and I still can't do without it. I ask again for the same.")
		a.ask(ctx, request{last.tool, last.justification, []byte(last.proposal), ""})
	case a.role == Scout:
		a.say("The way is closed again: what the operator granted is over. Type ask to make me ask again.")
	case a.role == Counter:
		a.say("The operator approved it, but tally is still not here. Type ask to make me ask again.")
	default:
		a.say("I was restarted. Type ask to make me ask again.")
	}
}

// count is the counter's work: it finds out that a tool is missing, and asks for it.
func (a *agent) count(ctx context.Context) {
	a.view.at(true, "writing the report")
	a.say("I write a small report, then count what is in the workspace by file type.")
	for name, content := range map2(
		"notes.md", "# Notes\n\nEvery file here was written by the demo agent.\n",
		"report/main.go", "package main\n\nfunc main() {\n\tprintln(\"a report\")\n}\n",
		"report/rows.go", "package main\n\nvar rows = []int{3, 1, 4, 1, 5, 9, 2, 6}\n",
		"report/data.csv", "city,visits\nOslo,31\nLima,41\nPune,59\n",
	) {
		if !a.pause(ctx, a.delay/10) {
			return
		}
		a.write(name, content)
	}
	if !a.pause(ctx, a.delay/10) {
		return
	}
	if a.try(ctx) {
		a.say("There they are, counted.")
		return
	}
	a.say("My image has no tally, and I may not install anything while I run. I ask the operator for it.")
	current, ok := a.readInForce(capabilityBlock)
	if !ok {
		return
	}
	a.ask(ctx, request{capabilityBlock, CounterReason, ProposeTally(current), hash(current)})
}

// careless is the reckless role's work.
func (a *agent) careless(ctx context.Context) {
	a.view.at(true, "preparing a deployment")
	a.say("I was asked to deploy. The quickest way is a base image with everything in it.")
	if !a.pause(ctx, a.delay/10) {
		return
	}
	a.write("deploy.sh", "#!/bin/sh\n# deploys whatever is here, to wherever it is told\nexec deploy --now \"$@\"\n")
	current, ok := a.readInForce(capabilityBlock)
	if !ok {
		return
	}
	a.ask(ctx, request{capabilityBlock, RecklessReason, ProposeReckless(current), hash(current)})
}

// quiet works a little, then has nothing to do.
func (a *agent) quiet(ctx context.Context) {
	a.view.at(true, "tidying up")
	a.say("There is little to do: I leave a note and wait for you.")
	if a.pause(ctx, a.delay/10) {
		a.write("note.txt", "Nothing else to do. Type to me.\n")
	}
}

// steady works until the end, a line at a time.
func (a *agent) steady(ctx context.Context) {
	pace := min(steadyPace, max(a.delay, 20*time.Millisecond))
	works := []string{"reading a package", "checking its imports", "running its tests", "noting what is slow", "comparing with yesterday"}
	if !a.inv.resume {
		a.say("I go through the packages one by one, again and again.")
	}
	for n := 1; ; n++ {
		work := works[n%len(works)]
		a.view.at(true, fmt.Sprintf("package %d · %s", n/len(works)+1, work))
		a.view.show(entry{kindTick, fmt.Sprintf("%s  package %-3d %s", time.Now().Format("15:04:05"), n/len(works)+1, work)})
		if n%steadyNote == 0 {
			a.write("progress.txt", fmt.Sprintf("%d packages seen at %s\n", n/len(works), time.Now().Format(time.RFC3339)))
		}
		if !a.pause(ctx, pace) {
			return
		}
	}
}

// without is what is left to do when the answer was no.
func (a *agent) without(ctx context.Context) {
	switch a.role {
	case Counter:
	case Scout:
		a.say("I leave the page unread. What I meant to do is in notes.md.")
		return
	default:
		a.say("I leave the deployment alone. deploy.sh stays in the workspace for you to read.")
		return
	}
	files := 0
	_ = filepath.WalkDir(a.workspace, func(_ string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			files++
		}
		return ctx.Err()
	})
	a.say("Counted by hand, without types: %d files in %s.", files, a.workspace)
}

// write writes a file of the workspace, as the use of a tool.
func (a *agent) write(name, content string) bool {
	id := a.use(toolWrite, map[string]string{"file_path": filepath.Join(a.workspace, name), "content": content})
	root, err := os.OpenRoot(a.workspace)
	if err == nil {
		defer root.Close()
		if dir := filepath.Dir(name); dir != "." {
			err = root.MkdirAll(dir, 0o755)
		}
		if err == nil {
			err = root.WriteFile(name, []byte(content), 0o644)
		}
	}
	if err != nil {
		a.result(id, err.Error(), true)
		return false
	}
	a.result(id, fmt.Sprintf("wrote %d lines", strings.Count(content, "\n")), false)
	return true
}

// try runs tally, which the image has or has not.
func (a *agent) try(ctx context.Context) bool {
	a.view.at(true, "running tally")
	id := a.use(toolBash, map[string]string{"command": "tally"})
	path, err := exec.LookPath("tally")
	if err != nil {
		a.result(id, "tally: not found", true)
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, a.workspace)
	cmd.WaitDelay = endGrace / 2
	out, err := cmd.CombinedOutput()
	text := bounded(strings.TrimRight(string(out), "\n"))
	if err != nil {
		a.result(id, strings.TrimSpace(text+"\n"+err.Error()), true)
		return false
	}
	a.result(id, text, false)
	return true
}

// readInForce reads what is in force of what a tool changes, as the use of a tool.
func (a *agent) readInForce(t tool) ([]byte, bool) {
	path := filepath.Join(a.config, t.file)
	a.view.at(true, "reading the "+t.file+" in force")
	id := a.use(toolRead, map[string]string{"file_path": path})
	content, err := os.ReadFile(path)
	if err != nil {
		a.result(id, err.Error(), true)
		a.say("Without knowing the %s in force I can't propose another. Type ask when it is there.", t.file)
		return nil, false
	}
	a.result(id, bounded(strings.TrimRight(string(content), "\n")), false)
	return content, true
}

func bounded(s string) string {
	if len(s) > maxOutput {
		return strings.ToValidUTF8(s[:maxOutput], "") + "\n… cut"
	}
	return s
}

// map2 gives pairs in the order in which they are written.
func map2(pairs ...string) func(func(string, string) bool) {
	return func(yield func(string, string) bool) {
		for pair := range slices.Chunk(pairs, 2) {
			if !yield(pair[0], pair[1]) {
				return
			}
		}
	}
}
