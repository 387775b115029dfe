package ui

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"bottle-tui/bottles"
)

// The rest of a sentence that was typed to an agent which ended goes nowhere, however long it is.
func TestTheRestOfASentenceGoesNowhere(t *testing.T) {
	s := newStage(t, 120, 36)
	b, other := live("a-11111", time.Hour), live("b-22222", 0)
	other.Status = bottles.Down
	s.show(b, other)
	s.press("enter")
	s.typeText("please fi")
	b.Status = bottles.Down
	s.show(b, other)
	s.sees("the keyboard is yours once it was quiet")
	for _, key := range "x the tests, and then run them again quickly" {
		s.clock.add(100 * time.Millisecond)
		s.typeText(string(key))
	}
	if got := s.sup.asked(); len(got) != 0 || s.m.dialog != nil || s.quit {
		t.Fatalf("asked for %v, a dialog is open: %v, it quit: %v", got, s.m.dialog != nil, s.quit)
	}
	s.quiet()
	s.press("r")
	if len(s.sup.asked()) != 1 {
		t.Errorf("asked for %v", s.sup.asked())
	}
}

// A key that acts at once is not taken out of the middle of a word.
func TestAKeyThatActsIsNoLetterOfAWord(t *testing.T) {
	for _, word := range []string{"fox", "ix", "zr", "vq"} {
		s := newStage(t, 120, 36)
		b := live("a-11111", time.Hour)
		if word == "zr" {
			b.Status = bottles.Down
		}
		s.show(b)
		s.typeText(word)
		if got := s.sup.asked(); len(got) != 0 || s.quit {
			t.Errorf("%s: asked for %v, it quit: %v", word, got, s.quit)
		}
		s.quiet()
		s.press("esc", "esc")
		s.quiet()
		s.typeText(word[len(word)-1:])
		if len(s.sup.asked()) != 1 && !s.quit {
			t.Errorf("%s: the key is not taken any more: %v", word, s.text())
		}
	}
}

// Whatever is typed in a hurry, with agents that come and go: nothing is started, ended or approved by it.
func TestRandomKeysDoNothing(t *testing.T) {
	names := []string{"enter", "esc", "tab", "up", "down", "space", "backspace", "left", "right"}
	for c := 'a'; c <= 'z'; c++ {
		names = append(names, string(c), string(c-'a'+'A'))
	}
	for seed := range uint64(5) {
		r := rand.New(rand.NewPCG(seed, 0))
		s := newStage(t, 120, 36)
		a := live("a-11111", time.Hour)
		a.Requests = []bottles.Request{capability(a.Identity, "r1", "it needs a tool", after, start)}
		b, c := live("b-22222", 0), live("c-33333", 0)
		c.Status = bottles.Down
		s.show(a, b, c)
		s.press("z") // the hurry has begun
		for range 1000 {
			s.clock.add(time.Duration(r.IntN(300)) * time.Millisecond)
			if r.IntN(50) == 0 {
				x := b
				if r.IntN(2) == 0 {
					x.Status = bottles.Down
				}
				s.show(a, x, c)
			}
			s.press(names[r.IntN(len(names))])
			if s.quit {
				break
			}
		}
		if got := slices.DeleteFunc(s.sup.asked(), func(a bottles.Action) bool { _, ok := a.(bottles.Deny); return ok }); len(got) != 0 {
			t.Errorf("the seed %d: asked for %v", seed, got)
		}
	}
}
