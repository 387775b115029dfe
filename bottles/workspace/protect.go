package workspace

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"
)

// Directories that are no project of anybody's, beside the home directory and what holds it.
var (
	systemDirs = []string{
		"/bin", "/sbin", "/lib", "/lib32", "/lib64", "/usr", "/usr/bin", "/usr/sbin", "/usr/lib", "/usr/lib64", "/usr/share", "/usr/local", "/usr/local/bin", "/usr/local/lib",
		"/boot", "/dev", "/dev/shm", "/run", "/var", "/var/cache", "/var/lib", "/var/log", "/var/spool", "/var/tmp", "/tmp", "/home", "/root", "/opt", "/srv", "/mnt", "/media",
		"/nix", "/nix/store", "/snap", "/Users", "/Library", "/System", "/Applications", "/Volumes", "/private", "/private/tmp", "/private/var",
	}
	systemTrees = []string{"/etc", "/proc", "/sys", "/private/etc"}
	homeTrees   = []string{ // of credentials
		".ssh", ".gnupg", ".aws", ".azure", ".kube", ".docker", ".password-store", ".config/gcloud", ".config/gh", ".config/op", ".config/sops", ".local/share/keyrings",
		".mozilla", "Library/Keychains",
	}
	homeDirs = []string{".config", ".local", ".local/share", ".local/state", ".cache", ".claude", ".claude/projects", ".cargo", ".npm", "Library"}
	homes    = []string{"/home", "/Users"} // each directory in them is somebody's
)

// resolve gives the directory's own path, or refuses it.
func resolve(dir string) (string, error) {
	const fix = "name the directory of a project with --cwd"
	if !utf8.ValidString(dir) {
		return "", &Refused{fmt.Sprintf("the path %q is not UTF-8, and could not be kept and shown as it is", dir), "rename it, or " + fix}
	}
	abs, err := filepath.Abs(dir)
	if err == nil {
		abs, err = filepath.EvalSymlinks(abs)
	}
	var info fs.FileInfo
	if err == nil {
		info, err = os.Stat(abs)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", &Refused{fmt.Sprintf("there is no directory %s", dir), fix}
	case err != nil:
		return "", &Refused{fmt.Sprintf("the directory %s can't be looked at (%v)", dir, err), "make it readable, or " + fix}
	case !info.IsDir():
		return "", &Refused{fmt.Sprintf("%s is not a directory", dir), fix}
	case !utf8.ValidString(abs):
		return "", &Refused{fmt.Sprintf("the path %q is not UTF-8, and could not be kept and shown as it is", abs), "rename it, or " + fix}
	case abs == filepath.VolumeName(abs)+string(filepath.Separator):
		return "", &Refused{abs + " is the root of the whole file system", fix}
	}
	home, err := os.UserHomeDir()
	if err == nil {
		home, err = filepath.EvalSymlinks(home)
	}
	if err != nil {
		home = "" // without a home directory there is none to protect
	}
	below := func(names []string, tree bool) bool {
		return home != "" && slices.ContainsFunc(names, func(name string) bool { return is(abs, filepath.Join(home, name), tree) })
	}
	switch {
	case abs == home:
		return "", &Refused{abs + " is your home directory, with everything that is in it", fix}
	case home != "" && within(home, abs):
		return "", &Refused{fmt.Sprintf("%s holds your home directory %s", abs, home), fix}
	case slices.Contains(homes, filepath.Dir(abs)):
		return "", &Refused{abs + " is a home directory, with everything that is in it", fix}
	case slices.Contains(systemDirs, abs), slices.ContainsFunc(systemTrees, func(name string) bool { return is(abs, name, true) }):
		return "", &Refused{abs + " is a directory of the system, and no project", fix}
	case below(homeTrees, true), below(homeDirs, false):
		return "", &Refused{abs + " is where programs keep credentials and data of yours, and no project", fix}
	}
	return abs, nil
}

// is says whether a path is a directory, or, of a tree, in it.
func is(path, dir string, tree bool) bool { return path == dir || tree && within(path, dir) }

// within says whether a path is in a directory.
func within(path, dir string) bool {
	return strings.HasPrefix(path, dir+string(filepath.Separator))
}

// protected looks at directories that are never copied, and refuses to copy one of them or what is in it.
func protected(dir string, never []string) ([]fs.FileInfo, error) {
	var out []fs.FileInfo
	for _, name := range never {
		info, err := os.Stat(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("look at %s, which is never copied: %w", name, err)
		}
		out = append(out, info)
		for at := dir; ; at = filepath.Dir(at) {
			if here, err := os.Stat(at); err == nil && os.SameFile(here, info) {
				return nil, &Refused{fmt.Sprintf("%s is in the state root %s, which is never copied: it has the conversations and audit logs of all bottles", dir, name),
					"name the directory of a project with --cwd"}
			}
			if at == filepath.Dir(at) {
				break
			}
		}
	}
	return out, nil
}
