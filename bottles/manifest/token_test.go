package manifest_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"bottle-tui/bottles/manifest"
)

const secret = "s3cret-value"

func TestResolve(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	t.Setenv("API_TOKEN", secret)
	write(t, dir, map[string]string{"plain": secret, "line": secret + "\n", "dos": secret + "\r\n"})
	for _, ref := range []string{
		"API_TOKEN",
		"file:" + dir + "/plain", "file:~/line", "file:~/dos",
		"cmd:echo " + secret,
		"cmd:printf '%s\\r\\nsecond line\\n' " + secret,
		"cmd:printf %s $API_TOKEN; cat", // its input is empty
		"cmd:echo complaint >&2; echo " + secret,
	} {
		if got, err := manifest.Resolve(t.Context(), ref); got != secret || err != nil {
			t.Errorf("%s: got %q, %v", ref, got, err)
		}
	}
}

// TestUnresolved: each error says what to do, and none has the value in it.
func TestUnresolved(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	t.Setenv("EMPTY", "")
	t.Setenv("LINES", secret+"\n"+secret)
	t.Setenv("BLANK", secret+" ")
	write(t, dir, map[string]string{"large": strings.Repeat(secret, 10_000), "empty": "\n", "binary": secret + "\xff", "two": secret + "\n" + secret + "\n"})
	for name, text := range map[string]string{"locked": "echo not unlocked: $2 of $0 >&2; echo first; exit 2", "wrong": "echo " + secret + "; echo wrong: " + secret + " >&2; exit 1"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	for ref, want := range map[string]string{
		"MISSING_TOKEN":                       "token MISSING_TOKEN: the environment variable MISSING_TOKEN is not set",
		"EMPTY":                               "token EMPTY: it is empty",
		"LINES":                               "token LINES: it has a line break or another control character; a credential is one line",
		"BLANK":                               "token BLANK: it has a blank at its beginning or end; take it off",
		"file:~/missing":                      "its file is not there",
		"file:~/large":                        "its file has more than 64 KiB",
		"file:~/empty":                        "it is empty",
		"file:~/binary":                       "it is not text in UTF-8",
		"file:~/two":                          "it has a line break or another control character; a credential is one line",
		"file:~/fifo":                         "its file is not a file",
		"file:~/":                             "its file is not a file",
		"file:relative":                       "the path behind file: must begin with / or ~/",
		"cmd:true":                            "its command printed nothing",
		"cmd:exit 3":                          "its command failed, which has no terminal to ask on: exit status 3",
		"cmd:echo; echo " + secret:            "its command printed nothing",
		"cmd:" + dir + "/locked -o vault/key": `its command failed, which has no terminal to ask on: exit status 2: it says "not unlocked: […] of […]"`,
		"cmd:" + dir + "/wrong":               `its command failed, which has no terminal to ask on: exit status 1: it says "wrong: [token]"`,
		"cmd:echo " + secret + " >&2; exit 3": `its command failed, which has no terminal to ask on: exit status 3: it says "[…]"`,
		"cmd:printf '\\033[31mred\\n' >&2; exit 1":                                   `its command failed, which has no terminal to ask on: exit status 1: it says "␛[31mred"`,
		"cmd:echo " + secret + "; head -c 100000 /dev/zero | tr '\\0' x >&2; exit 1": "its command failed, which has no terminal to ask on: exit status 1",
		"cmd:head -c 100000 /dev/zero | tr '\\0' x":                                  "it has more than 64 KiB",
		"ghp_abcdefghijklmnopqrstuvwxyz0123456789":                                   "this looks like a token itself, which must not stand in a manifest; write the name of an environment variable, file:PATH, or cmd:COMMAND",
	} {
		got, err := manifest.Resolve(t.Context(), ref)
		if got != "" || err == nil || !strings.HasSuffix(err.Error(), ": "+want) && err.Error() != want {
			t.Errorf("%s:\ngot  %q, %v\nwant %s", ref, got, err, want)
		}
		if err != nil && (strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), dir) || strings.Contains(err.Error(), "vault")) {
			t.Errorf("%s: the value, the path or the command is in %v", ref, err)
		}
	}
}

