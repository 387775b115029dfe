package state

import (
	"os"
	"path/filepath"
	"testing"
)

// Both ways of swapping leave the new transcript in place and nothing else.
func TestSwap(t *testing.T) {
	for name, how := range map[string]func(*os.Root, string, string) (bool, error){
		"exchange":    exchange,
		"two renames": func(*os.Root, string, string) (bool, error) { return false, nil },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			root, err := os.OpenRoot(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer root.Close()
			for _, content := range []string{"first", "second"} { // without an old one, and with one
				next := filepath.Join(dir, transcriptNext)
				if err := os.Mkdir(next, dirPerm); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(next, "f"), []byte(content), filePerm); err != nil {
					t.Fatal(err)
				}
				if err := swapTranscript(root, how); err != nil {
					t.Fatal(err)
				}
				got, err := os.ReadFile(filepath.Join(dir, transcriptDir, "f"))
				if err != nil || string(got) != content {
					t.Errorf("got %q, %v, want %q", got, err, content)
				}
				if entries, _ := os.ReadDir(dir); len(entries) != 1 {
					t.Errorf("left behind: %v", entries)
				}
			}
		})
	}
}
