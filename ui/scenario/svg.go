package scenario

import (
	"fmt"
	"html"
	"image/color"
	"strings"

	uv "github.com/charmbracelet/ultraviolet"
	"github.com/charmbracelet/x/ansi"
)

// The picture's measures in pixels, for a 14 pixel font, and its colours.
const (
	cellWidth  = 8.4
	cellHeight = 18.0
	baseline   = 13.5
	margin     = 16
	background = "#161616"
	foreground = "#d4d4d4"
)

// basic is the palette of the 16 basic colours.
var basic = [16]string{
	"#2a2a2a", "#e06c75", "#8cc265", "#d5a85c", "#61afef", "#c678dd", "#56b6c2", "#c8ccd4",
	"#5c6370", "#ff7b86", "#a5e075", "#f0c674", "#74c0ff", "#de8ff5", "#6fd3df", "#ffffff",
}

// StyledSVG is the screen as a picture: an SVG of the cells, with no scripts and nothing to fetch.
func (m *Term) StyledSVG() string {
	cols, rows := m.screen.Size()
	return SVG(m.screen.Rows(0), cols, rows)
}

// SVG is styled rows as a picture of cols×rows cells.
func SVG(lines []string, cols, rows int) string {
	cells := uv.NewScreenBuffer(cols, rows)
	cells.Method = ansi.GraphemeWidth
	uv.NewStyledString(strings.Join(lines, "\n")).Draw(cells, cells.Bounds())
	var back, text strings.Builder
	for y := range rows {
		for x := 0; x < cols; {
			n, content := run(cells, x, y, cols)
			c := cells.CellAt(x, y)
			look := lookOf(c)
			left, top, width := float64(x)*cellWidth, float64(y)*cellHeight, float64(n)*cellWidth
			if look.bg != "" {
				fmt.Fprintf(&back, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>`, left, top, width+.2, cellHeight+.2, look.bg)
			}
			if look.lines == "" { // else trailing blanks are to be seen
				blanks := len(content) - len(strings.TrimRight(content, " "))
				content = content[:len(content)-blanks]
				width -= float64(blanks) * cellWidth
			}
			if content != "" {
				fmt.Fprintf(&text, `<text x="%.1f" y="%.1f" textLength="%.1f" fill="%s"%s%s>%s</text>`,
					left, top+baseline, width, look.fg, look.attributes, look.lines, html.EscapeString(content))
			}
			x += n
		}
		text.WriteByte('\n')
	}
	w, h := float64(cols)*cellWidth+2*margin, float64(rows)*cellHeight+2*margin
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%.0f" viewBox="%d %d %.0f %.0f">
<rect x="%d" y="%d" width="100%%" height="100%%" rx="8" fill="%s"/>
%s
<g xml:space="preserve" font-family="'JetBrains Mono','DejaVu Sans Mono','Noto Sans Mono CJK JP','Noto Color Emoji',monospace" font-size="14" lengthAdjust="spacingAndGlyphs" style="font-variant-ligatures:none;white-space:pre">
%s</g>
</svg>
`, w, h, -margin, -margin, w, h, -margin, -margin, background, back.String(), text.String())
}

// run is the cells from x on that look the same and hold one ASCII character each, or the one cell at x.
func run(cells uv.ScreenBuffer, x, y, cols int) (n int, content string) {
	first := cells.CellAt(x, y)
	if first.Width != 1 || len(first.Content) != 1 {
		return max(first.Width, 1), first.Content
	}
	var b strings.Builder
	for n = 0; x+n < cols; n++ {
		c := cells.CellAt(x+n, y)
		if c.Width != 1 || len(c.Content) != 1 || !c.Style.Equal(&first.Style) {
			break
		}
		b.WriteString(c.Content)
	}
	return n, b.String()
}

// look is a cell's style in SVG.
type look struct {
	fg, bg     string
	attributes string
	lines      string // under or through the text, as an attribute
}

func lookOf(c *uv.Cell) look {
	l := look{fg: hex(c.Style.Fg, foreground), bg: hex(c.Style.Bg, "")}
	has := func(attribute uint8) bool { return c.Style.Attrs&attribute != 0 }
	if has(uv.AttrReverse) {
		l.fg, l.bg = hex(c.Style.Bg, background), l.fg
	}
	if has(uv.AttrConceal) {
		l.fg = "none"
	}
	if has(uv.AttrBold) {
		l.attributes += ` font-weight="bold"`
	}
	if has(uv.AttrItalic) {
		l.attributes += ` font-style="italic"`
	}
	if has(uv.AttrFaint) {
		l.attributes += ` opacity="0.6"`
	}
	var lines []string
	if c.Style.Underline != ansi.UnderlineNone {
		lines = append(lines, "underline")
	}
	if has(uv.AttrStrikethrough) {
		lines = append(lines, "line-through")
	}
	if lines != nil {
		l.lines = fmt.Sprintf(` text-decoration="%s"`, strings.Join(lines, " "))
	}
	return l
}

func hex(c color.Color, none string) string {
	switch c := c.(type) {
	case nil:
		return none
	case ansi.BasicColor:
		return basic[c&15]
	case ansi.IndexedColor:
		if c < 16 {
			return basic[c]
		}
	}
	r, g, b, _ := c.RGBA()
	return fmt.Sprintf("#%02x%02x%02x", r>>8, g>>8, b>>8)
}
