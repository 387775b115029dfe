package bottles

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bottle-tui/state"
)

// Who commits in a bottle is what its profile says, else who it was there before, else git's user of the directory, with git on
// this machine or without; and where nobody is known, the plan of a repository says so.
func TestWhoCommits(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(home, ".config"))
	t.Setenv("GIT_CONFIG_NOSYSTEM", "1")
	with := os.Getenv("PATH")
	for name, c := range map[string]struct {
		config  string // the operator's
		profile GitUser
		meta    state.Metadata
		want    GitUser
	}{
		"git's":             {config: "[user]\nname = Ann\nemail = ann@example.com\n", want: GitUser{"Ann", "ann@example.com"}},
		"the profile's":     {config: "[user]\nname = Ann\nemail = ann@example.com\n", profile: GitUser{Email: "agent@example.com"}, want: GitUser{"Ann", "agent@example.com"}},
		"as it was":         {config: "[user]\nname = Ann\nemail = ann@example.com\n", meta: state.Metadata{GitName: "Bo", GitEmail: "bo@example.com"}, want: GitUser{"Bo", "bo@example.com"}},
		"one half":          {config: "[user]\nname = Ann\n", want: GitUser{Name: "Ann"}},
		"no name of a user": {config: "[user]\nname = \"Ann <x>\"\nemail = ann@example.com\n", want: GitUser{Email: "ann@example.com"}},
		"nobody":            {},
	} {
		for _, path := range []string{with, t.TempDir()} {
			t.Setenv("PATH", path)
			if err := os.WriteFile(filepath.Join(home, ".gitconfig"), []byte(c.config), 0o600); err != nil {
				t.Fatal(err)
			}
			c.meta.CWD = t.TempDir()
			for _, repository := range []bool{true, false} {
				p := Preflight{Copy: &PlannedCopy{Git: repository}}
				p.planGitUser(t.Context(), Profile{GitUser: c.profile}, c.meta)
				if p.GitUser != c.want {
					t.Errorf("%s, git in %q: commits are by %+v", name, path, p.GitUser)
				}
				told := len(p.Notices) == 1 && p.Notices[0].ID == NoticeGitUser && strings.Contains(p.Notices[0].Fix, "git config --global user.name")
				if known := c.want.Name != "" && c.want.Email != ""; told != (repository && !known) {
					t.Errorf("%s, a repository %v: the notices are %+v", name, repository, p.Notices)
				}
			}
		}
	}
}
