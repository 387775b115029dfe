package terminal

import (
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"
)

// Bounds of text that is held back or printed as one cluster. The longest emoji that Unicode recommends
// takes 41 bytes; a pile of accents has no end.
const (
	maxCluster = 64
	maxRun     = 512
)

// prose takes printable bytes and prints them cluster by cluster. Characters that may still grow (by an
// accent, a joiner, the rest of their bytes) are held back until what follows is known or somebody looks.
// Invalid UTF-8 becomes U+FFFD; what has no width of its own is not printed.
type prose struct {
	g       *grid
	partial []byte // the first bytes of a character
	run     []byte // the last ASCII character and what is not ASCII after it: valid UTF-8
	last    string // cluster printed last
}

func (t *prose) text(p []byte) {
	if len(t.partial) > 0 {
		p = append(t.partial, p...)
		t.partial = nil
	}
	for len(p) > 0 {
		if p[0] < utf8.RuneSelf {
			n := 1
			for n < len(p) && p[n] < utf8.RuneSelf {
				n++
			}
			t.settle()
			t.g.print(p[:n-1])
			t.run = append(t.run, p[n-1])
			p = p[n:]
			continue
		}
		if !utf8.FullRune(p) {
			t.partial = append([]byte(nil), p...)
			return
		}
		r, n := utf8.DecodeRune(p)
		if r == utf8.RuneError {
			n = broken(p)
		}
		t.run = utf8.AppendRune(t.run, r)
		p = p[n:]
		if len(t.run) >= maxRun {
			t.print(false)
		}
	}
}

// end is called before anything that is no text: nothing grows any more.
func (t *prose) end() {
	if len(t.partial) > 0 {
		t.partial = nil
		t.run = utf8.AppendRune(t.run, utf8.RuneError)
	}
	t.settle()
}

// settle prints what was held back, but for the beginning of a character.
func (t *prose) settle() {
	switch {
	case len(t.run) == 0:
	case len(t.run) == 1:
		t.g.print(t.run)
		t.last = ascii[t.run[0] : t.run[0]+1]
		t.run = t.run[:0]
	default:
		t.print(true)
	}
}

// ascii has each ASCII character at its place.
const ascii = "\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f" +
	"\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f" +
	" !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~\x7f"

// print prints the clusters of the run; unless all, the last one stays if it is not too long.
func (t *prose) print(all bool) {
	run := t.run
	for len(run) > 0 {
		cluster, width := ansi.FirstGraphemeCluster(run, ansi.GraphemeWidth)
		if !all && len(cluster) == len(run) && len(run) < maxCluster {
			break
		}
		run = run[len(cluster):]
		t.cluster(cluster, width)
	}
	t.run = append(t.run[:0], run...)
}

func (t *prose) cluster(c []byte, width int) {
	if width < 1 {
		return
	}
	if len(c) > maxCluster {
		n := maxCluster
		for !utf8.RuneStart(c[n]) {
			n--
		}
		c = c[:n]
		width = ansi.StringWidth(string(c))
	}
	t.last = string(c)
	t.g.put(t.last, min(width, 2))
}

// broken is how many bytes at the start of p, which is no valid UTF-8, are shown as one U+FFFD: those
// that could have begun a character.
func broken(p []byte) int {
	if _, n := utf8.DecodeRune(p); n > 1 {
		return n // a U+FFFD that was sent
	}
	n := 1
	if !utf8.FullRune(p[:1]) {
		for n < len(p) && !utf8.FullRune(p[:n+1]) {
			n++
		}
	}
	return n
}

// again prints the last cluster n times more.
func (t *prose) again(n int) {
	t.end()
	if t.last == "" {
		return
	}
	width := ansi.StringWidth(t.last)
	for range n {
		t.cluster([]byte(t.last), width)
	}
}
