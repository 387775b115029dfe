package gitgate

import (
	"bytes"
	"context"
	"fmt"
	"io"
)

// How a text is cut for the rules. A secret that a cut goes through is whole in the next part when it is no
// longer than the overlap; a private key is followed over all parts.
const (
	chunk   = 64 << 10
	overlap = 8 << 10
)

// writer takes a text in pieces; its Close hands over the last.
func (c *scan) writer(of finding, at where) *cutter { return &cutter{scan: c, of: of, where: at} }

type cutter struct {
	scan  *scan
	of    finding
	where where
	buf   []byte
	kept  int // bytes at the beginning of buf that were handed over before
	line  int // where buf begins
	read  int // bytes at the beginning of buf that key has
	key   openKey
}

var _ io.WriteCloser = (*cutter)(nil)

func (w *cutter) Write(b []byte) (int, error) {
	n := len(b)
	for len(b) > 0 {
		if w.buf == nil {
			w.buf = (*w.scan.pool.Get().(*[]byte))[:0]
		}
		take := min(len(b), chunk+overlap-len(w.buf))
		w.buf = append(w.buf, b[:take]...)
		b = b[take:]
		if len(w.buf) == chunk+overlap {
			// A line that is cut is read when it is whole, unless it is as long as this.
			read := max(chunk, bytes.LastIndexByte(w.buf, '\n')+1)
			w.follow(read)
			next := append((*w.scan.pool.Get().(*[]byte))[:0], w.buf[chunk:]...)
			line := w.line + bytes.Count(w.buf[:chunk], []byte("\n"))
			if err := w.hand(); err != nil {
				return 0, err
			}
			w.buf, w.kept, w.line, w.read = next, overlap, line, read-chunk
		}
	}
	return n, nil
}

// hand hands buf over.
func (w *cutter) hand() error {
	select {
	case w.scan.work <- part{w.buf, w.line, w.kept == 0, w.of, w.where}:
		w.buf = nil
		return nil
	case <-w.scan.ctx.Done():
		return errEnough
	}
}

// errEnough: nothing more needs to be looked at.
var errEnough = fmt.Errorf("the scan was ended: %w", context.Canceled)

func (w *cutter) Close() error {
	if len(w.buf) > w.kept {
		w.follow(len(w.buf))
		return w.hand()
	}
	return nil
}

// follow looks for private keys in what of buf is new, up to there.
func (w *cutter) follow(to int) {
	text := w.buf[w.read:to]
	if !w.key.begun && !bytes.Contains(text, keyBegins) {
		return
	}
	line := w.line + bytes.Count(w.buf[:w.read], []byte("\n"))
	eachLine(text, func(b []byte, nth int) {
		if at, ended := w.key.take(b, line+nth); ended {
			f := w.of
			f.rule, f.line = keyRule, at+1
			w.scan.add(f)
		}
	})
}

// openKey is a private key of which the begin was read, and not yet the end. gitleaks' rule wants both in one part;
// comments between them, or a long key, put them into two. The lines alone make none: much speaks of them.
type openKey struct {
	begun   bool
	line    int
	letters int // in lines that look like those of a key
}

// keyBegins is in the line with which a private key in PEM begins, and in the one with which it ends.
var keyBegins = []byte("PRIVATE KEY")

const (
	minKeyLine = 32 // letters
	minKey     = 64 // of the shortest key, as the rule has it
)

// take takes in a line; ended says that a key ends here that began in line at.
func (k *openKey) take(b []byte, nth int) (at int, ended bool) {
	b = bytes.TrimSpace(b)
	if bytes.Contains(b, keyBegins) {
		switch {
		case !bytes.Contains(b, []byte("-----END")):
			if !k.begun && bytes.Contains(b, []byte("-----BEGIN")) {
				*k = openKey{begun: true, line: nth}
			}
		case k.begun:
			ended = k.letters >= minKey
			at = k.line
			*k = openKey{}
		}
		return at, ended
	}
	if from, to := longest(b); k.begun && to-from >= minKeyLine && len(b)-(to-from) <= maxBeside && mixed(b[from:to]) {
		k.letters += to - from
	}
	return 0, false
}

// mixed says whether capitals, small letters and digits are in b, as in base64.
func mixed(b []byte) bool {
	capital := bytes.IndexFunc(b, func(r rune) bool { return r >= 'A' && r <= 'Z' })
	small := bytes.IndexFunc(b, func(r rune) bool { return r >= 'a' && r <= 'z' })
	digit := bytes.IndexFunc(b, func(r rune) bool { return r >= '0' && r <= '9' })
	return min(capital, small, digit) >= 0
}