// TestUnresolvedShell: what the shell itself says repeats nothing of the command either.
func TestUnresolvedShell(t *testing.T) {
	_, err := manifest.Resolve(t.Context(), "cmd:no-such-program --key vault/key")
	if err == nil || !strings.Contains(err.Error(), "exit status 127") || strings.Contains(err.Error(), "no-such") || strings.Contains(err.Error(), "vault") {
		t.Errorf("got %v", err)
	}
}

// TestResolveEnds: a command that does not end is ended with what it started.
func TestResolveEnds(t *testing.T) {
	dir := t.TempDir()
	started := filepath.Join(dir, "started")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := manifest.Resolve(ctx, "cmd:sleep 1000 & echo $! >"+started+".new; mv "+started+".new "+started+"; wait")
		done <- err
	}()
	until(t, "the command", func() bool { _, err := os.Stat(started); return err == nil })
	cancel()
	select {
	case err := <-done:
		if err == nil || !strings.HasSuffix(err.Error(), ": its command was ended: context canceled") {
			t.Errorf("got %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("it did not end")
	}
	pid := strings.TrimSpace(string(read(t, started)))
	until(t, "the end of what the command started", func() bool {
		status, err := os.ReadFile("/proc/" + pid + "/stat")
		return err != nil || strings.Contains(string(status), ") Z ")
	})
}

// TestResolveGoesOn: what a command leaves behind, as password managers do, is not waited for.
func TestResolveGoesOn(t *testing.T) {
	started := filepath.Join(t.TempDir(), "started")
	got, err := manifest.Resolve(t.Context(), "cmd:sleep 1000 & echo $! >"+started+"; echo "+secret)
	if got != secret || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	var pid int
	for _, c := range strings.TrimSpace(string(read(t, started))) {
		pid = pid*10 + int(c-'0')
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Errorf("what it left behind is gone: %v", err)
	}
}

func until(t *testing.T, what string, met func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for !met() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func TestPublicName(t *testing.T) {
	for ref, want := range map[string]string{
		"API_TOKEN":         "API_TOKEN",
		"file:~/token":      "file:86bf9d9f5bef",
		"cmd:pass show key": "cmd:42a289d194c7",
	} {
		if err := manifest.CheckRef(ref); err != nil {
			t.Errorf("%s: %v", ref, err)
		}
		if got := manifest.PublicName(ref); got != want {
			t.Errorf("%s: got %s, want %s", ref, got, want)
		}
	}
	for _, ref := range []string{"GITEA_TOKEN", "npm_token", "AWS_SECRET_ACCESS_KEY_2", "my_registry_token_of_2026", "A_VERY_LONG_NAME_OF_A_VARIABLE_WITH_MANY_WORDS_1"} {
		if err := manifest.CheckRef(ref); err != nil {
			t.Errorf("%s: %v", ref, err)
		}
	}
	for _, ref := range []string{"b0f7c2e1a9d84c3f6e5d4b3a2c1d0e9f8a7b6c5d", "B0F7C2E1A9D84C3F6E5D4B3A2C1D0E9F", "k3x9q7w2cek3x9q7w2cek3x9q7w2ce99", "dop_v1_b0f7c2e1a9d84c3f6e5d4b3a2c1d0e9f"} {
		if err := manifest.CheckRef(ref); err == nil || !strings.Contains(err.Error(), "looks like a token itself") || strings.Contains(err.Error(), ref[:8]) {
			t.Errorf("%s: got %v", ref, err)
		}
	}
	for _, ref := range []string{"", "1TOKEN", "my token", "file:", "file:x", "cmd:", "sk-" + secret, strings.Repeat("A", 200)} {
		if err := manifest.CheckRef(ref); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: got %v", ref, err)
		}
	}
}
