package gitgate

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"unicode/utf8"
)

// gitleaks decodes base64 that is in one line, begins with its first letter, and is ASCII throughout. Files wrap it,
// something that is no part of it may stand before it, and a cut of a long text goes through it anywhere. So each run
// of its letters is read here from each of its first four, over the ends of lines.
const (
	minEncoded = 24 // letters: no rule has a secret that is shorter when it is encoded
	maxBeside  = 16 // bytes beside the letters of a line, where they go on in the next: quotes, a comment's sign, a key
)

// piece is what a text holds encoded.
type piece struct {
	text     []byte
	line     int  // where the letters begin
	guess    bool // it is text; see scanner.look
	keyStore bool
}

// letters are those of base64, its form for URLs as well; hexadecimal digits are among them.
var letters = func() (is [256]bool) {
	for _, c := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_" {
		is[c] = true
	}
	return is
}()

// encoded is what a text holds in base64 or in hexadecimal digits, as far as it can be read.
func encoded(text []byte) []piece {
	var u unfolder
	eachLine(text, u.line)
	u.end()
	return u.pieces
}

// eachLine gives the lines of a text, those too that are written as \n, and how many real ends are before each.
func eachLine(text []byte, f func(line []byte, nth int)) {
	for nth := 0; len(text) > 0; nth++ {
		line, rest, _ := bytes.Cut(text, []byte("\n"))
		text = rest
		for from := 0; ; {
			i := bytes.IndexByte(line[from:], '\\')
			if i < 0 || from+i+1 >= len(line) {
				break
			}
			from += i + 1
			if c := line[from]; c == 'n' || c == 'r' {
				f(line[:from-1], nth)
				line, from = line[from+1:], 0
			}
		}
		f(line, nth)
	}
}

// unfolder puts the letters of one run together.
type unfolder struct {
	run    []byte
	begun  int
	open   bool // the run may go on in the next line
	buf    []byte
	pieces []piece
}

// line takes in one line.
func (u *unfolder) line(line []byte, nth int) {
	line = bytes.TrimSpace(line)
	if u.open {
		if from, to := longest(line); to > from && len(line)-(to-from) <= maxBeside {
			if len(u.run) < minEncoded && len(u.run) < to-from {
				u.begun = nth // what is before it is hardly a part of it
			}
			u.run = append(u.run, line[from:to]...)
			u.open = to == len(line) || line[to] != '='
			return
		}
		u.end()
	}
	for at := 0; at < len(line); {
		if !letters[line[at]] {
			at++
			continue
		}
		from := at
		for at < len(line) && letters[line[at]] {
			at++
		}
		last := len(line)-at <= maxBeside && (at == len(line) || line[at] != '=')
		if at-from < minEncoded && !last {
			continue
		}
		u.end()
		u.run, u.begun, u.open = append(u.run, line[from:at]...), nth, last
	}
}

// longest is where the most letters in a row are.
func longest(line []byte) (from, to int) {
	for at := 0; at < len(line); at++ {
		begin := at
		for at < len(line) && letters[line[at]] {
			at++
		}
		if at-begin > to-from {
			from, to = begin, at
		}
	}
	return from, to
}

// end decodes the run.
func (u *unfolder) end() {
	run := u.run
	u.run, u.open = u.run[:0], false
	if len(run) < minEncoded {
		return
	}
	u.buf = slices.Grow(u.buf[:0], len(run))
	if isHex := !slices.ContainsFunc(run, func(c byte) bool { return c > 'f' || c > 'F' && c < 'a' || c > '9' && c < 'A' || c < '0' }); isHex {
		for from := range 2 {
			digits := run[from:]
			n, _ := hex.Decode(u.buf[:cap(u.buf)], digits[:len(digits)&^1]) // they are all digits
			u.add(u.buf[:n])
		}
	}
	for i, c := range run {
		switch c {
		case '-':
			run[i] = '+'
		case '_':
			run[i] = '/'
		}
	}
	for from := range 4 {
		some := run[from:]
		if len(some)%4 == 1 {
			some = some[:len(some)-1]
		}
		n, _ := base64.RawStdEncoding.Decode(u.buf[:cap(u.buf)], some) // they are all letters
		u.add(u.buf[:n])
	}
}

// add takes in what was decoded, as far as it is text or could be read as such. It is copied.
func (u *unfolder) add(decoded []byte) {
	p := piece{line: u.begun, guess: true, keyStore: isKeyStore(decoded)}
	if bytes.IndexByte(decoded, 0) >= 0 {
		p.guess = false
		decoded = bytes.ReplaceAll(decoded, []byte{0}, nil) // they are between the letters of UTF-16
	}
	if utf8.Valid(wholeRunes(decoded)) {
		p.text = bytes.Clone(decoded)
	} else {
		p.guess = false
		p.text = printed(decoded)
	}
	if p.keyStore || len(bytes.TrimSpace(p.text)) >= shortWord {
		u.pieces = append(u.pieces, p)
	}
}

// wholeRunes is a text without the parts of characters that a cut left at its ends.
func wholeRunes(b []byte) []byte {
	for n := 0; n < utf8.UTFMax-1 && len(b) > 0 && !utf8.RuneStart(b[0]); n++ {
		b = b[1:]
	}
	for n := 1; n < utf8.UTFMax && n <= len(b); n++ {
		if c := b[len(b)-n]; utf8.RuneStart(c) {
			if c >= utf8.RuneSelf && !utf8.FullRune(b[len(b)-n:]) {
				b = b[:len(b)-n]
			}
			break
		}
	}
	return b
}

// keyStoreRule is the rule for key stores. It goes by a file's name, which the agent chooses.
const keyStoreRule = "pkcs12-file"

// isKeyStore says whether b begins as a PKCS #12 file does (RFC 7292, section 4): a sequence of the number 3 and of a
// sequence that begins with one of PKCS #7's types of content.
func isKeyStore(b []byte) bool {
	b, ok := sequence(b)
	if !ok || !bytes.HasPrefix(b, []byte{2, 1, 3}) {
		return false
	}
	b, ok = sequence(b[3:])
	return ok && bytes.HasPrefix(b, []byte{6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7})
}

// sequence is what follows the head of an ASN.1 sequence.
func sequence(b []byte) ([]byte, bool) {
	if len(b) < 2 || b[0] != 0x30 {
		return nil, false
	}
	head := 2
	if b[1] > 0x80 {
		head += int(b[1] & 0x7f)
	}
	if len(b) < head {
		return nil, false
	}
	return b[head:], true
}
