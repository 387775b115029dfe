package manifest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"

	"bottle-tui/bottles"
	"bottle-tui/sidecars/credproxy"
)

const (
	refFile    = "file:"
	refCommand = "cmd:"

	maxToken       = 64 << 10         // bytes of a token, and of a file that holds one
	maxComplaint   = 4 << 10          // bytes of a command's standard error that are kept
	commandTime    = 30 * time.Second // how long a command may take that can't ask
	askingTime     = 5 * time.Minute  // how long one that can
	commandLinger  = time.Second      // how long what a command left behind may hold its output
	leastWord      = 4                // bytes of a word of a command that is not repeated
	shellOfCommand = "sh"
)

// PublicName is what agents, plans and cred-proxy's configuration see of a token_ref.
func PublicName(ref string) string { return bottles.TokenName(ref) }

// CheckRef says what is wrong with a token_ref. It does not look for the value. What it says never repeats the
// text: people paste the token itself.
func CheckRef(ref string) error {
	if wrong := checkRef(ref); wrong != "" {
		return errors.New(wrong)
	}
	return nil
}

var (
	// tokenForm is how tokens of widespread services look that could be the name of a variable.
	tokenForm = regexp.MustCompile(`^((gh[pousr]_|github_pat_|npm_|sk_|pypi_)[A-Za-z0-9_]{20,}|[0-9A-Fa-f]{32,})$`)
	// plainToken is what nothing but a token of a widespread service looks like.
	plainToken = regexp.MustCompile(`^((gh[pousr]_|npm_|glpat-|sk-ant-|sk_live_|xox[abeprs]-)[A-Za-z0-9_-]{20,}|(github_pat_|pypi-)[A-Za-z0-9_-]{40,})$`)
	digits     = "0123456789"
)

func checkRef(ref string) string {
	const advice = "write the name of an environment variable, file:PATH, or cmd:COMMAND"
	if path, ok := strings.CutPrefix(ref, refFile); ok {
		if !filepath.IsAbs(path) && !strings.HasPrefix(path, "~/") || hasControl(path) {
			return "the path behind file: must begin with / or ~/"
		}
		return ""
	}
	if command, ok := strings.CutPrefix(ref, refCommand); ok {
		if strings.TrimSpace(command) == "" || strings.ContainsRune(command, 0) {
			return "there is no command behind cmd:; write it as in \"cmd:pass show api-key\""
		}
		return ""
	}
	switch {
	case ref == "":
		return "the token_ref is empty; " + advice
	case tokenForm.MatchString(ref) || plainToken.MatchString(ref) || random(ref):
		return "this looks like a token itself, which must not stand in a manifest; " + advice
	case !envForm.MatchString(ref):
		return "this is not a token_ref (a token itself must not stand here); " + advice
	}
	return ownWords(credproxy.CheckToken(ref))
}

// random says whether a text looks like random letters and digits rather than a name: people write names of variables in
// words with underscores between them, and in capitals.
func random(s string) bool {
	small := strings.ToUpper(s) != s
	if len(s) >= 32 && small && strings.ToLower(s) != s && strings.ContainsAny(s, digits) {
		return true
	}
	for word := range strings.SplitSeq(s, "_") {
		if strings.ContainsAny(word, digits) && (len(word) >= 32 || len(word) >= 20 && strings.ToUpper(word) != word) {
			return true
		}
	}
	return false
}

// Resolve finds the value of a token_ref. An error names the reference by its PublicName: it holds neither the value nor
// the path of a file, nor a word of a command, which may have a credential in it. It takes up to 30 s for a command, whose
// standard input is empty, and which is ended with all that it started when ctx is done. It is kept off the terminal,
// where a screen may be drawn: it has none to open, and no GPG_TTY by which gpg's pinentry would find one.
func Resolve(ctx context.Context, ref string) (string, error) { return resolved(ctx, ref, false) }

// ResolveAsking is Resolve for a program in a terminal on which nothing else is drawn, nor read: a command has the
// program's standard input and error and up to 5 minutes, to ask for a password.
func ResolveAsking(ctx context.Context, ref string) (string, error) { return resolved(ctx, ref, true) }

func resolved(ctx context.Context, ref string, asking bool) (string, error) {
	value, err := resolve(ctx, ref, asking)
	if err == nil {
		err = checkValue(value)
	}
	if err != nil {
		return "", fmt.Errorf("token %s: %w", PublicName(ref), err)
	}
	return value, nil
}

