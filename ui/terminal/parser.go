package terminal

// Bounds of what the parser keeps of one sequence. Longer ones are swallowed to their end.
const (
	maxParams = 32
	maxParam  = 9999
	maxString = 4096 // of an OSC or DCS
	maxText   = 1024 // of printable bytes handed over at once
)

// parsed is what a parser finds in a stream. The slices are valid during the call only.
type parsed interface {
	// text gets printable bytes: none below 0x20, no 0x7F; valid UTF-8 or not, cut anywhere.
	text(p []byte)
	// control gets one C0 control other than ESC, CAN and SUB.
	control(c byte)
	// escape gets ESC, at most one intermediate byte (else 0), and the final byte.
	escape(intermediate, final byte)
	csi(q *sequence)
	// osc gets an operating system command that was ended properly and is not too long.
	osc(data []byte)
	// dcs gets a device control string, on the same terms.
	dcs(data []byte)
}

// sequence is one CSI sequence.
type sequence struct {
	prefix       byte // one of < = > ? or 0
	intermediate byte // 0x20–0x2F or 0
	final        byte
	params       [maxParams]int  // -1: left out; at most maxParam
	sub          [maxParams]bool // this parameter was joined to the one before it by a colon
	n            int
	bad          bool // not a sequence that anybody sends: swallow it
}

// param is the i-th parameter, def when it was left out or is zero.
func (q *sequence) param(i, def int) int {
	if i >= q.n || q.params[i] <= 0 {
		return def
	}
	return q.params[i]
}

// parser cuts a terminal's stream into what it consists of: the state machine of
// https://vt100.net/emu/dec_ansi_parser, for UTF-8, so that the bytes 0x80–0x9F are never controls.
// It keeps its state between calls; a sequence may come in any pieces.
type parser struct {
	state parserState
	inter byte // of an escape sequence
	seq   sequence
	str   []byte // of a string
	long  bool   // the string is longer than maxString
	kind  byte   // ']' or 'P', or another that opens a string nobody reads
}

type parserState byte

const (
	ground parserState = iota
	afterEscape
	inCSI
	inString
	stringEscape // ESC within a string: its end, if a backslash follows
)

const (
	bel      = 0x07
	shiftOut = 0x0e
	shiftIn  = 0x0f
	can      = 0x18
	sub      = 0x1a
	esc      = 0x1b
	del      = 0x7f
)

// next takes at least one byte off p, which is not empty, and at most one sequence or one stretch of
// text; it gives how many bytes it took.
func (a *parser) next(p []byte, to parsed) int {
	if a.state == ground && p[0] >= 0x20 && p[0] != del {
		n := 1
		for n < len(p) && n < maxText && p[n] >= 0x20 && p[n] != del {
			n++
		}
		to.text(p[:n])
		return n
	}
	for i, c := range p {
		a.advance(c, to)
		if a.state == ground {
			return i + 1
		}
	}
	return len(p)
}

func (a *parser) advance(c byte, to parsed) {
	switch {
	case c == can || c == sub:
		a.state = ground
		return
	case c == esc:
		if a.state == inString {
			a.state = stringEscape
		} else {
			a.state, a.inter = afterEscape, 0
		}
		return
	}
	switch a.state {
	case ground:
		if c != del {
			to.control(c)
		}
	case stringEscape:
		if c == '\\' {
			a.endString(to)
			return
		}
		a.state, a.inter = afterEscape, 0
		a.afterEscape(c, to)
	case afterEscape:
		a.afterEscape(c, to)
	case inCSI:
		a.inCSI(c, to)
	case inString:
		if c == bel && a.kind == ']' {
			a.endString(to)
		} else if len(a.str) < maxString {
			a.str = append(a.str, c)
		} else {
			a.long = true
		}
	}
}

func (a *parser) afterEscape(c byte, to parsed) {
	switch {
	case c < 0x20:
		to.control(c)
	case c >= del:
		a.state = ground
	case c < 0x30:
		if a.inter != 0 {
			c = 0xff // two intermediates: no sequence that we know
		}
		a.inter = c
	case a.inter != 0:
		a.state = ground
		if a.inter != 0xff {
			to.escape(a.inter, c)
		}
	case c == '[':
		a.state = inCSI
		a.seq = sequence{}
	case c == ']', c == 'P', c == '_', c == '^', c == 'X':
		a.state, a.kind, a.str, a.long = inString, c, a.str[:0], false
	default:
		a.state = ground
		to.escape(0, c)
	}
}

func (a *parser) inCSI(c byte, to parsed) {
	q := &a.seq
	switch {
	case c < 0x20:
		to.control(c)
	case c == del:
	case c >= '0' && c <= ';':
		a.parameter(c)
	case c >= '<' && c <= '?':
		q.bad = q.bad || q.prefix != 0 || q.n != 0 || q.intermediate != 0
		q.prefix = c
	case c < 0x30:
		q.bad = q.bad || q.intermediate != 0
		q.intermediate = c
	case c > del:
		q.bad = true
	default:
		a.state = ground
		q.final = c
		if !q.bad {
			to.csi(q)
		}
	}
}

// parameter takes a digit, a colon or a semicolon.
func (a *parser) parameter(c byte) {
	q := &a.seq
	if q.intermediate != 0 {
		q.bad = true
	}
	if q.bad {
		return
	}
	if q.n == 0 {
		q.n, q.params[0] = 1, -1
	}
	if c == ';' || c == ':' {
		if q.n == maxParams {
			q.bad = true
			return
		}
		q.params[q.n], q.sub[q.n] = -1, c == ':'
		q.n++
		return
	}
	v := &q.params[q.n-1]
	*v = min(max(*v, 0)*10+int(c-'0'), maxParam)
}

func (a *parser) endString(to parsed) {
	a.state = ground
	switch {
	case a.long:
	case a.kind == ']':
		to.osc(a.str)
	case a.kind == 'P':
		to.dcs(a.str)
	}
}
