package bottles

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"bottle-tui/bottles/workspace/gitrepo"
	"bottle-tui/state"
)

// NoticeGitUser is the ID of the notice that no commit can be made in the bottle as it is.
const NoticeGitUser = "git-user-missing"

// fileGitUser is where git in the bottle is told who commits, by its name in the agent's home: git reads it before
// ~/.gitconfig and the repository's configuration, so that whatever the image or the agent set there is what holds.
const fileGitUser = ".config/git/config"

// GitUser is who the agent's commits are by. Both are empty where it is not known.
type GitUser struct {
	Name  string `json:"name"`
	Email string `json:"email"`
}

// config is the user as git's configuration.
func (u GitUser) config() string {
	var b strings.Builder
	quote := strings.NewReplacer(`\`, `\\`, `"`, `\"`)
	for _, s := range [][2]string{{"name", u.Name}, {"email", u.Email}} {
		if s[1] != "" {
			fmt.Fprintf(&b, "\t%s = \"%s\"\n", s[0], quote.Replace(s[1]))
		}
	}
	if b.Len() == 0 {
		return ""
	}
	return "[user]\n" + b.String()
}

// or gives for each part that is empty the other's.
func (u GitUser) or(other GitUser) GitUser {
	return GitUser{orDefault(u.Name, other.Name), orDefault(u.Email, other.Email)}
}

// gitUser is who commits in a bottle: what its profile says, else what it was given before, else what git on the host
// has in its directory.
func gitUser(ctx context.Context, p Profile, meta state.Metadata) (GitUser, error) {
	u := p.GitUser.or(GitUser{meta.GitName, meta.GitEmail})
	if u.Name != "" && u.Email != "" {
		return u, nil
	}
	host, err := hostGitUser(ctx, meta.CWD)
	return u.or(host), err
}

// maxGitUser bounds a name or address, in bytes.
const maxGitUser = 256

// hostGitUser reads user.name and user.email, and nothing else, as git has them in a directory: its includes are
// followed, and its repository has the last word. "git config" runs no program that a configuration names. Where there
// is no git, the usual files are read.
func hostGitUser(ctx context.Context, dir string) (GitUser, error) {
	home, _ := os.UserHomeDir() // without one there is no configuration of the operator's
	if info, err := os.Stat(dir); dir == "" || err != nil || !info.IsDir() {
		dir = home
	}
	if dir == "" {
		return GitUser{}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "git", "-C", dir, "config", "--null", "--get-regexp", `^user\.(name|email)$`)
	for _, e := range os.Environ() {
		switch name, _, _ := strings.Cut(e, "="); name {
		case "GIT_DIR", "GIT_WORK_TREE", "GIT_CONFIG", "GIT_COMMON_DIR", "GIT_INDEX_FILE":
		default:
			cmd.Env = append(cmd.Env, e)
		}
	}
	cmd.Env = append(cmd.Env, "GIT_OPTIONAL_LOCKS=0", "GIT_TERMINAL_PROMPT=0")
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	var ended *exec.ExitError
	switch {
	case errors.Is(err, exec.ErrNotFound):
		name, email := gitrepo.User(dir, home)
		return GitUser{plainUser(name), plainUser(email)}, nil
	case errors.As(err, &ended) && ended.ExitCode() == 1: // git's "there is none"
		return GitUser{}, nil
	case err != nil:
		return GitUser{}, fmt.Errorf("ask git for user.name and user.email in %s: %w: %s", dir, err, firstLine(complaint.String()))
	}
	var u GitUser
	for _, entry := range strings.Split(string(out), "\x00") {
		switch key, value, _ := strings.Cut(entry, "\n"); key {
		case "user.name":
			u.Name = plainUser(value)
		case "user.email":
			u.Email = plainUser(value)
		}
	}
	return u, nil
}

// plainUser is a name or address that a commit can have, "" for what is none.
func plainUser(s string) string {
	if len(s) > maxGitUser || !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) || r == '<' || r == '>' }) {
		return ""
	}
	return s
}

// planGitUser shows who commits in the bottle.
func (p *Preflight) planGitUser(ctx context.Context, profile Profile, meta state.Metadata) {
	u, err := gitUser(ctx, profile, meta)
	p.GitUser = u
	if u.Name != "" && u.Email != "" || p.Copy == nil || !p.Copy.Git {
		return
	}
	what := "git has no user.name and user.email in " + meta.CWD + ": the agent can't commit before it sets them itself"
	if err != nil {
		what = "who commits is not known: " + err.Error()
	}
	p.notice(Notice{ID: NoticeGitUser, What: what, Fix: "git config --global user.name NAME; git config --global user.email ADDRESS; or git_user in the profile"})
}

// gitUserFile is the file of the agent's home that tells git who commits, and that it was given, if it is to be written:
// in a home that has it already it is the agent's, unless it is somebody else now.
func (x *execution) gitUserFile(ctx context.Context, container string, fresh bool) ([]File, error) {
	meta, err := x.bottle.Metadata()
	if err != nil {
		return nil, err
	}
	u, err := gitUser(ctx, x.layout.profile, meta)
	if err != nil {
		x.sup.cfg.Log.Warn("the agent has no git user", "identity", x.layout.identity, "err", err) // the plan has a notice
	}
	if same := u == (GitUser{meta.GitName, meta.GitEmail}); same && !fresh || u == (GitUser{}) {
		return nil, nil
	}
	p := x.layout.profile.Program
	f := File{Path: path.Join(p.userHome(), fileGitUser), Mode: 0o644, UID: p.UID, GID: p.GID}
	if _, err := x.readInto(ctx, container, &f, maxHomeFile); err != nil {
		return nil, err
	}
	f.Content = []byte(merge(string(f.Content), "", u.config()))
	return []File{f}, x.bottle.UpdateMetadata(func(m *state.Metadata) { m.GitName, m.GitEmail = u.Name, u.Email })
}
