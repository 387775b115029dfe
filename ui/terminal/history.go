package terminal

// maxHistoryBytes bounds a history beside its number of lines: every cell of a line may have its own
// colours and its own pile of accents.
const maxHistoryBytes = 4 << 20

// history is the lines that have left the screen at its top, drawn already, which takes a small part
// of what their cells would. It grows with use.
type history struct {
	max   int
	lines []drawn
	bytes int
}

// drawn is a line of cells as text with its styles.
type drawn struct {
	text  string
	width int // in cells
}

func (h *history) push(d drawn) {
	h.lines = append(h.lines, d)
	h.bytes += len(d.text)
	for len(h.lines) > h.max || h.bytes > maxHistoryBytes {
		h.bytes -= len(h.lines[0].text)
		h.lines[0] = drawn{}
		h.lines = h.lines[1:] // append moves to a fresh array now and then, and leaves the old start behind
	}
}

func (h *history) clear() { h.lines, h.bytes = nil, 0 }
