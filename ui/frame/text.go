package frame

import (
	"strings"

	"github.com/charmbracelet/x/ansi"
	"github.com/rivo/uniseg"

	"bottle-tui/queue"
)

// MaxText bounds what is drawn of one text that an agent wrote, in bytes: a request file's own bound.
const MaxText = queue.MaxFile

// Line makes a text of unknown origin safe to draw as one line.
func Line(s string) string { return settle(queue.Visible(s)) }

// Text makes a text of unknown origin safe to draw; its line ends stay.
func Text(s string) string { return settle(queue.VisibleText(s, MaxText)) }

// settle spells out the clusters whose width terminals disagree on (an emoji with a skin tone, a
// joined family): counted one way and drawn the other, they would push the rest of a row aside.
func settle(s string) string {
	if ascii(s) || ansi.StringWidth(s) == ansi.StringWidthWc(s) {
		return s
	}
	var b strings.Builder
	state := -1
	for len(s) > 0 {
		var cluster string
		cluster, s, _, state = uniseg.FirstGraphemeClusterInString(s, state)
		if ansi.StringWidth(cluster) == ansi.StringWidthWc(cluster) {
			b.WriteString(cluster)
			continue
		}
		for i, r := range []rune(cluster) {
			if i == 0 && ansi.StringWidth(string(r)) == ansi.StringWidthWc(string(r)) {
				b.WriteRune(r)
				continue
			}
			b.WriteString(codePoint(r))
		}
	}
	return b.String()
}

func codePoint(r rune) string {
	const digits = "0123456789ABCDEF"
	var hex []byte
	for ; r > 0 || len(hex) < 4; r >>= 4 {
		hex = append([]byte{digits[r&15]}, hex...)
	}
	return "⟨U+" + string(hex) + "⟩"
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
