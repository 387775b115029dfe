package state_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"bottle-tui/state"
)

// Of several programs that change a file at once each change is made, or its program told that it was not.
func TestReplaceFileLosesNoChange(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	write(t, path, "")
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	var writers sync.WaitGroup
	for n := range 8 {
		writers.Go(func() {
			line := fmt.Sprintf("writer %d\n", n)
			for {
				before, err := os.ReadFile(path)
				if err == nil {
					err = state.ReplaceFile(path, before, append(before, line...))
				}
				if err == nil {
					return
				}
				if !errors.Is(err, state.ErrChanged) {
					t.Error(err)
					return
				}
			}
		})
	}
	writers.Wait()
	got, err := os.ReadFile(path)
	if err != nil || strings.Count(string(got), "writer ") != 8 {
		t.Errorf("the file is %q, %v", got, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("its mode is %v, %v", info.Mode(), err)
	}
}

// An editor knows no lock; what it saves is not lost either.
func TestReplaceFileKeepsAnEditorsSave(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	if err := os.Symlink("file", link); err != nil {
		t.Fatal(err)
	}
	for n := range 60 {
		write(t, path, "before")
		save := filepath.Join(dir, "save")
		write(t, save, "saved")
		done := make(chan error)
		go func() { done <- state.ReplaceFile(link, []byte("before"), []byte("after")) }()
		for range n { // from one try to the next a little later
			_, _ = os.Lstat(path)
		}
		if err := os.Rename(save, path); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil && !errors.Is(err, state.ErrChanged) {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != "saved" {
			t.Fatalf("the file is %q, %v", got, err)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("left are %v, %v", entries, err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is %v, %v", info, err)
	}
}
