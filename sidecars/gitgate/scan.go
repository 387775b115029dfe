package gitgate

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/rs/zerolog"
	"github.com/zricethezav/gitleaks/v8/config"
	"github.com/zricethezav/gitleaks/v8/detect"
	"github.com/zricethezav/gitleaks/v8/logging"
	"github.com/zricethezav/gitleaks/v8/regexp"
	"github.com/zricethezav/gitleaks/v8/sources"
)

const (
	decodeDepth = 3
	maxFindings = 50
	guessRule   = "generic-api-key" // goes by the look of a value alone
	keyRule     = "private-key"
)

// scanner looks for secrets with gitleaks' rules. It is safe for use by many.
type scanner struct {
	detector *detect.Detector
	anywhere *detect.Detector          // the rules that are for certain paths, for all
	names    map[string]*regexp.Regexp // the rules that go by the path alone
	full     []*config.Allowlist       // the paths that gitleaks would leave out
}

var silence = sync.OnceFunc(func() { logging.Logger = zerolog.Nop() }) // it would log what it found

func newScanner() (*scanner, error) {
	silence()
	d, err := detect.NewDetectorDefaultConfig()
	if err != nil {
		return nil, fmt.Errorf("read the rules of the scan for secrets: %w", err)
	}
	s := &scanner{detector: d, names: map[string]*regexp.Regexp{}}
	anywhere := d.Config
	anywhere.Rules, anywhere.Keywords = map[string]config.Rule{}, map[string]struct{}{}
	for id, rule := range d.Config.Rules {
		// The end that such a rule asks for is that of a line, not only that of the whole text.
		if rule.Regex != nil && strings.HasSuffix(rule.Regex.String(), "|$)") {
			rule.Regex = regexp.MustCompile("(?m)" + rule.Regex.String())
		}
		// Neither a path excuses anything nor what stands beside a secret in its line: the agent chooses both.
		rule.Allowlists = slices.DeleteFunc(slices.Clone(rule.Allowlists), func(a *config.Allowlist) bool {
			return len(a.Paths) > 0 || a.RegexTarget == "line"
		})
		if id == guessRule {
			rule.Allowlists = append(rule.Allowlists, named...)
		}
		d.Config.Rules[id] = rule
		switch {
		case rule.Path != nil && rule.Regex == nil:
			s.names[id] = rule.Path
		case rule.Path != nil:
			rule.Path = nil
			anywhere.Rules[id] = rule
			for _, k := range rule.Keywords {
				anywhere.Keywords[strings.ToLower(k)] = struct{}{}
			}
		}
	}
	for i, list := range d.Config.Allowlists {
		if len(list.Paths) > 0 {
			s.full = append(s.full, list)
		}
		d.Config.Allowlists[i] = wholeSecrets(list)
	}
	anywhere.Allowlists = d.Config.Allowlists
	s.anywhere = detect.NewDetector(anywhere)
	for _, d := range []*detect.Detector{s.detector, s.anywhere} {
		d.IgnoreGitleaksAllow = true // or the agent's own comment would switch it off
		d.MaxDecodeDepth = decodeDepth
	}
	return s, nil
}

// named are what gitleaks excuses by what stands beside it, held to all of that: names of secrets in a Dockerfile's
// "RUN --mount=type=secret,id=…", and in a whole line of JavaScript that imports some.
var named = []*config.Allowlist{
	{RegexTarget: "match", Regexes: []*regexp.Regexp{regexp.MustCompile(`^secret,[a-z]+=[A-Za-z_./-]+[0-9]{0,2}[\s'"` + "`" + `;]?$`)}},
	{RegexTarget: "line", Regexes: []*regexp.Regexp{regexp.MustCompile(`^\s*import[ \t]+\{[ \t\w,]+\}[ \t]+from[ \t]+['"][\w@~#./-]+['"];?\s*$`)}},
}

// wholeSecrets is a list of what is no secret for any rule, held to all of what a rule found: an agent could put
// a part of that into what has room for it, such as a private key.
func wholeSecrets(list *config.Allowlist) *config.Allowlist {
	whole := &config.Allowlist{}
	for _, r := range list.Regexes {
		whole.Regexes = append(whole.Regexes, regexp.MustCompile("^(?:"+r.String()+")$"))
	}
	for _, w := range list.StopWords { // of examples, with what a token has before them
		whole.Regexes = append(whole.Regexes, regexp.MustCompile(`(?i)^.{0,64}\Q`+w+`\E.{0,64}$`))
	}
	return whole
}

