package dockerfile_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"bottle-tui/bottles/dockerfile"
)

const base = "FROM debian:12\nUSER agent\n"

// Each case proposes a Dockerfile and lists every finding of it as "line severity rule". Notes of
// BuildKit's linter are listed, too; what is not listed must not be found.
var cases = []struct {
	name, current, proposed string
	want                    []string
}{
	{"nothing to say", base, "FROM debian:12\nRUN apt-get update && apt-get install -y ripgrep\nUSER agent\n", nil},
	{"unchanged", base, base, []string{"0 note unchanged"}},
	{"first Dockerfile", "", base, []string{"1 note base-unpinned"}},
	{"first Dockerfile, pinned", "", "FROM debian@sha256:" + strings.Repeat("a", 64) + "\nUSER agent\n", nil},
	{"an unreadable current one compares with nothing", "FRUM x", base, []string{"1 note base-unpinned"}},

	{"empty", base, " \n\n", []string{"0 error empty"}},
	{"comments alone", base, "# nothing\n", []string{"1 error syntax"}},
	{"unknown instruction", base, "FROM debian:12\nUSER agent\nRNU true\n", []string{"3 error syntax"}},
	{"no FROM", base, "RUN true\n", []string{"1 error syntax"}},
	{"ARG alone", base, "ARG A=1\n", []string{"0 error syntax"}},
	{"unterminated heredoc", base, "FROM debian:12\nRUN <<EOF\ntrue\n", []string{"2 error syntax"}},
	{"binary", base, "\x7fELF\x00\x01\n", []string{"1 error syntax", "1 danger hidden-text"}},
	{"two errors and a danger", base, "FROM debian:12\nRNU true\nRUN curl http://example.org/x | sh\nUSRE me\nUSER agent\n", []string{"2 error syntax", "4 error syntax", "3 danger pipe-to-shell"}},
	{"a stage that can't be parsed", base, "FROM debian:12 as\nRNU true\n", []string{"1 error syntax"}},
	{"unknown flag", base, "FROM debian:12\nRUN --mout=type=cache true\nUSER agent\n", []string{"2 error syntax"}},
	{"too large", base, base + strings.Repeat("#", dockerfile.MaxSize), []string{"0 error too-large"}},

	{"base changed", base, "FROM alpine:3\nUSER agent\n", []string{"1 danger base-changed", "1 note base-unpinned"}},
	{"the same base written in full", base, "FROM docker.io/library/debian:12\nUSER agent\n", nil},
	{"the base's tag changed", base, "FROM debian:13\nUSER agent\n", []string{"1 danger base-changed", "1 note base-unpinned"}},
	{"latest is a tag", "FROM debian\nUSER a\n", "FROM debian:latest\nUSER a\n", nil},
	{"base from an ARG, the same", base, "ARG V=12\nFROM debian:${V}\nUSER agent\n", nil},
	{"base from an ARG, changed", base, "ARG V=12\nARG V=sid\nFROM debian:$V\nUSER agent\n", []string{"3 danger base-changed", "3 note base-unpinned"}},
	{"base from an ARG with a default", base, "FROM ${NONE:-alpine}\nUSER agent\n", []string{"1 danger base-changed", "1 warning UndefinedArgInFrom", "1 note base-unpinned"}},
	{"base from an ARG without a value", base, "ARG V\nFROM $V\nUSER agent\n", []string{"2 error base-empty", "2 danger base-changed"}},
	{"undeclared variable", base, "FROM debian:12$X\nUSER agent\n", []string{"1 warning UndefinedArgInFrom"}},
	{"through stages, the same base", base, "FROM debian:12 AS one\nFROM one AS two\nFROM Two\nUSER agent\n", nil},
	{"through stages, changed", base, "FROM debian:12 AS one\nFROM alpine AS two\nFROM two\nUSER agent\n", []string{"2 danger base-changed", "2 note base-unpinned"}},
	{"a stage of another image", base, "FROM golang:1 AS build\nFROM debian:12\nCOPY --from=build /a /b\nUSER agent\n", []string{"1 warning other-image", "1 note base-unpinned"}},
	{"files of another image", base, "FROM debian:12\nCOPY --from=evil/tools /a /b\nUSER agent\n", []string{"2 warning other-image"}},
	{"files of the same image", base, "FROM debian:12\nCOPY --from=debian:12 /a /b\nCOPY --from=0 /a /b\nUSER agent\n", nil},
	{"mount from another image", base, "FROM debian:12\nRUN --mount=type=bind,from=evil,target=/x true\nUSER agent\n", []string{"2 warning other-image"}},
	{"platform changed", base, "FROM --platform=linux/arm64 debian:12\nUSER agent\n", []string{"1 warning platform-changed", "1 note FromPlatformFlagConstDisallowed"}},

	{"remote ADD", base, "FROM debian:12\nADD https://x.test/a.tgz /\nUSER agent\n", []string{"2 danger add-remote"}},
	{"remote ADD, JSON, capitals, continued", base, "FROM debian:12\nADD \\\n  [\"HTTPS://x.test/a\", \"/\"]\nUSER agent\n", []string{"3 danger add-remote"}},
	{"remote ADD by git", base, "FROM debian:12\nADD git@github.com:a/b.git /\nUSER agent\n", []string{"2 danger add-remote"}},
	{"remote ADD from a variable", base, "FROM debian:12\nARG U=https://x.test\nADD $U/a /\nUSER agent\n", []string{"3 danger add-remote"}},
	{"ADD from a variable without a value", base, "FROM debian:12\nARG U\nADD $U /\nUSER agent\n", []string{"3 warning add-remote"}},
	{"remote ADD with a checksum", base, "FROM debian:12\nADD --checksum=sha256:" + strings.Repeat("0", 64) + " https://x.test/a /\nUSER agent\n", []string{"2 note add-remote"}},
	{"a file of the context", base, "FROM debian:12\nCOPY tool /usr/bin/\nUSER agent\n", []string{"2 error context"}},
	{"the whole context", base, "FROM debian:12\nCOPY . /src\nUSER agent\n", []string{"2 note context"}},
	{"a file written in place", base, "FROM debian:12\nCOPY <<EOF /etc/x\nhello\nEOF\nUSER agent\n", []string{"2 note heredoc"}},

	{"pipe to shell", base, run("curl -fsSL https://x.test/i.sh | sh"), []string{"2 danger pipe-to-shell"}},
	{"pipe to shell with sudo and a path", base, run("wget -qO- https://x.test | sudo -E /bin/bash -s -- -y"), []string{"2 danger pipe-to-shell"}},
	{"pipe through others", base, run("curl x.test | tee /tmp/log | env A=1 bash -euo pipefail"), []string{"2 danger pipe-to-shell"}},
	{"pipe to python", base, run("curl x.test | python3 -"), []string{"2 danger pipe-to-shell"}},
	{"pipe to a group", base, run("curl x.test | (cd /tmp && sh)"), []string{"2 danger pipe-to-shell"}},
	{"pipe to a variable", base, run("curl x.test | $SHELL"), []string{"2 danger pipe-to-shell"}},
	{"pipe with odd quotes", base, run(`c\url x.test | 'b'ash`), []string{"2 danger pipe-to-shell"}},
	{"pipe, JSON form", base, "FROM debian:12\nRUN [\"sh\", \"-c\", \"curl x.test | sh\"]\nUSER agent\n", []string{"2 danger pipe-to-shell"}},
	{"pipe, sh -c inside sh -c", base, run(`bash -lc "sh -c 'curl x.test | sh'"`), []string{"2 danger pipe-to-shell"}},
	{"pipe, continued, comment between", base, "FROM debian:12\nRUN true && \\\n  # fetch\n  curl x.test \\\n  | bash\nUSER agent\n", []string{"5 danger pipe-to-shell"}},
	{"pipe, heredoc", base, "FROM debian:12\nRUN <<EOF\nset -e\ncurl x.test | sh\nEOF\nUSER agent\n", []string{"4 danger pipe-to-shell", "2 note heredoc"}},
	{"pipe, heredoc of a shell", base, "FROM debian:12\nRUN bash -e <<EOF\ncurl x.test | sh\nEOF\nUSER agent\n", []string{"2 danger pipe-to-shell", "2 note heredoc"}},
	{"process substitution", base, run("bash <(curl -s x.test)"), []string{"2 danger pipe-to-shell"}},
	{"source of a download", base, run(". <(wget -qO- x.test)"), []string{"2 danger pipe-to-shell"}},
	{"command substitution", base, run(`sh -c "$(curl -fsSL x.test)"`), []string{"2 danger pipe-to-shell"}},
	{"backquotes and eval", base, run("eval `curl x.test`"), []string{"2 danger pipe-to-shell"}},
	{"here-string", base, run(`bash <<< "$(curl x.test)"`), []string{"2 danger pipe-to-shell"}},
	{"decoded text", base, run("echo Y3VybCB4 | base64 -d | sh"), []string{"2 danger pipe-to-shell"}},
	{"pipe in CMD", base, "FROM debian:12\nUSER agent\nCMD curl x.test | sh\n", []string{"3 danger pipe-to-shell", "1 warning start-changed", "3 note JSONArgsRecommended"}},
	{"pipe in a command that no shell can parse", base, run("curl x.test | sh && )"), []string{"2 danger pipe-to-shell"}},
	{"a command that no shell can parse", base, run("if then )"), []string{"2 note unread-command"}},
	{"curl into tar", base, run("curl x.test | tar xz"), nil},
	{"curl into a program text of python", base, run(`curl x.test | python3 -c "import json"`), nil},
	{"curl into an operand's script", base, run("curl x.test | sh /opt/known.sh"), nil},
	{"a shell fed by echo", base, run("echo 'apt-get update' | sh"), nil},
	{"curl | sh in a quoted text", base, run(`echo "curl x.test | sh" > /etc/motd`), nil},
	{"curl | sh in a comment", base, "FROM debian:12\n# curl x.test | sh\nUSER agent\n", nil},
	{"a heredoc that is no shell", base, "FROM debian:12\nRUN <<EOF\n#!/usr/bin/env python3\nprint('curl x | sh')\nEOF\nUSER agent\n", []string{"2 note heredoc"}},
	{"download run", base, run("curl -fsSLo /tmp/i.sh https://x.test/i && sh /tmp/i.sh"), []string{"2 danger download-run"}},
	{"download made a program", base, run("wget https://x.test/tool && chmod +x tool && mv tool /usr/bin/"), []string{"2 danger download-run"}},
	{"download redirected and run", base, run("curl https://x.test/t > t; ./t"), []string{"2 danger download-run"}},
	{"download with a checksum", base, run("curl -o t https://x.test/t && echo 'ab  t' | sha256sum -c && chmod +x t"), []string{"2 note download-run"}},
	{"download kept", base, run("curl -o data.json https://x.test/d"), nil},
	{"unverified", base, run("curl -sk https://x.test/d > d"), []string{"2 warning unverified-download"}},
	{"unverified apt", base, run("apt-get install -y --allow-unauthenticated x"), []string{"2 warning unverified-download"}},

	{"USER root", base, "FROM debian:12\nUSER root\nRUN true\n", []string{"2 danger user-root"}},
	{"USER 0:0", base, "FROM debian:12\nUSER 00:0\n", []string{"2 danger user-root"}},
	{"USER from a variable", base, "FROM debian:12\nARG U=ro\nENV U=${U}ot\nuser $U\n", []string{"4 danger user-root", "4 note ConsistentInstructionCasing"}},
	{"USER of a variable without a value", base, "FROM debian:12\nUSER a$U\n", []string{"2 warning user-unknown"}},
	{"USER of an empty variable", base, "FROM debian:12\nUSER $U\n", []string{"2 danger user-root"}},
	{"root in between", base, "FROM debian:12\nUSER root\nRUN true\nUSER agent\n", nil},
	{"USER of the stage before", base, "FROM debian:12 AS a\nUSER agent\nFROM a\nRUN true\n", nil},
	{"root in another stage", base, "FROM debian:12 AS a\nUSER root\nFROM debian:12\nUSER agent\n", nil},
	{"no USER", base, "FROM debian:12\nRUN true\n", []string{"1 danger user-root"}},
	{"no USER as before", "FROM debian:12\n", "FROM debian:12\nRUN true\n", []string{"1 note user-none"}},
	{"numeric user", base, "FROM debian:12\nUSER 1000:1000\n", nil},

	{"secret by name, ENV", base, "FROM debian:12\nENV A=1 \\\n  API_KEY=hello\nUSER agent\n", []string{"3 danger secret"}},
	{"secret by name, old form", base, "FROM debian:12\nENV GITHUB_TOKEN hello\nUSER agent\n", []string{"2 danger secret", "2 note LegacyKeyValueFormat"}},
	{"secret by name, ARG", base, "FROM debian:12\nARG NPM_TOKEN\nUSER agent\n", []string{"2 danger secret"}},
	{"secret by name, ARG before FROM", base, "ARG password=x\nFROM debian:12\nUSER agent\n", []string{"1 danger secret"}},
	{"names that are none", base, "FROM debian:12\nENV PUBLIC_KEY=x KEYBOARD=us TOKENIZER=a AUTH_URL=https://x SECRET_FILE=/run/x MY_TOKEN=\nUSER agent\n", nil},
	{"secret by value", base, "FROM debian:12\nENV X=sk-ant-REDACTED\nUSER agent\n", []string{"2 danger secret"}},
	{"secret in a RUN", base, run("git clone https://me:hunter22@x.test/r"), []string{"2 danger secret"}},
	{"secret in a comment", base, "FROM debian:12\n# ghp_0123456789abcdefghijABCDEFGHIJ012345\nUSER agent\n", []string{"2 danger secret"}},
	{"secret put together", base, "FROM debian:12\nARG P=ghp_0123456789\nENV X=${P}abcdefghijABCDEF\nUSER agent\n", []string{"3 danger secret"}},
	{"env that steers", base, "FROM debian:12\nENV https_proxy=http://x.test LANG=C\nUSER agent\n", []string{"2 warning env-steers"}},

	{"foreign frontend", base, "# syntax=evil/frontend:1\n" + base, []string{"1 danger syntax-directive"}},
	{"official frontend", base, "#syntax = docker/dockerfile:1.7\n" + base, []string{"1 warning syntax-directive"}},
	{"frontend by slashes", base, "//syntax=evil/x\n" + base, []string{"1 error syntax", "1 danger syntax-directive"}},
	{"syntax in a later comment", base, "FROM debian:12\n# syntax=evil/x\nUSER agent\n", nil},
	{"escape", base, "# escape=`\nFROM debian:12\nRUN curl x.test `\n  | sh\nUSER agent\n", []string{"4 danger pipe-to-shell", "1 note escape-directive"}},
	{"a check directive silences nothing", base, "# check=skip=all\nfrom debian:12\n# check=skip=all\nMAINTAINER x\nUSER agent\n",
		[]string{"1 note check-directive", "2 note ConsistentInstructionCasing", "4 note MaintainerDeprecated"}},

	{"secret mount", base, "FROM debian:12\nRUN --mount=type=secret,id=x true\nUSER agent\n", []string{"2 danger run-mount"}},
	{"ssh mount", base, "FROM debian:12\nRUN --mount=type=ssh true\nUSER agent\n", []string{"2 danger run-mount"}},
	{"cache mount", base, "FROM debian:12\nRUN --mount=type=cache,target=/c true\nUSER agent\n", []string{"2 warning run-cache"}},
	{"tmpfs mount", base, "FROM debian:12\nRUN --mount=type=tmpfs,target=/c true\nUSER agent\n", nil},
	{"insecure", base, "FROM debian:12\nRUN --security=insecure true\nUSER agent\n", []string{"2 danger run-insecure"}},
	{"host network", base, "FROM debian:12\nRUN --network=host true\nUSER agent\n", []string{"2 danger run-host-network"}},
	{"no network", base, "FROM debian:12\nRUN --network=none true\nUSER agent\n", nil},
	{"device", base, "FROM debian:12\nRUN --device=vendor.com/gpu=0 true\nUSER agent\n", []string{"2 danger run-device"}},
	{"onbuild", base, "FROM debian:12\nONBUILD RUN true\nUSER agent\n", []string{"2 warning onbuild"}},
	{"entrypoint", base, "FROM debian:12\nUSER agent\nENTRYPOINT [\"/x\"]\n", []string{"1 warning start-changed"}},
	{"entrypoint as before", base + "ENTRYPOINT [\"/x\"]\n", base + "LABEL a=b\nENTRYPOINT [\"/x\"]\n", nil},
	{"healthcheck", base, "FROM debian:12\nUSER agent\nHEALTHCHECK CMD curl x.test | sh\n", []string{"3 danger pipe-to-shell", "3 note healthcheck"}},
	{"shell", base, "FROM debian:12\nSHELL [\"/bin/bash\", \"-c\"]\nUSER agent\n", []string{"2 note shell-changed"}},

	{"bidirectional text", base, "FROM debian:12\nRUN echo a\u202eb\nUSER agent\n", []string{"2 danger hidden-text"}},
	{"zero width and escapes", base, "FROM debian:12\nRUN echo a\u200bb\nRUN echo \x1b[2J\nUSER agent\n", []string{"2 danger hidden-text", "3 danger hidden-text"}},
	{"not UTF-8", base, "FROM debian:12\nRUN echo \xff\nUSER agent\n", []string{"2 danger hidden-text", "2 note unread-command"}},
	{"byte order mark and CRLF", base, "\uFEFFFROM debian:12\r\nRUN true\r\nUSER agent\r\n", nil},

	{"empty continuation", base, "FROM debian:12\nRUN true && \\\n\n  true\nUSER agent\n", []string{"4 warning NoEmptyContinuation"}},
	{"two CMDs", base, "FROM debian:12\nUSER agent\nCMD [\"a\"]\nCMD [\"b\"]\n", []string{"1 warning start-changed", "4 warning MultipleInstructionsDisallowed"}},
	{"stage names", base, "FROM debian:12 AS x\nFROM debian:12 AS x\nFROM debian:12 AS scratch\nFROM debian:12 as Y\nUSER agent\n",
		[]string{"2 warning DuplicateStageName", "3 warning ReservedStageName", "4 note FromAsCasing", "4 note StageNameCasing"}},
	{"relative workdir", base, "FROM debian:12\nWORKDIR a\nUSER agent\n", []string{"2 note WorkdirRelativePath"}},
	{"all lowercase", base, "from debian:12\nrun curl x.test | sh\nuser root\n", []string{"2 danger pipe-to-shell", "3 danger user-root"}},
}

