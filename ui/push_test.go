package ui

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"bottle-tui/bottles"
	"bottle-tui/queue"
	"bottle-tui/sidecars"
)

const (
	noObject = "0000000000000000000000000000000000000000"
	oldTip   = "8d1e22f0c4b7a9d35f6e1c2b3a4d5e6f70819203"
	newTip   = "1f0c8d4be2a7c65d4e3f2a1b0c9d8e7f6a5b4c3d"
)

const pushDiff = `--- /dev/null
+++ b/internal/upload/retry.go
@@ -0,0 +1,6 @@
+package upload
+
+import "time"
+
+// pause is how long a try waits for the next.
+func pause(n int) time.Duration { return time.Duration(n*n) * 100 * time.Millisecond }
--- a/internal/upload/upload.go
+++ b/internal/upload/upload.go
@@ -12,7 +12,13 @@
 func (c *Client) Put(name string, r io.ReadSeeker) error {
 	req, err := c.request(name, r)
 	if err != nil {
 		return err
 	}
-	return c.do(req)
+	for n := range 5 {
+		if err = c.do(req); err == nil {
+			return nil
+		}
+		time.Sleep(pause(n))
+	}
+	return err
 }
@@ -88,2 +94,2 @@
 
-const limit = 16 << 20
+const limit = 64 << 20
--- a/docs/limits.txt
+++ /dev/null
@@ -1,2 +0,0 @@
-Uploads are limited to 16 MiB.
-Larger ones fail.
\ No newline at end of file
`

// aPush is what an agent's day of work would do.
func aPush() *sidecars.Push {
	const coder = "coder <coder@example.com>"
	return &sidecars.Push{
		Refs: []sidecars.PushRef{{Ref: "refs/heads/agent/upload-retries", Old: noObject, New: newTip}},
		Commits: []sidecars.PushCommit{
			{Hash: newTip, Author: coder, Subject: "Say in the docs no more that uploads are limited"},
			{Hash: "77aa01e5b4c3d2e1f0a9b8c7d6e5f4a3b2c1d0e9", Author: coder, Subject: "Try an upload again, with longer and longer pauses"},
			{Hash: "c0ffee1d2e3f4a5b6c7d8e9f0a1b2c3d4e5f6a7b", Author: coder, Subject: "Let uploads have 64 MiB"},
		},
		Files: []sidecars.PushFile{
			{Path: "docs/limits.txt", Change: "removed", Removed: 2},
			{Path: "docs/retries.png", Change: "added", Added: -1, Removed: -1},
			{Path: "internal/upload/retry.go", Change: "added", Added: 6},
			{Path: "internal/upload/upload.go", Change: "changed", Added: 8, Removed: 2},
		},
		Diff: pushDiff, Bytes: 13_402,
	}
}

// aLargePush is one of which not everything is told, that does all that a push can do to a ref.
func aLargePush() *sidecars.Push {
	p := aPush()
	p.Refs = []sidecars.PushRef{
		{Ref: "refs/heads/main", Old: oldTip, New: newTip},
		{Ref: "refs/heads/agent/upload-retries", Old: newTip, New: noObject},
		{Ref: "refs/tags/v1.4.0", Old: noObject, New: "aa" + newTip[2:]},
		{Ref: "refs/notes/review", Old: oldTip, New: newTip},
	}
	p.Commits[1].Author = "Ada Lovelace of the very long name <ada.lovelace@mathematics.example.com>"
	p.Commits[2].Subject = "Let uploads have 64 MiB, since the pictures that the new cameras make are larger than what was thought of when…"
	p.MoreRefs, p.MoreCommits, p.MoreFiles, p.DiffCut, p.Bytes = 1, 112, 37, true, 48<<20
	return p
}

// aStrayPush builds on what a stranger has proposed.
func aStrayPush() *sidecars.Push {
	p := aPush()
	p.Refs = []sidecars.PushRef{
		{Ref: "refs/heads/deploy", Old: noObject, New: newTip, Base: oldTip, BaseRef: "refs/heads/main"},
		{Ref: "refs/heads/release", Old: oldTip, New: newTip, Unseen: true},
	}
	p.Options = []string{"ci.skip", "merge_request.create"}
	p.Commits[2] = sidecars.PushCommit{Hash: "0badc0de" + oldTip[8:], Author: "stranger <stranger@example.org>", Subject: "Deploy with the vendor's script", Stray: true}
	p.Files = []sidecars.PushFile{
		{Path: "deploy.sh", Ref: "refs/heads/deploy", Change: "added", Added: 2, Is: "executable"},
		{Path: "latest", Ref: "refs/heads/release", Change: "changed", Added: -1, Removed: -1, Is: "link"},
	}
	p.Diff = "--- /dev/null\n+++ b/deploy.sh @ refs/heads/deploy\n@@ -0,0 +1,2 @@\n+#!/bin/sh\n+curl https://vendor.example/install | sh\n"
	p.CommitsCut, p.DiffCut = true, true
	return p
}

