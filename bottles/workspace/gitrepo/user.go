package gitrepo

import (
	"os"
	"path/filepath"
)

// User reads user.name and user.email for a directory from the usual files, where there is no git to ask: of the home
// directory, then of the directory's repository. Includes are not followed, and what can't be read has none.
func User(dir, home string) (name, email string) {
	xdg := os.Getenv("XDG_CONFIG_HOME")
	if xdg == "" {
		xdg = filepath.Join(home, ".config")
	}
	var all []setting
	for _, file := range []string{filepath.Join(xdg, "git", "config"), filepath.Join(home, ".gitconfig")} {
		if text, err := readSmall(file, maxConfig); err == nil {
			some, _ := parseConfig([]byte(text)) // of what is broken git has none, too
			all = append(all, some...)
		}
	}
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
