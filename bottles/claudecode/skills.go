package claudecode

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"

	"bottle-tui/bottles"
)

// Bounds on the skills of one agent, all together.
const (
	MaxSkillBytes = 8 << 20
	MaxSkillFiles = 500 // files and directories
)

// skillName is what a skill may be called: it becomes a directory and a command of the agent.
var skillName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// skillFiles reads the directories of skills. Links and special files are refused: what is read is what lies there.
func skillFiles(dirs []string) ([]bottles.File, error) {
	r := skillReader{bytes: MaxSkillBytes, files: MaxSkillFiles}
	from := map[string]string{}
	for _, dir := range dirs {
		name := filepath.Base(filepath.Clean(dir))
		if !skillName.MatchString(name) {
			return nil, fmt.Errorf("skill %s: %q can't be the name of a skill: use letters, digits, \".\", \"_\" and \"-\", at most 64", dir, name)
		}
		if other, twice := from[name]; twice {
			return nil, fmt.Errorf("skill %s: %s is called %s, too; rename one of the directories", dir, other, name)
		}
		from[name] = dir
		if err := r.read(dir, name); err != nil {
			return nil, fmt.Errorf("skill %s: %w", dir, err)
		}
	}
	return r.out, nil
}

type skillReader struct {
	bytes int64 // that may still come
	files int
	out   []bottles.File
}

func (r *skillReader) read(dir, name string) error {
	root, err := os.OpenRoot(dir) // nothing in it leads out of it
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	switch info, err := root.Lstat("SKILL.md"); {
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("there is no SKILL.md in it, which says what the skill is for")
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return errors.New("SKILL.md is not a file")
	}
	return fs.WalkDir(root.FS(), ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if r.files--; r.files < 0 {
			return fmt.Errorf("the agent's skills are more than %d files and directories", MaxSkillFiles)
		}
		switch {
		case d.IsDir():
			return nil
		case d.Type()&fs.ModeSymlink != 0:
			return fmt.Errorf("%s is a link; put the file itself there", p)
		case !d.Type().IsRegular():
			return fmt.Errorf("%s is not a file", p)
		}
		f, err := r.file(root, p)
		if err != nil {
			return err
		}
		f.Path = path.Join(SkillsDir, name, p)
		r.out = append(r.out, f)
		return nil
	})
}

// file reads one file; whoever can execute it here, the agent can.
func (r *skillReader) file(root *os.Root, p string) (bottles.File, error) {
	in, err := root.Open(p)
	if err != nil {
		return bottles.File{}, err
	}
	defer func() { _ = in.Close() }()
	info, err := in.Stat()
	if err != nil {
		return bottles.File{}, err
	}
	content, err := io.ReadAll(io.LimitReader(in, r.bytes+1))
	if err != nil {
		return bottles.File{}, err
	}
	if r.bytes -= int64(len(content)); r.bytes < 0 {
		return bottles.File{}, fmt.Errorf("the agent's skills are more than %d MiB", MaxSkillBytes>>20)
	}
	mode := fs.FileMode(0o644)
	if info.Mode()&0o111 != 0 {
		mode = 0o755
	}
	return bottles.File{Content: content, Mode: mode, UID: UID, GID: GID}, nil
}