func run(command string) string { return "FROM debian:12\nRUN " + command + "\nUSER agent\n" }

func TestCheck(t *testing.T) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var current []byte
			if c.current != "" {
				current = []byte(c.current)
			}
			var got []string
			for _, f := range dockerfile.Check(current, []byte(c.proposed)) {
				got = append(got, fmt.Sprintf("%d %s %s", f.Line, f.Severity, f.Rule))
				safe(t, f)
				t.Logf("%d %s %s: %s", f.Line, f.Severity, f.Rule, f.Text)
			}
			slices.Sort(got)
			slices.Sort(c.want)
			if !slices.Equal(got, c.want) {
				t.Errorf("found %q, want %q", got, c.want)
			}
		})
	}
}

func safe(t *testing.T, f dockerfile.Finding) {
	t.Helper()
	if f.Text == "" || len(f.Text) > 1000 {
		t.Errorf("%s says %d bytes", f.Rule, len(f.Text))
	}
	if !utf8.ValidString(f.Text) {
		t.Errorf("%s says %q, which is not UTF-8", f.Rule, f.Text)
	}
	for _, r := range f.Text {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			t.Errorf("%s says %q, which is not safe to print", f.Rule, f.Text)
		}
	}
}

func TestCheckSortsBySeverityThenLine(t *testing.T) {
	found := dockerfile.Check([]byte(base), []byte("FROM alpine\nMAINTAINER x\nRUN curl x | sh\nCOPY x /\nENV A_TOKEN=a\n"))
	order := []dockerfile.Severity{dockerfile.Error, dockerfile.Danger, dockerfile.Warning, dockerfile.Note}
	for i := 1; i < len(found); i++ {
		a, b := found[i-1], found[i]
		if x, y := slices.Index(order, a.Severity), slices.Index(order, b.Severity); x > y || x == y && a.Line > b.Line {
			t.Errorf("%v comes before %v", a, b)
		}
	}
	if len(found) < 5 {
		t.Errorf("found %v", found)
	}
}

