package gitgate

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A pkt-line is a length in four hexadecimal digits, its own four bytes included, and as much data: gitprotocol-common(5).
const (
	maxPkt   = 65520
	maxBand  = maxPkt - 5
	flushPkt = "0000"
)

var errPkt = errors.New("what came is no pkt-line of git's protocol")

// pkt is one pkt-line. data is nil for a flush, delimiter or end, whose length is in special.
type pkt struct {
	data    []byte
	special int // 0 flush, 1 delimiter, 2 response end; -1: it has data
}

// readPkt reads one pkt-line.
func readPkt(r io.Reader) (pkt, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return pkt{}, err
	}
	n, err := readPktLength(head)
	if err != nil {
		return pkt{}, err
	}
	if n < 4 {
		return pkt{special: n}, nil
	}
	p := pkt{special: -1, data: make([]byte, n-4)}
	if _, err := io.ReadFull(r, p.data); err != nil {
		return pkt{}, unexpected(err)
	}
	return p, nil
}

// readPktLength is how long a pkt-line says that it is, or below 3 what it stands for.
func readPktLength(head [4]byte) (n int, err error) {
	for _, c := range head {
		switch {
		case '0' <= c && c <= '9':
			n = n<<4 | int(c-'0')
		case 'a' <= c && c <= 'f':
			n = n<<4 | int(c-'a'+10)
		case 'A' <= c && c <= 'F':
			n = n<<4 | int(c-'A'+10)
		default:
			return 0, errPkt
		}
	}
	if n == 3 || n > maxPkt {
		return 0, errPkt
	}
	return n, nil
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (p pkt) raw() []byte {
	if p.special >= 0 {
		return fmt.Appendf(nil, "%04x", p.special)
	}
	return appendPkt(nil, p.data)
}

func appendPkt[T string | []byte](to []byte, data T) []byte {
	to = fmt.Appendf(to, "%04x", len(data)+4)
	return append(to, data...)
}

// line is data without a line end.
func (p pkt) line() string { return string(bytes.TrimSuffix(p.data, []byte("\n"))) }

// band writes to one band of a side-band-64k stream; as little as one write is one packet.
type band struct {
	to   io.Writer
	band byte
}

func (b band) Write(data []byte) (int, error) {
	done := 0
	for len(data) > 0 {
		part := data[:min(len(data), maxBand)]
		p := fmt.Appendf(make([]byte, 0, len(part)+5), "%04x%c", len(part)+5, b.band)
		if _, err := b.to.Write(append(p, part...)); err != nil {
			return done, err
		}
		done += len(part)
		data = data[len(part):]
	}
	return done, nil
}

// plain is s as it may be shown in a terminal or a log: valid, without control characters, at most n bytes.
func plain(s string, n int) string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case r == utf8.RuneError || !unicode.IsPrint(r):
			return '?'
		}
		return r
	}, s[:min(len(s), 4*n)])
	if len(clean) > n {
		cut := n
		for cut > 0 && !utf8.RuneStart(clean[cut]) {
			cut--
		}
		clean = clean[:cut] + "…"
	}
	return clean
}
