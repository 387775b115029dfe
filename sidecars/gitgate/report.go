package gitgate

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
)

// reporter tells the agent's git how a push goes: messages on the second band while it waits, and a report at the
// end, in the form that git asked for.
type reporter struct {
	mu     sync.Mutex
	out    io.Writer
	banded bool
	report bool // git wants one
	ended  bool
}

func newReporter(out io.Writer, q *request) *reporter {
	return &reporter{
		out: out, banded: q.has("side-band-64k"),
		report: q.has("report-status") || q.has("report-status-v2"),
	}
}

// tell shows a line at the agent's side, after "remote: ".
func (r *reporter) tell(format string, a ...any) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.banded || r.ended {
		return nil
	}
	_, err := fmt.Fprintf(band{r.out, 2}, "git-gate: "+format+"\n", a...)
	return err
}

// refused ends a push with a reason for each ref.
func (r *reporter) refused(q *request, reason func(ref string) string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return
	}
	r.ended = true
	if !r.report {
		if r.banded {
			io.WriteString(r.out, flushPkt) //nolint:errcheck // the agent may have gone
		}
		return
	}
	b := appendPkt(nil, "unpack ok\n")
	for _, c := range q.commands {
		b = appendPkt(b, fmt.Sprintf("ng %s %s\n", c.ref, plain("git-gate: "+reason(c.ref), 900)))
	}
	b = append(b, flushPkt...)
	if r.banded {
		if _, err := (band{r.out, 1}).Write(b); err != nil {
			return
		}
		b = []byte(flushPkt)
	}
	r.out.Write(b) //nolint:errcheck // the agent may have gone
}

// broken ends a push of which the outcome is not known.
func (r *reporter) broken(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return
	}
	r.ended = true
	if r.banded {
		fmt.Fprintf(band{r.out, 3}, "git-gate: %s\n", text)
	}
}

// pass hands the upstream's answer on, as it comes, and gives what of it was refused. The upstream is always asked for
// a report; an agent that did not ask does not get it. err is not nil when the answer broke off, or has none; the
// agent's side may break off unnoticed.
func (r *reporter) pass(answer io.Reader) (refused []string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	in := bufio.NewReader(answer)
	var report []byte
	keep := func(b []byte) {
		if len(report)+len(b) < 256<<10 {
			report = append(report, b...)
		}
	}
	for {
		p, err := readPkt(in)
		if err != nil {
			return nil, unexpected(err)
		}
		reports := !r.banded
		switch {
		case p.special >= 0:
		case !r.banded:
			keep(p.raw())
		case len(p.data) > 0 && p.data[0] == 1:
			reports = true
			keep(p.data[1:])
		}
		if r.report || !reports {
			r.out.Write(p.raw()) //nolint:errcheck // the push goes on even if the agent has gone
		}
		if p.special == 0 {
			r.ended = true
			return verdicts(report)
		}
	}
}

var errNoReport = errors.New("it ended without a report")

// verdicts are what a report says against a push.
func verdicts(report []byte) (refused []string, err error) {
	in := bytes.NewReader(report)
	err = errNoReport
	for {
		p, end := readPkt(in)
		if end != nil {
			return refused, err
		}
		line := p.line()
		if rest, ok := strings.CutPrefix(line, "ng "); ok {
			refused = append(refused, plain(rest, 300))
		} else if rest, ok := strings.CutPrefix(line, "unpack "); ok {
			if err = nil; rest != "ok" {
				refused = append(refused, plain(line, 300))
			}
		}
	}
}