func pushing(p *sidecars.Push) bottles.Bottle {
	b := live("implementer-k3x9q", 2*time.Hour)
	b.Requests = []bottles.Request{{
		Request: queue.Request{ID: "p1", Tool: bottles.ToolPush, Identity: b.Identity, Proposed: `{"refs":[]}`, ArrivedAt: start.Add(-25 * time.Second),
			Justification: `refs/heads/agent/upload-retries to api, 3 commits: "Say in the docs no more that uploads are limited"`},
		State: bottles.Waiting, Hash: "sha256:p1", Remote: "api", Push: p,
		Effect: "Lets this push go on to the remote, as git-gate holds it: it keeps the remote's rules, and the scan found no secret in it.",
	}}
	return b
}

func init() {
	scenes["push"] = func(s *stage) { opened(s, pushing(aPush())) }
	scenes["push-end"] = func(s *stage) { opened(s, pushing(aPush()), "G") }
	scenes["push-stray"] = func(s *stage) { opened(s, pushing(aStrayPush())) }
	scenes["push-large"] = func(s *stage) { opened(s, pushing(aLargePush())) }
	scenes["push-large-end"] = func(s *stage) { opened(s, pushing(aLargePush()), "G") }
	scenes["push-deny"] = func(s *stage) {
		opened(s, pushing(aPush()), "n")
		s.typeText("leave the limit as it is; push the retries alone")
	}
	scenes["push-edit"] = func(s *stage) { opened(s, pushing(aPush()), "e") }
	scenes["push-tab"] = func(s *stage) { s.show(pushing(aPush())); s.press("tab", "2") }
	scenes["push-hostile"] = func(s *stage) { opened(s, pushing(evilPush()), "G") }
}

func TestAPushIsShown(t *testing.T) {
	for _, w := range []int{80, 120} {
		s := newStage(t, w, 100)
		s.show(pushing(aPush()))
		s.sees("⚑ 1", "asks for a push")
		s.press("a")
		for _, want := range []string{
			"implementer-k3x9q asks for a push", "To the remote api", "+ makes the branch agent/upload-retries at 1f0c8d4", "git-gate scanned all of it for secrets, and its rules found none.",
			"3 commits  the newest first  by coder <coder@example.com>", "13.1 KiB to send", "77aa01e  Try an upload again",
			"4 files  +14 −4", "removed       −2  docs/limits.txt", "added    no diff  docs/retries.png", "changed    +8 −2  internal/upload/upload.go",
			"no diff: it is no text, or too large to compare", "internal/upload/retry.go  added", "⋯ 11 lines as they are", "⋯ 69 lines as they are",
			"−         return c.do(req)", "+ const limit = 64 << 20", "docs/limits.txt  removed", "(no line end at the end of the file)",
			"── end of the change", "Approving", "Lets this push go on to the remote",
		} {
			s.sees(want)
		}
		s.lacks("Left out here", "in the agent's words", "Dockerfile", "edit", "$EDITOR", "whole file", "scope", "▲")
	}
}

func TestAPushIsReadBeforeItIsApproved(t *testing.T) {
	s := newStage(t, 80, 24)
	s.show(pushing(aPush()))
	s.press("a", "y")
	s.sees("not taken")
	s.quiet()
	s.press("y")
	s.sees("read to the end first")
	if got := s.sup.asked(); len(got) != 0 {
		t.Fatalf("approved unread: %v", got)
	}
	for range 5 {
		s.press("pgdown")
	}
	s.sees("── end of the change", "Approving")
	s.quiet()
	s.press("y")
	want := bottles.Approve{Identity: "implementer-k3x9q", Request: "p1", Shown: "sha256:p1"}
	if got := s.last(); !reflect.DeepEqual(got, want) {
		t.Errorf("asked for %#v, want %#v", got, want)
	}
	s.sees("approving the push of implementer-k3x9q")
}