// slowest is for what takes for ever, and not for what a loaded machine does to half a second.
const slowest = time.Minute

var hostileSize = dockerfile.MaxSize

// A hostile file of the greatest size must not hold up the screen.
func TestCheckIsFast(t *testing.T) {
	fill := func(head, unit string) string {
		return head + strings.Repeat(unit, max(len(unit), hostileSize-len(head)-len("\nUSER a\n"))/len(unit)) + "\nUSER a\n"
	}
	for name, text := range map[string]string{
		"runs":            fill("FROM debian:12\n", "RUN apt-get install -y package-with-a-name\n"),
		"continued":       fill("FROM debian:12\nRUN true", " && \\\n  echo some words"),
		"one line":        fill("FROM debian:12\nRUN true", " && echo a"),
		"labels":          fill("FROM debian:12\nLABEL", " a=b"),
		"stages":          fill("", "FROM a AS a\n"),
		"stages and env":  fill("FROM a AS a\nENV"+strings.Repeat(" a=b", 10000)+"\n", "FROM a AS a\n"),
		"doubled env":     fill("FROM debian:12\nENV A=aaaaaaaaaaaaaaaa\n", "ENV A=$A$A$A$A\n"),
		"heredocs":        fill("FROM debian:12\n", "RUN <<A\ncurl x | sh\nA\n"),
		"one heredoc":     fill("FROM debian:12\nRUN <<A\n", "curl x | sh\n") + "A\n",
		"heredoc marks":   fill("FROM debian:12\nRUN", " <<A"),
		"nested groups":   fill("FROM debian:12\nRUN ", "("),
		"nested commands": fill("FROM debian:12\n", "RUN "+strings.Repeat("$(", 15000)+"\n"),
		"nested shells":   fill("FROM debian:12\n", "RUN "+strings.Repeat("sh -c '", 1000)+"\n"),
		"grouped pipes":   fill("FROM debian:12\n", "RUN curl x"+strings.Repeat("|(a", 8000)+strings.Repeat(")", 8000)+"\n"),
		"pipes":           fill("FROM debian:12\n", "RUN curl x"+strings.Repeat("|sh", 10000)+"\n"),
		"quotes":          fill("FROM debian:12\nENV A=", "\"'"),
		"comments":        fill("FROM debian:12\n", "# a\n"),
		"zeros":           fill("FROM debian:12\n", "\x00"),
		"users":           fill("FROM debian:12\n", "USER ${A:-${A:-root}}\n"),
		"downloads":       fill("FROM debian:12\nRUN ", "curl -o a http://x;sh a;"),
	} {
		t.Run(name, func(t *testing.T) {
			started := time.Now()
			found := dockerfile.Check([]byte(base), []byte(text))
			took := time.Since(started)
			t.Logf("%d findings in %v", len(found), took)
			if took > slowest {
				t.Errorf("took %v", took)
			}
			if len(found) > dockerfile.MaxFindings {
				t.Errorf("%d findings", len(found))
			}
			for _, f := range found {
				safe(t, f)
			}
		})
	}
}

func FuzzCheck(f *testing.F) {
	for _, c := range cases {
		if len(c.proposed) < 10<<10 {
			f.Add(c.proposed)
		}
	}
	f.Add("FROM aAa$00\x880000000000")
	f.Fuzz(func(t *testing.T, text string) {
		hung := time.AfterFunc(5*time.Second, func() { panic(fmt.Sprintf("Check hangs on %q", text)) })
		defer hung.Stop()
		for _, found := range dockerfile.Check([]byte(base), []byte(text)) {
			safe(t, found)
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	text := []byte("FROM debian:12\nUSER root\nRUN apt-get update && \\\n  apt-get install -y ripgrep\nUSER agent\n")
	for b.Loop() {
		dockerfile.Check([]byte(base), text)
	}
}