func resolve(ctx context.Context, ref string, asking bool) (string, error) {
	if wrong := checkRef(ref); wrong != "" {
		return "", errors.New(wrong)
	}
	if path, ok := strings.CutPrefix(ref, refFile); ok {
		return fileValue(path)
	}
	if command, ok := strings.CutPrefix(ref, refCommand); ok {
		return commandValue(ctx, command, asking)
	}
	value, ok := os.LookupEnv(ref)
	if !ok {
		return "", fmt.Errorf("the environment variable %s is not set", ref)
	}
	return value, nil
}

// checkValue refuses what can't be a credential in a header.
func checkValue(value string) error {
	switch {
	case value == "":
		return errors.New("it is empty")
	case len(value) > maxToken:
		return errors.New("it has more than 64 KiB")
	case !utf8.ValidString(value):
		return errors.New("it is not text in UTF-8")
	case strings.ContainsFunc(value, unicode.IsControl):
		return errors.New("it has a line break or another control character; a credential is one line")
	case strings.TrimSpace(value) != value:
		return errors.New("it has a blank at its beginning or end; take it off")
	}
	return nil
}

func fileValue(path string) (string, error) {
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("what ~ stands for is not known: %w", err)
		}
		path = filepath.Join(home, rest)
	}
	content, err := readSmall(path, maxToken)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", errors.New("its file is not there")
	case err != nil:
		return "", fmt.Errorf("its file %w", err)
	}
	return strings.TrimRight(string(content), "\r\n"), nil
}

func commandValue(caller context.Context, command string, asking bool) (string, error) {
	limit, failed := commandTime, "its command failed, which has no terminal to ask on"
	if asking {
		limit, failed = askingTime, "its command failed"
	}
	ctx, cancel := context.WithTimeout(caller, limit)
	defer cancel()
	var out, complaint bounded
	out.most, complaint.most, complaint.tail = maxToken+2, maxComplaint, true
	cmd := exec.CommandContext(ctx, shellOfCommand, "-c", command)
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if asking { // in the terminal's foreground, so ctrl+c reaches it as it reaches this program
		cmd.Stdin, cmd.Stderr = os.Stdin, io.MultiWriter(os.Stderr, &complaint)
	} else {
		cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "GPG_TTY=") })
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	}
	cmd.WaitDelay = commandLinger
	err := cmd.Run()
	line, _, _ := strings.Cut(out.kept.String(), "\n")
	value := strings.TrimSuffix(line, "\r")
	switch {
	case caller.Err() != nil:
		return "", fmt.Errorf("its command was ended: %w", caller.Err())
	case asking && interrupted(err):
		return "", fmt.Errorf("its command was ended: %w", context.Canceled)
	case ctx.Err() != nil:
		return "", fmt.Errorf("%s: it did not end within %v", failed, limit)
	case err == nil, errors.Is(err, exec.ErrWaitDelay): // something that it left behind holds its output, as an agent of a password manager does
		if value == "" {
			return "", fmt.Errorf("its command printed nothing%s", said(complaint.kept.String(), value, command))
		}
		return value, nil
	}
	return "", fmt.Errorf("%s: %w%s", failed, err, said(complaint.kept.String(), value, command))
}

// interrupted says whether a command ended by the operator's ctrl+c.
func interrupted(err error) bool {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGINT
}

// said is the last line of a command's standard error, without the value and without the words of the command, should
// they be in there.
func said(complaint, value, command string) string {
	lines := strings.Split(strings.TrimSpace(complaint), "\n")
	last := strings.TrimSpace(lines[len(lines)-1])
	if value != "" {
		last = strings.ReplaceAll(last, value, "[token]")
	}
	words := strings.FieldsFunc(command, func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune("'\"`$();|&<>", r) })
	slices.SortFunc(words, func(a, b string) int { return len(b) - len(a) }) // a word may be part of another
	for _, word := range words {
		if len(word) >= leastWord {
			last = strings.ReplaceAll(last, word, "[…]")
		}
	}
	if last == "" {
		return ""
	}
	return ": it says " + quoted(last)
}

// bounded keeps the beginning of what is written to it, or whole lines of the end, and takes the rest without a word.
type bounded struct {
	kept bytes.Buffer // not embedded: its ReadFrom would go round Write
	most int
	tail bool
	torn bool // the line that is being written is left out: a part of it could be a part of the token
}

func (b *bounded) Write(p []byte) (int, error) {
	n := len(p)
	if !b.tail {
		b.kept.Write(p[:min(n, max(0, b.most-b.kept.Len()))])
		return n, nil
	}
	if b.torn {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			return n, nil
		}
		p, b.torn = p[i+1:], false
	}
	b.kept.Write(p)
	if over := b.kept.Len() - b.most; over > 0 {
		b.kept.Next(over)
		if _, err := b.kept.ReadBytes('\n'); err != nil {
			b.torn = true // and nothing is left of it
		}
	}
	return n, nil
}