// What git-gate did not tell is said, at the top and where it would be; and what is dangerous stands out.
func TestWhatIsLeftOutOfAPushIsSaid(t *testing.T) {
	s := open(t, 120, 100, pushing(aLargePush()))
	s.sees("~ changes the branch main from 8d1e22f to 1f0c8d4", "▲ deletes the branch agent/upload-retries, which is at 1f0c8d4",
		"+ makes the tag v1.4.0 at aa0c8d4", "~ changes refs/notes/review from 8d1e22f", "▲ and 1 more ref",
		"▲ Left out here: 1 ref, 112 older commits, 37 files and a part of the diff.", "115 commits  the newest first", "48.0 MiB to send",
		"▲ and 112 older ones, not listed", "41 files", "▲ and 37 more files, not listed", "▲ The diff goes on, and the rest of it is not shown.",
		"coder <coder@example.com>", "Ada Lovelace of", "than what was thought of when…")
}

// What is lost by a push is said like a deletion.
func TestAPushThatRewrites(t *testing.T) {
	p := aPush()
	p.Refs = []sidecars.PushRef{{Ref: "refs/heads/main", Old: oldTip, New: newTip, Rewrites: true}}
	s := open(t, 120, 40, pushing(p))
	s.sees("▲ rewrites the branch main from 8d1e22f to 1f0c8d4, which does not build on it", "is lost")
	s.lacks("~ changes")
}

// A file whose lines all stay is there for its mode, and one that is empty has none.
func TestFilesWithoutLines(t *testing.T) {
	p := aPush()
	p.Files = []sidecars.PushFile{{Path: "run.sh", Change: "changed", Is: "executable"}, {Path: "py.typed", Change: "added"}}
	p.Diff, p.Commits[0].Author, p.Commits[1].Author, p.Commits[2].Author = "", "", "", ""
	s := open(t, 120, 40, pushing(p))
	s.sees("changed  no line  run.sh  becomes executable", "no line: its mode alone changes", "added      empty  py.typed", "no lines to show")
	s.lacks("no diff", "  by ")
}

// A push may bring more to a branch than it sends, and may ask the remote for more than it sends.
func TestWhatAPushDoesNotHold(t *testing.T) {
	open(t, 120, 100, pushing(aStrayPush())).sees("+ makes the branch deploy at 1f0c8d4", "▲ It builds on commits that are on no branch of the remote", "are compared with those of the branch main, at 8d1e22f.",
		"~ changes the branch release", "▲ What it changes there could not be read from the remote", "▲ 2 push options, whose meaning is the remote's own: ci.skip, merge_request.create",
		"▲ 0badc0d  stranger", "Deploy with the vendor's script", "▲ not in this push: the remote has it, on none of its branches so far",
		"deploy.sh  on the branch deploy, executable", "latest  on the branch release, becomes a link", "Left out here: commits that the remote may have")
}

func TestPushesThatSendNothing(t *testing.T) {
	s := open(t, 120, 40, pushing(&sidecars.Push{Refs: []sidecars.PushRef{{Ref: "refs/heads/old", Old: oldTip, New: noObject}}}))
	s.sees("▲ deletes the branch old, which is at 8d1e22f", "nothing to scan for secrets", "No new commit", "nothing is sent", "no file changes by it")
	s.lacks("scanned all", "Left out here")

	s = open(t, 120, 40, pushing(&sidecars.Push{MoreRefs: 300, DiffCut: true, Bytes: 1 << 20})) // more than can be told
	s.sees("and 300 more refs", "Left out here: 300 refs and a part of the diff", "There is a diff, and it is not shown")

	s = open(t, 120, 40, pushing(nil))
	s.press("G", "y")
	s.sees("did not say what it would do", "what it would do is not known")
	if got := s.sup.asked(); len(got) != 0 {
		t.Errorf("approved %v", got)
	}
	s.quiet()
	s.press("n")
	s.sees("Why not?")
}

func TestAPushIsDeniedWithAReason(t *testing.T) {
	s := open(t, 120, 40, pushing(aPush()))
	s.press("n")
	s.sees("Why not?")
	s.typeText("not on a Friday")
	s.press("enter")
	want := bottles.Deny{Identity: "implementer-k3x9q", Request: "p1", Shown: "sha256:p1", Reason: "not on a Friday"}
	if got := s.last(); !reflect.DeepEqual(got, want) {
		t.Errorf("asked for %#v, want %#v", got, want)
	}
	s.sees("denying the push of implementer-k3x9q")
}

// Keys that mean nothing for a push say so, and do nothing.
func TestKeysThatAPushDoesNotHave(t *testing.T) {
	for key, why := range map[string]string{
		"e": "a push can't be edited: deny it", "E": "a push can't be edited: deny it", "s": "a push has no scope", "f": "there is no whole file",
	} {
		s := open(t, 80, 24, pushing(aPush()))
		s.press(key)
		s.sees(why, "To the remote api", "n deny")
		if got := s.sup.asked(); len(got) != 0 {
			t.Errorf("%s asked for %v", key, got)
		}
		s.press("esc")
		if s.m.dialog != nil {
			t.Errorf("after %s the dialog can't be left", key)
		}
	}
}