// where is at which paths a text is, since rules go by that, too.
type where struct {
	path  string // "": it has none, or none that is known
	other bool   // it may be at others as well
	full  bool   // and at those it would usually be full of what looks like a secret
}

// hit is a rule that a text met, and the line from 0 on.
type hit struct {
	rule string
	line int
}

// origin says from where the lines of a text are that was put together of pieces.
type origin struct {
	from  int // the first of them
	line  int // of the text that holds the piece encoded
	guess bool
}

// look finds what rules a text meets, and what it holds encoded. Files that are usually full of what looks like a
// secret, and binary ones, are looked at, too, but not for what goes by its look alone.
func (s *scanner) look(ctx context.Context, text []byte, w where) []hit {
	all := origin{guess: true}
	if bytes.IndexByte(text, 0) >= 0 {
		all.guess = false
		text = printed(bytes.ReplaceAll(text, []byte{0}, nil)) // they are between the letters of UTF-16
	}
	if w.path != "" && (!w.other || w.full) && s.usuallyFull(w.path) {
		all.guess = false
	}
	var hits []hit
	add := func(h hit) {
		if !slices.Contains(hits, h) {
			hits = append(hits, h)
		}
	}
	origins := []origin{all}
	of := func(line int) origin {
		i, found := slices.BinarySearchFunc(origins, line, func(o origin, line int) int { return o.from - line })
		if !found {
			i--
		}
		return origins[i]
	}
	for depth := 0; ; depth++ {
		raw := string(text)
		try := func(d *detect.Detector, path string) {
			//lint:ignore SA1019 the detector takes no other type yet
			for _, f := range d.DetectContext(ctx, detect.Fragment(sources.Fragment{Raw: raw, FilePath: path})) {
				o := of(f.StartLine)
				h := hit{f.RuleID, o.line}
				if depth == 0 {
					h.line = f.StartLine
				}
				if (o.guess || h.rule != guessRule) && (depth == 0 || s.names[h.rule] == nil) {
					add(h)
				}
			}
		}
		try(s.detector, w.path)
		if w.other {
			try(s.anywhere, "")
		}
		if depth == decodeDepth || ctx.Err() != nil {
			return hits
		}
		var inside []origin
		pieces := encoded(text)
		text = nil
		for line, i := 0, 0; i < len(pieces); i++ {
			p := pieces[i]
			o := of(p.line)
			if depth == 0 {
				o.line = p.line
			}
			if p.keyStore {
				add(hit{keyStoreRule, o.line})
			}
			inside = append(inside, origin{line, o.line, o.guess && p.guess})
			text = append(append(text, p.text...), "\n\n"...)
			line += bytes.Count(p.text, []byte("\n")) + 2
		}
		if origins = inside; len(origins) == 0 {
			return hits
		}
	}
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
	return slices.ContainsFunc(s.full, func(list *config.Allowlist) bool { return list.PathAllowed(path) })
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
	text  []byte
	line  int  // where it begins
	first bool // it is the text's first
	of    finding
	where where
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
	if p.first && isKeyStore(p.text) {
		f := p.of
		f.rule, f.line = keyStoreRule, 1
		c.add(f)
	}
	for _, h := range c.scanner.look(c.ctx, p.text, p.where) {
		f := p.of
		f.rule, f.line = h.rule, p.line+h.line+1
		if c.scanner.names[h.rule] != nil {
			f.line = 1
		}
		c.add(f)
	}
}

func (c *scan) add(f finding) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.found) >= maxFindings {
		c.more = true
		c.cancel()
	} else if !slices.Contains(c.found, f) {
		c.found = append(c.found, f)
	}
}

// name looks at a further path of a file, for the rules that go by it alone.
func (c *scan) name(f finding, path string) {
	for id, rule := range c.scanner.names {
		if rule.MatchString(path) {
			f.rule, f.path, f.line = id, path, 1
			c.add(f)
		}
	}
}

// text hands a whole text over.
func (c *scan) text(of finding, at where, text []byte) error {
	w := c.writer(of, at)
	if _, err := w.Write(text); err != nil {
		return err
	}
	return w.Close()
}
