package gitrepo

import (
	"cmp"
	"os"
	"path/filepath"
)

// homeSettings are those of the operator's own configuration: of git's directory in that of XDG, then of the home
// directory, of which the last says what holds. xdg is that directory. A file that can't be read has none.
func homeSettings(home string) (all []setting, xdg string) {
	xdg = cmp.Or(os.Getenv("XDG_CONFIG_HOME"), filepath.Join(home, ".config"))
	for _, file := range []string{filepath.Join(xdg, "git", "config"), filepath.Join(home, ".gitconfig")} {
		if text, err := readSmall(file, maxConfig); err == nil {
			some, _ := parseConfig([]byte(text)) // of what is broken git has none, too
			all = append(all, some...)
		}
	}
	return all, xdg
}

// User reads user.name and user.email for a directory from the usual files, where there is no git to ask: of the home
// directory, then of the directory's repository. Includes are not followed, and what can't be read has none.
func User(dir, home string) (name, email string) {
	all, _ := homeSettings(home)
	if r, err := Open(dir); err == nil {
		all = append(all, r.settings...)
	}
	for _, s := range all {
		switch {
		case s.name() == "user.name":
			name = s.value
		case s.name() == "user.email":
			email = s.value
		}
	}
	return name, email
}
