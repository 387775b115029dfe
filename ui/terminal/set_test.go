package terminal_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"bottle-tui/ui/terminal"
)

func TestSet(t *testing.T) {
	var answered []string
	set := terminal.NewSet(20, 5, 10, func(identity string, p []byte) { answered = append(answered, identity+string(p)) })
	defer set.Close()
	a, b := set.For("a"), set.For("b")
	if set.For("a") != a || a == b {
		t.Fatal("an identity has not one screen")
	}
	write(t, a, "x")
	write(t, b, "\x1b[5n")
	write(t, a, "y")
	select {
	case <-set.Dirty():
	default:
		t.Fatal("nobody was told")
	}
	if got := set.Changed(); !slices.Equal(got, []string{"a"}) {
		t.Errorf("changed: %q", got)
	}
	if got := set.Changed(); len(got) != 0 {
		t.Errorf("changed again: %q", got)
	}
	if !slices.Equal(answered, []string{"b\x1b[0n"}) {
		t.Errorf("answered: %q", answered)
	}

	set.Resize(30, 6)
	for _, s := range []*terminal.Screen{a, set.For("c")} {
		if cols, rows := s.Size(); cols != 30 || rows != 6 {
			t.Errorf("a screen has %d×%d cells", cols, rows)
		}
	}

	write(t, b, "z")
	set.Drop("b")
	set.Drop("nobody")
	write(t, b, "late")
	if got := set.Changed(); slices.Contains(got, "b") {
		t.Errorf("a dropped one changed: %q", got)
	}
	if set.For("b") == b {
		t.Error("a dropped screen came back")
	}
}

func TestSetNeverBlocksAWriter(t *testing.T) {
	set := terminal.NewSet(20, 5, 10, nil)
	defer set.Close()
	var wg sync.WaitGroup
	for i := range 4 {
		identity := fmt.Sprint(i)
		wg.Go(func() {
			for range 500 {
				_, _ = set.For(identity).Write([]byte("x\r\n"))
			}
		})
	}
	wg.Go(func() {
		for range 100 {
			set.Resize(30, 6)
			set.Drop("3")
			set.Resize(20, 5)
		}
	})
	wg.Wait() // nobody reads Dirty
	<-set.Dirty()
	if got := set.Changed(); !slices.Contains(got, "0") {
		t.Errorf("changed: %q", got)
	}
}