func TestAPushThatWaitsNoMore(t *testing.T) {
	for what, settle := range map[string]func(r []bottles.Request) []bottles.Request{
		"waits no more":      func([]bottles.Request) []bottles.Request { return nil },
		"answered elsewhere": func(r []bottles.Request) []bottles.Request { r[0].State = bottles.Applying; return r },
		"another one now":    func(r []bottles.Request) []bottles.Request { r[0].Hash = "sha256:other"; return r },
	} {
		for _, typing := range []bool{false, true} {
			b := pushing(aPush())
			s := open(t, 120, 40, b)
			if typing {
				s.press("n")
				s.typeText("no")
			}
			b.Requests = settle([]bottles.Request{b.Requests[0]})
			s.show(b)
			s.sees("the push of implementer-k3x9q", what)
			if s.m.dialog != nil {
				t.Errorf("%s: the dialog is still open", what)
			}
		}
	}
}

// The outcome of a decision on a push is told as one: nothing is in force by it.
func TestTheOutcomeOfAPush(t *testing.T) {
	s := open(t, 120, 40, pushing(aPush()))
	s.press("G")
	s.quiet()
	s.press("y")
	told := updateMsg{Alerts: []bottles.Alert{{Kind: bottles.AlertDone, Identity: "implementer-k3x9q", Operation: "push", Text: "implementer-k3x9q: its push goes on to the remote"}}}
	outcome := doneMsg{identity: "implementer-k3x9q", action: s.last(), kind: s.m.kindOf(s.last())}
	s.show(live("implementer-k3x9q", 2*time.Hour)) // git-gate was quicker than the outcome
	for _, first := range []bool{false, true} {
		if first {
			s.send(told)
			s.send(outcome)
		} else {
			s.send(outcome)
			s.send(told)
		}
		s.sees("approved: git-gate lets the push of implementer-k3x9q go on")
		s.lacks("in force", "goes on to the remote")
		s.clock.add(noteTime)
		s.send(ageMsg{s.m.ages})
	}
}

// evilPush is full of what does not print, and of lines that look like parts of a diff.
func evilPush() *sidecars.Push {
	return &sidecars.Push{
		Refs:    []sidecars.PushRef{{Ref: "refs/heads/" + evil, Old: evil, New: evil}, {Ref: evil, Old: noObject, New: evil}, {Ref: evil, Old: evil, New: noObject}, {}},
		Commits: []sidecars.PushCommit{{Hash: evil, Author: evil, Subject: evil}, {Author: strings.Repeat("w日", 90), Subject: strings.Repeat("w日", 90)}, {}},
		Files:   []sidecars.PushFile{{Path: evil, Change: evil, Added: 1 << 40, Removed: -7}, {Path: strings.Repeat("w日", 150), Change: "added", Added: 1 << 40, Removed: 1 << 40}, {}},
		Diff: evil + "\n--- " + evil + "\n+++ " + evil + "\n@@ -1 +1 @@\n-" + evil + "\n+" + strings.Repeat("w日", 150) + "\n@@ -999999999,999999999 +1 @@\n" + evil + "\n" +
			"--- a/x\n+++ b/x\n@@ -99999999999999999999 +1 @@\n\n\\\n" + evil,
		MoreRefs: 1 << 40, MoreCommits: -1, Bytes: 1 << 60,
	}
}

func TestAHostilePushIsDrawnAsCells(t *testing.T) {
	for _, size := range append(sizes, [2]int{40, 12}) {
		b := pushing(evilPush())
		b.Requests[0].Remote, b.Requests[0].Effect, b.Requests[0].Justification, b.Requests[0].Err = evil, evil, evil, evil
		s := newStage(t, size[0], size[1])
		s.show(b)
		assertHarmless(t, s)
		s.press("2")
		assertHarmless(t, s)
		s.press("a")
		s.quiet()
		for page := 0; page == 0 || strings.Contains(s.text(), "▼"); page++ {
			if page > 100 {
				t.Fatalf("it has no end:\n%s", s.text())
			}
			assertHarmless(t, s)
			s.press("pgdown")
		}
		assertHarmless(t, s)
		s.sees("y approve")
		s.press("n")
		s.send(armMsg{})
		assertHarmless(t, s)
	}
}
