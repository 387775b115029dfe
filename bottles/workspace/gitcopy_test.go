package workspace

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Somebody commits all the time while the directory is copied: the copy is the repository as it was at one moment, with
// the files that belong to it.
func TestCommitsUnderTheCopy(t *testing.T) {
	t.Parallel()
	dir := project(t, t.TempDir()+"/busy", 300)
	write(t, dir+"/counter", "0\n")
	git(t, dir, "add", ".")
	git(t, dir, "commit", "-qm", "before")
	tree := mustScan(t, dir)

	ctx, stop := context.WithCancel(t.Context())
	var commits sync.WaitGroup
	first := make(chan struct{})
	commits.Go(func() {
		pause := time.NewTimer(0)
		defer pause.Stop()
		for n := 1; ctx.Err() == nil; n++ {
			err := errors.Join(
				os.WriteFile(filepath.Join(dir, "counter"), []byte(fmt.Sprintln(n)), 0o644),
				os.WriteFile(filepath.Join(dir, fmt.Sprint("new", n)), []byte(fmt.Sprintln(n)), 0o644))
			if err != nil {
				t.Error(err)
			}
			for _, args := range [][]string{{"add", "-A"}, {"commit", "-qam", fmt.Sprint("commit ", n)}} {
				if out, err := gitTry(dir, args...); err != nil {
					t.Errorf("git %q: %v\n%s", args, err, out)
				}
			}
			if n%3 == 0 { // what packs moves every object, and removes those that were listed
				if out, err := gitTry(dir, "repack", "-adq"); err != nil {
					t.Errorf("git repack: %v\n%s", err, out)
				}
			}
			if n == 1 {
				close(first)
			}
			pause.Reset(200 * time.Millisecond) // whatever a commit takes on a busy machine
			select {
			case <-pause.C:
			case <-ctx.Done():
			}
		}
	})
	var out bytes.Buffer
	slow := &onWrite{&out, func() { <-first }} // the scan is older than a commit, and the archive has begun
	err := tree.Archive(t.Context(), slow, os.Getuid(), os.Getgid(), nil)
	stop()
	commits.Wait()
	if err != nil || tree.Unsettled != "" {
		t.Fatalf("the copy: %v %s", err, tree.Unsettled)
	}
	to := t.TempDir()
	extract(t, &out, to)
	if out, err := gitTry(to, "fsck", "--full"); err != nil || strings.Contains(out, "missing") {
		t.Errorf("git fsck: %v\n%s", err, out)
	}
	// Between two commands of the committer its own files are changed or staged; all others are as committed.
	for line := range strings.Lines(git(t, to, "status", "--porcelain")) {
		if name := line[3:]; !strings.HasPrefix(name, "counter") && !strings.HasPrefix(name, "new") {
			t.Errorf("git status says %q", line)
		}
	}
	if head := strings.TrimSpace(git(t, to, "rev-parse", "HEAD")); !strings.Contains(git(t, dir, "log", "--format=%H"), head) {
		t.Errorf("HEAD is %s, which is no commit of the host's", head)
	}
	if git(t, to, "log", "-1", "--format=%s") == "before\n" {
		t.Error("the copy is of the time before the first commit, whose files it has")
	}
}

