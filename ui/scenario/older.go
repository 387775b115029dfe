package scenario

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"bottle-tui/ui/scenario/ci"
)

// earlier is the commit of the version whose bottles must be understood: the last one that kept only ~/.claude.
const earlier = "706fa13"

// BuildEarlier builds the program of that version out of the repository's history, once for each test process.
func BuildEarlier(t testing.TB) string {
	t.Helper()
	return buildOnce(t, "the program of "+earlier, func() (string, error) {
		root, err := ci.ModuleRoot()
		if err != nil {
			return "", err
		}
		dir, err := os.MkdirTemp("", "bottle-tui-earlier-")
		if err != nil {
			return "", err
		}
		defer func() { _ = os.RemoveAll(dir) }()
		archive := filepath.Join(dir, "source.tar")
		for _, args := range [][]string{
			{"git", "-C", root, "archive", "--output", archive, earlier},
			{"tar", "-xf", archive, "-C", dir},
		} {
			if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
				return "", fmt.Errorf("%s: %w: %s(the whole history is needed: git fetch --unshallow)", strings.Join(args, " "), err, out)
			}
		}
		return build(dir, ".")
	})
}
