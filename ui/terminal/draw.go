package terminal

import (
	"image/color"
	"strconv"
	"strings"
	"unicode/utf8"

	uv "github.com/charmbracelet/ultraviolet"
	"github.com/charmbracelet/x/ansi"
)

// painter turns cells into text. What it writes is text of cells, and SGR sequences that it makes
// itself; nothing else of what a program printed can come through.
type painter struct {
	buf  []byte
	fits map[string]string // clusters, and how they are drawn
}

// maxFits bounds painter.fits: programs use a few dozen of clusters beyond ASCII.
const maxFits = 1024

// line draws exactly cols cells of l, or, without fill, up to the last one that is not blank.
func (p *painter) line(l line, cols int, fill bool) drawn {
	if !fill {
		cols = min(cols, l.trimmed())
	}
	p.buf = p.buf[:0]
	var pen uv.Style
	before := ""
	for x := 0; x < cols; {
		content, width, style := " ", 1, uv.Style{}
		if x < len(l) {
			content, width, style = p.cell(l, x, cols)
		}
		if joins(before, content) {
			content = apart[width]
		}
		before = content
		if style != pen {
			p.buf = appendStyle(p.buf, &style)
			pen = style
		}
		p.buf = append(p.buf, content...)
		x += width
	}
	if pen != (uv.Style{}) {
		p.buf = append(p.buf, ansi.ResetStyle...)
	}
	return drawn{text: string(p.buf), width: cols}
}

// plain is the line's text, trailing blanks cut.
func (p *painter) plain(l line) string {
	p.buf = p.buf[:0]
	before := ""
	for x := 0; x < len(l); {
		content, width, _ := p.cell(l, x, len(l))
		if joins(before, content) {
			content = apart[width]
		}
		before = content
		p.buf = append(p.buf, content...)
		x += width
	}
	return strings.TrimRight(string(p.buf), " ")
}

// cell gives what to draw at x, and how many cells of l it takes. A wide character that would reach over
// the edge is blank.
func (p *painter) cell(l line, x, cols int) (content string, width int, style uv.Style) {
	c := &l[x]
	switch {
	case len(c.text) == 1:
		return c.text, 1, c.style
	case c.width < 1 || x+c.width > cols:
		return " ", 1, c.style
	}
	return p.fit(c.text, c.width), c.width, c.style
}

// fit is a cluster in a form that takes width cells by either way of counting: by clusters, as the
// grid does, and by code points, as terminals without mode 2027 do and Bubble Tea does for them.
// An emoji joined from several is drawn as its first one, so that nothing to its right moves.
func (p *painter) fit(cluster string, width int) string {
	if s, ok := p.fits[cluster]; ok {
		return s
	}
	s := cluster
	if ansi.StringWidthWc(s) != width || ansi.StringWidth(s) != width {
		_, n := utf8.DecodeRuneInString(cluster)
		s = cluster[:n]
		w := ansi.StringWidth(s)
		if w != ansi.StringWidthWc(s) || w > width || w < 1 {
			s, w = "", 0
		}
		s += strings.Repeat(" ", width-w)
	}
	if p.fits == nil || len(p.fits) >= maxFits {
		p.fits = make(map[string]string)
	}
	p.fits[strings.Clone(cluster)] = s
	return s
}

// apart is drawn, by width, for a cell that would become one cluster with the cell before it.
var apart = [...]string{"", "\ufffd", "\ufffd "}

// joins tells whether two neighbours would be one cluster to whoever reads the row, and take fewer
// cells: two halves of flags or parts of Hangul syllables that a program put side by side.
func joins(a, b string) bool {
	if len(a) <= 1 || len(b) <= 1 {
		return false
	}
	if last, _ := utf8.DecodeLastRuneInString(a); symbol(last) {
		if first, _ := utf8.DecodeRuneInString(b); symbol(first) {
			return false
		}
	}
	cluster, _ := ansi.FirstGraphemeCluster(a+b, ansi.GraphemeWidth)
	return len(cluster) > len(a)
}

// symbol tells whether r is one of the many arrows, boxes and marks that join with no other.
func symbol(r rune) bool { return r >= 0x2010 && r <= 0x2bff && (r < 0x20d0 || r > 0x20ff) }

// The SGR parameters of the attributes, in the order of their bits.
var attributes = [...]byte{'1', '2', '3', '5', '6', '7', '8', '9'}

// appendStyle appends the sequence that sets exactly the style s.
func appendStyle(b []byte, s *uv.Style) []byte {
	b = append(b, "\x1b[0"...)
	for i, a := range attributes {
		if s.Attrs&(1<<i) != 0 {
			b = append(b, ';', a)
		}
	}
	switch {
	case s.Underline == ansi.UnderlineSingle:
		b = append(b, ";4"...)
	case s.Underline > ansi.UnderlineSingle && s.Underline <= ansi.UnderlineDashed:
		b = append(b, ";4:"...)
		b = strconv.AppendInt(b, int64(s.Underline), 10)
	}
	b = appendColor(b, s.Fg, 30)
	b = appendColor(b, s.Bg, 40)
	if s.Underline != ansi.UnderlineNone {
		b = appendColor(b, s.UnderlineColor, 50)
	}
	return append(b, 'm')
}

// appendColor appends the parameters that set a colour; base is 30 for the text's, 40 for the
// background's, 50 for the underline's, which has no basic colours.
func appendColor(b []byte, c color.Color, base int64) []byte {
	switch c := c.(type) {
	case nil:
		return b
	case ansi.BasicColor:
		switch {
		case base == 50:
			return appendIndexed(b, base, uint8(c))
		case c >= 8:
			base += 60 - 8
		}
		return strconv.AppendInt(append(b, ';'), base+int64(c), 10)
	case ansi.IndexedColor:
		return appendIndexed(b, base, uint8(c))
	}
	red, green, blue, alpha := c.RGBA()
	if alpha == 0 {
		return b
	}
	b = strconv.AppendInt(append(b, ';'), base+8, 10)
	b = append(b, ";2;"...)
	b = strconv.AppendUint(b, uint64(red>>8), 10)
	b = strconv.AppendUint(append(b, ';'), uint64(green>>8), 10)
	return strconv.AppendUint(append(b, ';'), uint64(blue>>8), 10)
}

func appendIndexed(b []byte, base int64, i uint8) []byte {
	b = strconv.AppendInt(append(b, ';'), base+8, 10)
	b = append(b, ";5;"...)
	return strconv.AppendUint(b, uint64(i), 10)
}