// What holds for the host alone stays there: in each case the plan names it, and git works in the copy.
func TestHostConfiguration(t *testing.T) {
	t.Parallel()
	dir := project(t, t.TempDir()+"/api", 20)
	config := `
[commit]
	gpgSign = true
[user]
	signingKey = /home/op/key.pub
	name = Ann
	email = "ann@example.com" ; hers
[core]
	fsmonitor = /home/op/bin/watch
	sshCommand = ssh -i /home/op/.ssh/id
	excludesFile = ~/.ignore
	hooksPath = /home/op/hooks
	commentChar = "#"
[include]
	path = /home/op/more
[includeIf "gitdir:/home/op/"]
	path = work
[credential]
	helper = !cat /home/op/token
[filter "lfs"]
	clean = git-lfs clean -- %f
	required
[remote "origin"]
	url = https://op:hunter2@git.example.com/api.git
	fetch = +refs/heads/*:refs/remotes/origin/*
[remote "local"]
	url = /home/op/mirror.git
[http "https://git.example.com"]
	extraHeader = "AUTHORIZATION: basic aHVudGVyMg=="
[alias]
	st = status --short
	run = !make
[odd "a\"b\\c"]
	text = "two\nlines\t\"quoted\" # no comment" # a comment
	long = one \
two
[legacy.Sub]
	flag
`
	f, err := os.OpenFile(dir+"/.git/config", os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = f.WriteString(config); errors.Join(err, f.Close()) != nil {
		t.Fatal(err)
	}
	write(t, dir+"/.git/index.lock", "")
	write(t, dir+"/.git/refs/heads/x.lock", "")
	write(t, dir+"/.git/hooks/pre-commit", "#!/bin/sh\nexec "+dir+"/venv/bin/pre-commit\n")
	write(t, dir+"/.git/hooks/pre-push.sample", "#!/bin/sh\n")
	write(t, dir+"/.git/hooks/post-commit", "#!/bin/sh\nexit 0\n")
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(dir+"/.git/index.lock", old, old); err != nil {
		t.Fatal(err)
	}
	to, tree := copyOf(t, dir)

	text, err := os.ReadFile(to + "/.git/config")
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"/home/op", "hunter2", "aHVudGVyMg", "gpg", "lfs", "make"} {
		if strings.Contains(string(text), word) {
			t.Errorf("the copy's configuration has %q:\n%s", word, text)
		}
	}
	for name, want := range map[string]string{
		"user.name": "Ann", "user.email": "ann@example.com", "remote.origin.url": "https://git.example.com/api.git", "alias.st": "status --short",
		"core.commentchar": "#", `odd.a"b\c.text`: "two\nlines\t\"quoted\" # no comment", `odd.a"b\c.long`: "one two", "legacy.sub.flag": "true",
	} {
		if got := git(t, to, "config", "--local", "--type="+map[bool]string{true: "bool", false: "path"}[want == "true"], name); got != want+"\n" {
			t.Errorf("%s is %q", name, got)
		}
	}
	i := slices.IndexFunc(tree.Notes, func(n Note) bool { return n.ID == NoteGitConfig })
	if i < 0 {
		t.Fatalf("the notes are %+v", tree.Notes)
	}
	for _, name := range []string{"commit.gpgsign", "user.signingkey", "core.fsmonitor", "core.sshcommand", "core.excludesfile", "core.hookspath", "include.path", "and 4 more"} {
		if !strings.Contains(tree.Notes[i].What, name) {
			t.Errorf("%s is not named: %s", name, tree.Notes[i].What)
		}
	}
	for _, gone := range []string{"index.lock", "refs/heads/x.lock", "hooks/pre-commit", "hooks/pre-push.sample"} {
		if _, err := os.Lstat(to + "/.git/" + gone); err == nil {
			t.Errorf("%s was copied", gone)
		}
	}
	if _, err := os.Lstat(to + "/.git/hooks/post-commit"); err != nil {
		t.Error(err)
	}
	git(t, to, "commit", "-q", "--allow-empty", "-m", "works")
}

