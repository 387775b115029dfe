package gitgate

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/rs/zerolog"
	"github.com/zricethezav/gitleaks/v8/detect"
	"github.com/zricethezav/gitleaks/v8/logging"
	"github.com/zricethezav/gitleaks/v8/regexp"
	"github.com/zricethezav/gitleaks/v8/report"
	"github.com/zricethezav/gitleaks/v8/sources"
)

// How a text is cut for the rules. A secret that a cut goes through is whole in the next part when it is no
// longer than the overlap: a private key of 4096 bits is, and so is one encoded once more.
const (
	chunk       = 64 << 10
	overlap     = 8 << 10
	decodeDepth = 3
	maxFindings = 50
	guessRule   = "generic-api-key" // goes by the look of a value alone
)

// scanner looks for secrets with gitleaks' rules. It is safe for use by many.
type scanner struct {
	detector *detect.Detector
}

var silence = sync.OnceFunc(func() { logging.Logger = zerolog.Nop() }) // it would log what it found

func newScanner() (*scanner, error) {
	silence()
	d, err := detect.NewDetectorDefaultConfig()
	if err != nil {
		return nil, fmt.Errorf("read the rules of the scan for secrets: %w", err)
	}
	d.IgnoreGitleaksAllow = true // or the agent's own comment would switch it off
	d.MaxDecodeDepth = decodeDepth
	for id, rule := range d.Config.Rules {
		// The end that such a rule asks for is that of a line, not only that of the whole text.
		if rule.Regex != nil && strings.HasSuffix(rule.Regex.String(), "|$)") {
			rule.Regex = regexp.MustCompile("(?m)" + rule.Regex.String())
			d.Config.Rules[id] = rule
		}
	}
	return &scanner{detector: d}, nil
}

// hit is a rule that a text met, and the line from 0 on.
type hit struct {
	rule string
	line int
}

// look finds what rules a text meets. path may be "". Files that are usually full of what looks like a secret,
// and binary ones, are looked at, too, but not for what goes by its look alone.
func (s *scanner) look(ctx context.Context, text []byte, path string) []hit {
	guess := true
	if bytes.IndexByte(text, 0) >= 0 {
		guess = false
		text = printed(bytes.ReplaceAll(text, []byte{0}, nil)) // they are between the letters of UTF-16
	}
	if path != "" && s.usuallyFull(path) {
		guess, path = false, ""
	}
	//lint:ignore SA1019 the detector takes no other type yet
	found := s.detector.DetectContext(ctx, detect.Fragment(sources.Fragment{Raw: string(text), FilePath: path}))
	found = slices.DeleteFunc(found, func(f report.Finding) bool { return !guess && f.RuleID == guessRule })
	var hits []hit
	for _, f := range found {
		hits = append(hits, hit{f.RuleID, f.StartLine})
	}
	return hits
}

// shortWord is how many printable bytes in a row are noise in binary data; no rule has a shorter secret.
const shortWord = 8

// printed is what of binary data could be read: its runs of printable ASCII, and its line ends.
func printed(data []byte) []byte {
	text := make([]byte, 0, len(data)/8)
	run := 0 // where it begins
	end := func(at int) {
		if at-run >= shortWord {
			text = append(append(text, data[run:at]...), ' ')
		}
		run = at + 1
	}
	for i, c := range data {
		switch {
		case c == '\n':
			end(i)
			text = append(text, '\n')
		case (c < ' ' || c > '~') && c != '\t' && c != '\r':
			end(i)
		}
	}
	end(len(data))
	return text
}

// usuallyFull says whether gitleaks would leave the file at path out.
func (s *scanner) usuallyFull(path string) bool {
	for _, list := range s.detector.Config.Allowlists {
		if list.PathAllowed(path) {
			return true
		}
	}
	return false
}

// finding is a secret that was found, without it.
type finding struct {
	rule   string
	kind   kind
	id     oid
	path   string
	line   int // from 1 on
	commit oid
}

// String is what the agent and the operator are told.
func (f finding) String() string {
	var b strings.Builder
	b.WriteString(f.rule)
	switch {
	case f.kind == kindCommit:
		fmt.Fprintf(&b, " in the message of commit %.12s, line %d", f.id, f.line)
		return b.String()
	case f.kind == kindTag:
		fmt.Fprintf(&b, " in the tag object %.12s, line %d", f.id, f.line)
		return b.String()
	case f.kind == kindTree:
		fmt.Fprintf(&b, " in a file's name in the directory %q", "/"+plain(f.path, 300))
	case f.kind == 0:
		fmt.Fprintf(&b, " in %s", f.path)
		return b.String()
	case f.path == "":
		fmt.Fprintf(&b, " in object %.12s, line %d", f.id, f.line)
	default:
		fmt.Fprintf(&b, " in %s, line %d", plain(f.path, 300), f.line)
	}
	if !f.commit.none() {
		fmt.Fprintf(&b, " of commit %.12s", f.commit)
	}
	return b.String()
}

// scan is the looking at one push.
type scan struct {
	scanner *scanner
	ctx     context.Context
	cancel  context.CancelFunc
	work    chan part
	workers sync.WaitGroup
	pool    sync.Pool

	mu    sync.Mutex
	found []finding
	more  bool // than maxFindings
}

// part is a piece of a text.
type part struct {
	text []byte
	line int // where it begins
	of   finding
}

func (s *scanner) start(ctx context.Context) *scan {
	n := min(runtime.GOMAXPROCS(0), 4)
	c := &scan{scanner: s, work: make(chan part, n)}
	c.pool.New = func() any { b := make([]byte, 0, chunk+overlap); return &b }
	c.ctx, c.cancel = context.WithCancel(ctx)
	for range n {
		c.workers.Go(func() {
			for p := range c.work {
				if c.ctx.Err() == nil {
					c.look(p)
				}
				c.pool.Put(&p.text)
			}
		})
	}
	return c
}

// end waits for all looking.
func (c *scan) end() []finding {
	close(c.work)
	c.workers.Wait()
	c.cancel()
	return c.found
}

func (c *scan) look(p part) {
	for _, h := range c.scanner.look(c.ctx, p.text, p.of.path) {
		f := p.of
		f.rule, f.line = h.rule, p.line+h.line+1
		c.mu.Lock()
		if len(c.found) >= maxFindings {
			c.more = true
			c.cancel()
		} else if !slices.Contains(c.found, f) {
			c.found = append(c.found, f)
		}
		c.mu.Unlock()
	}
}

// text hands a whole text over.
func (c *scan) text(of finding, text []byte) error {
	w := c.writer(of)
	if _, err := w.Write(text); err != nil {
		return err
	}
	return w.Close()
}

// writer takes a text in pieces; its Close hands over the last.
func (c *scan) writer(of finding) *cutter { return &cutter{scan: c, of: of} }

type cutter struct {
	scan *scan
	of   finding
	buf  []byte
	kept int // bytes at the beginning of buf that were handed over before
	line int
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
			next := append((*w.scan.pool.Get().(*[]byte))[:0], w.buf[chunk:]...)
			line := w.line + bytes.Count(w.buf[:chunk], []byte("\n"))
			if err := w.hand(); err != nil {
				return 0, err
			}
			w.buf, w.kept, w.line = next, overlap, line
		}
	}
	return n, nil
}

// hand hands buf over.
func (w *cutter) hand() error {
	select {
	case w.scan.work <- part{w.buf, w.line, w.of}:
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
		return w.hand()
	}
	return nil
}
