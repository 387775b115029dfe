package frame_test

import (
	"strings"
	"testing"

	"charm.land/lipgloss/v2"

	"bottle-tui/ui/frame"
)

var texts = []string{"", "a", "plain words", "日本語の文", "\x1b[1mbold\x1b[m and \x1b[38;2;1;2;3mcolour\x1b[m", strings.Repeat("w日", 50)}

// Whatever goes in, a line has exactly the width that was asked for.
func TestWidthsAreExact(t *testing.T) {
	for _, text := range texts {
		for w := range 40 {
			for what, line := range map[string]string{
				"Fit": frame.Fit(text, w), "FitLeft": frame.FitLeft(text, w), "Ends": frame.Ends(text, "日x", w),
			} {
				if got := frame.Width(line); got != w {
					t.Errorf("%s(%q, %d) has %d cells: %q", what, text, w, got, line)
				}
			}
			if got := frame.Width(frame.Middle(text, w, 6)); got > w {
				t.Errorf("Middle(%q, %d) has %d cells", text, w, got)
			}
			if w < 4 {
				continue
			}
			for _, line := range (frame.Box{Title: text, Right: "right", Foot: text, FootR: text, Border: lipgloss.NewStyle()}).Draw([]string{text, frame.Divider}, w, 5, true) {
				if got := frame.Width(line); got != w {
					t.Errorf("a box of %d around %q has a line of %d: %q", w, text, got, line)
				}
			}
		}
	}
}

func TestMiddleKeepsBothEnds(t *testing.T) {
	if got := frame.Middle("implementer-for-everything-k3x9q", 16, 6); got != "implement…-k3x9q" {
		t.Errorf("got %q", got)
	}
}

// Nothing of a text is lost when it is broken into lines.
func TestChopAndWrapLoseNothing(t *testing.T) {
	text := "one two  three " + strings.Repeat("long日", 30) + " end"
	for w := 3; w < 60; w++ {
		chopped := frame.Chop(text, w)
		if got := strings.Join(chopped, ""); got != text {
			t.Fatalf("Chop to %d gave %q", w, got)
		}
		wrapped := frame.Wrap(text, w)
		bare := func(s string) string { return strings.ReplaceAll(s, " ", "") }
		if got := bare(strings.Join(wrapped, "")); got != bare(text) {
			t.Fatalf("Wrap to %d gave %q", w, got)
		}
		for _, line := range append(chopped, wrapped...) {
			if frame.Width(line) > w {
				t.Fatalf("a line of %d cells for %d: %q", frame.Width(line), w, line)
			}
		}
	}
}

func TestSplice(t *testing.T) {
	base := []string{"aaaaaaaa", "日本日本", "cccccccc"}
	got := frame.Splice(base, []string{"XX", "YY"}, 2, 1)
	plain := strings.ReplaceAll(strings.Join(got, "\n"), "\x1b[m", "")
	if plain != "aaaaaaaa\n日XX日本\nccYYcccc" {
		t.Errorf("got %q", plain)
	}
	if base[1] != "日本日本" {
		t.Error("the base was changed")
	}
	// A wide cell that is cut in half must not shift the rest.
	for x := range 7 {
		for _, line := range frame.Splice(base, []string{"Z"}, x, 1) {
			if w := frame.Width(line); w != 8 {
				t.Errorf("at %d a line has %d cells: %q", x, w, line)
			}
		}
	}
}

func TestClustersOfDisputedWidthAreSpelledOut(t *testing.T) {
	for in, want := range map[string]string{
		"👍🏽":         "👍⟨U+1F3FD⟩",
		"日本":         "日本",
		"e\u0301":    "e\u0301",
		"\x1b[2J":    "␛[2J",
		"a\u202eb":   "a⟨U+202E⟩b",
		"plain text": "plain text",
	} {
		if got := frame.Line(in); got != want {
			t.Errorf("Line(%q) = %q, want %q", in, got, want)
		}
	}
}