// What the operator's git ignores everywhere is ignored in the copy as well, before what the repository says; a file that
// was deleted while the directory was copied is told of; and what ORIG_HEAD points to may be gone.
func TestIgnoredEverywhere(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_CONFIG_HOME", "")
	dir := project(t, t.TempDir()+"/api", 20)
	write(t, home+"/.config/git/ignore", ".idea/\n*.swp\n"+home+"/private\n")
	write(t, dir+"/.git/info/exclude", "!keep.swp")
	write(t, dir+"/.git/ORIG_HEAD", strings.Repeat("1", 40)+"\n")
	for _, name := range []string{".idea/workspace.xml", "a.swp", "keep.swp", "0-deleted"} {
		write(t, filepath.Join(dir, name), "x")
	}
	write(t, dir+"/1-large.swp", strings.Repeat("x", 3*chunk))
	tree := mustScan(t, dir)
	var out bytes.Buffer
	w := &onWrite{&out, func() { // the state was read, and the first files are in the archive
		if err := os.Remove(dir + "/0-deleted"); err != nil {
			t.Error(err)
		}
		git(t, dir, "commit", "-q", "--allow-empty", "-m", "three")
	}}
	if err := tree.Archive(t.Context(), w, os.Getuid(), os.Getgid(), nil); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(tree.Unsettled, `deleted while the directory was copied, and in the copy all the same: "0-deleted"`) {
		t.Errorf("told: %q", tree.Unsettled)
	}
	to := t.TempDir()
	extract(t, &out, to)
	if got := git(t, to, "status", "--porcelain"); got != "?? 0-deleted\n?? keep.swp\n" {
		t.Errorf("git status says %q", got)
	}
	noPath(t, to, home)
}

// Where no repository can be made of what is there, the plan says so: as a conflict where git works on the host.
func TestUnusableRepositories(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	main := project(t, home+"/main", 3)
	git(t, main, "config", "uploadpack.allowFilter", "true")
	git(t, home, "clone", "-q", "--filter=blob:none", "file://"+main, "partial")
	git(t, home, "clone", "-q", "--bare", main, "bare.git")
	project(t, home+"/elsewhere", 1)
	git(t, home+"/elsewhere", "config", "core.worktree", main)
	project(t, home+"/here", 1)
	git(t, home+"/here", "config", "core.worktree", home+"/here")
	write(t, home+"/moved/.git", "gitdir: /nowhere/at/all\n")
	write(t, home+"/no/.git", "this is no pointer\n")
	write(t, main+"/part/tracked", "t\n")
	git(t, main, "add", ".")
	write(t, main+"/other/untracked", "u\n")
	for _, c := range []struct{ dir, refused, note string }{
		{"partial", "partial clone", ""},
		{"bare.git", "bare repository", ""},
		{"elsewhere", "core.worktree", ""},
		{"here", "", ""},
		{"moved", "", "points to /nowhere/at/all, which is no git repository"},
		{"no", "", ""},
		{"main/part", "", "is a part of the repository in " + main},
		{"main/other", "", ""},
	} {
		tree, err := Scan(t.Context(), filepath.Join(home, c.dir), Options{})
		var refused *Refused
		switch {
		case c.refused != "":
			if !errors.As(err, &refused) || !strings.Contains(refused.What, c.refused) || refused.Fix == "" {
				t.Errorf("%s: %v", c.dir, err)
			}
		case err != nil:
			t.Errorf("%s: %v", c.dir, err)
		case c.note == "" && len(tree.Notes) > 0, c.note != "" && (len(tree.Notes) != 1 || !strings.Contains(tree.Notes[0].What, c.note)):
			t.Errorf("%s: the notes are %+v", c.dir, tree.Notes)
		}
	}
	// What the conflict over a partial clone says to do makes it whole.
	_, err := Scan(t.Context(), home+"/partial", Options{})
	var refused *Refused
	if !errors.As(err, &refused) {
		t.Fatal(err)
	}
	commands, _, _ := strings.Cut(strings.TrimPrefix(refused.Fix, "make it whole first: "), "; or ")
	cmd := exec.Command("sh", "-c", commands)
	cmd.Env = gitEnv()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", commands, err, out)
	}
	to, _ := copyOf(t, home+"/partial")
	if out, err := gitTry(to, "fsck", "--full"); err != nil || strings.Contains(out, "missing") {
		t.Errorf("git fsck: %v\n%s", err, out)
	}
}
