package gitgate

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Bounds on asking an upstream for its history.
const (
	maxHistory     = 64 << 20 // bytes that it may send
	maxHistoryFile = 16 << 20 // bytes of one object of it
	maxWants       = 256
)

// upload is a conversation with an upstream's upload-pack: gitprotocol-v2(5), and gitprotocol-pack(5) for those
// that don't speak it.
type upload struct {
	v2    bool
	caps  []string
	tips  map[oid]bool // v0: what may be asked for
	ask   func(ctx context.Context, body []byte) (io.ReadCloser, error)
	close func()
}

// readUploadAdvert reads what upload-pack says first.
func readUploadAdvert(in *bufio.Reader) (*upload, error) {
	u := &upload{tips: map[oid]bool{}}
	size := 0
	for n := 0; ; n++ {
		p, err := readPkt(in)
		if err != nil {
			return nil, unexpected(err)
		}
		if size += len(p.data) + 4; size > maxAdvert {
			return nil, fmt.Errorf("the upstream's list of refs is larger than %s", bytesText(maxAdvert))
		}
		line, caps, _ := strings.Cut(p.line(), "\x00")
		switch {
		case p.special == 0 && n == 1 && u.caps == nil && !u.v2: // after "# service="
		case p.special == 0:
			return u, nil
		case p.special > 0:
			return nil, errPkt
		case n == 0 && strings.HasPrefix(line, "# service="):
		case strings.HasPrefix(line, "ERR "):
			return nil, &upstreamSaid{plain(line[4:], maxReason)}
		case line == "version 2":
			u.v2 = true
		case u.v2:
			u.caps = append(u.caps, line)
		default:
			if u.caps == nil {
				u.caps = append(strings.Fields(caps), "")
			}
			if id, ok := parseOid(line[:min(len(line), 40)]); ok {
				u.tips[id] = true
			}
		}
	}
}

func (u *upload) can(what string) bool {
	for _, c := range u.caps {
		if !u.v2 && c == what {
			return true
		}
		if features, ok := strings.CutPrefix(c, "fetch="); u.v2 && ok && slices.Contains(strings.Fields(features), what) {
			return true
		}
	}
	return false
}

// wish is what is asked of an upload-pack.
type wish struct {
	wants  []oid
	haves  []oid
	depth  int    // of history; 0: all
	filter string // as far as the upstream knows how
}

func (u *upload) request(w wish) []byte {
	filter := w.filter
	if !u.can("filter") {
		filter = ""
	}
	var b []byte
	if u.v2 {
		b = appendPkt(b, "command=fetch\n")
		b = append(b, "0001"...)
		b = appendPkt(b, "no-progress\n")
		b = appendPkt(b, "ofs-delta\n")
	}
	for i, id := range w.wants {
		line := "want " + id.String()
		if i == 0 && !u.v2 {
			line += " side-band-64k ofs-delta no-progress"
			if filter != "" {
				line += " filter"
			}
			if w.depth > 0 {
				line += " shallow"
			}
		}
		b = appendPkt(b, line+"\n")
	}
	if w.depth > 0 {
		b = appendPkt(b, fmt.Sprintf("deepen %d\n", w.depth))
	}
	if filter != "" {
		b = appendPkt(b, "filter "+filter+"\n")
	}
	if !u.v2 {
		b = append(b, flushPkt...)
	}
	for _, id := range w.haves {
		b = appendPkt(b, "have "+id.String()+"\n")
	}
	b = appendPkt(b, "done\n")
	if u.v2 {
		b = append(b, flushPkt...)
	}
	return b
}

// sideband reads the first band.
type sideband struct {
	in   *bufio.Reader
	rest []byte
}

func (s *sideband) Read(b []byte) (int, error) {
	for len(s.rest) == 0 {
		p, err := readPkt(s.in)
		switch {
		case err != nil:
			return 0, unexpected(err)
		case p.special == 0:
			return 0, io.EOF
		case len(p.data) == 0 || p.special > 0:
		case bytes.HasPrefix(p.data, []byte("ERR ")):
			return 0, &upstreamSaid{plain(p.line()[4:], maxReason)}
		case p.data[0] == 1:
			s.rest = p.data[1:]
		case p.data[0] == 3:
			return 0, &upstreamSaid{plain(string(p.data[1:]), maxReason)}
		}
	}
	n := copy(b, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// history is what an upstream sent of its own. It must be closed.
type history struct {
	*graph
	*resolver
	spool *spoolFile
}

func (h *history) close() {
	h.resolver.close()
	h.spool.Close()
}

var errMuch = errors.New("there is too much history between")

// fetchUpstream asks the upstream for something. It believes nothing but objects whose names it has computed.
func (s *server) fetchUpstream(ctx context.Context, p *pushing, w wish) (*history, error) {
	if len(w.wants) > maxWants {
		return nil, fmt.Errorf("%d objects of the upstream would have to be asked for", len(w.wants))
	}
	u, err := p.converse(ctx)
	if err != nil {
		return nil, err
	}
	defer u.close()
	if !u.v2 {
		for _, id := range w.wants {
			if !u.tips[id] {
				return nil, fmt.Errorf("the upstream does not speak git's protocol version 2, and %.12s is not the tip of a branch there", id)
			}
		}
	}
	answer, err := u.ask(ctx, u.request(w))
	if err != nil {
		return nil, err
	}
	defer answer.Close()
	in := bufio.NewReaderSize(answer, copyBuffer)
	for packfile := false; !packfile; {
		head, err := in.Peek(5)
		if err != nil {
			return nil, unexpected(err)
		}
		if !u.v2 && head[4] < 4 && string(head[:4]) != flushPkt { // a band
			break
		}
		line, err := readPkt(in)
		switch {
		case err != nil:
			return nil, unexpected(err)
		case strings.HasPrefix(line.line(), "ERR "):
			return nil, &upstreamSaid{plain(line.line()[4:], maxReason)}
		}
		packfile = u.v2 && line.line() == "packfile"
	}
	spool, err := s.spool.create()
	if err != nil {
		return nil, err
	}
	h := &history{spool: spool}
	packed, err := readPack(&sideband{in: in}, spool, maxHistory, maxHistoryFile, nil)
	if err == nil {
		h.resolver = newResolver(ctx, packed, s.spool)
		h.graph, err = learn(ctx, h.resolver, func(kind, oid, []byte) error { return nil })
	}
	if err != nil {
		spool.Close()
		if h.resolver != nil {
			h.resolver.close()
		}
		var large *refusal
		if errors.As(err, &large) {
			return nil, errMuch
		}
		return nil, err
	}
	return h, nil
}

// upstreamLeads says whether old is among the ancestors of what is in open, which the upstream has and the push
// does not hold.
func (s *server) upstreamLeads(ctx context.Context, p *pushing, open []oid, old oid) (bool, error) {
	if len(open) == 0 {
		return false, nil
	}
	h, err := s.fetchUpstream(ctx, p, wish{wants: open, haves: []oid{old}, filter: "tree:0"})
	if err != nil {
		return false, err
	}
	defer h.close()
	for _, id := range open {
		if yes, _ := h.leadsTo(id, old); yes {
			return true, nil
		}
	}
	return false, nil
}
