package credproxy

import (
	"io"
	"mime"
	"net/http"
	"sync"
)

// pump reads a large body ahead into a ring of fixed size, so that receiving (and decrypting) from the upstream
// and sending to the agent go on at the same time. What has come is given at once, however little it is.
type pump struct {
	from io.ReadCloser
	mu   sync.Mutex
	move sync.Cond
	ring []byte
	in   int // bytes that came, ever
	out  int // bytes that were given, ever
	err  error
	shut bool
	done chan struct{} // of run; nil until the first Read
}

// Bodies from pumpFrom bytes on are worth a pump; pumpSize is its ring, in bytes.
const (
	pumpFrom = 4 << 20
	pumpSize = 512 << 10
)

// pumped is an answer's body, with a pump where it is large. One whose length nobody said gets it when it has become
// large; events, of which there is little at a time however long it goes on, never do.
func pumped(r *http.Response) io.ReadCloser {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case r.ContentLength >= pumpFrom:
		return newPump(r.Body)
	case r.ContentLength < 0 && kind != "text/event-stream":
		return &latePump{r.Body, pumpFrom}
	}
	return r.Body
}

// latePump is a body that gets a pump after so many more bytes.
type latePump struct {
	io.ReadCloser
	left int
}

func (l *latePump) Read(b []byte) (int, error) {
	n, err := l.ReadCloser.Read(b)
	if l.left > 0 {
		if l.left -= n; l.left <= 0 && err == nil {
			l.ReadCloser = newPump(l.ReadCloser)
		}
	}
	return n, err
}

func newPump(from io.ReadCloser) *pump {
	p := &pump{from: from}
	p.move.L = &p.mu
	return p
}

func (p *pump) run() {
	defer close(p.done)
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.err == nil {
		for p.in-p.out == len(p.ring) && !p.shut {
			p.move.Wait()
		}
		if p.shut {
			return
		}
		at := p.in % len(p.ring)
		room := p.ring[at:min(len(p.ring), at+len(p.ring)-(p.in-p.out))]
		p.mu.Unlock()
		n, err := p.from.Read(room)
		p.mu.Lock()
		p.in += n
		p.err = err
		p.move.Broadcast()
	}
}

func (p *pump) Read(b []byte) (int, error) {
	p.mu.Lock()
	if p.done == nil && !p.shut {
		p.ring, p.done = make([]byte, pumpSize), make(chan struct{})
		go p.run()
	}
	for p.in == p.out && p.err == nil && !p.shut {
		p.move.Wait()
	}
	if p.in == p.out {
		defer p.mu.Unlock()
		if p.err != nil {
			return 0, p.err
		}
		return 0, io.ErrClosedPipe
	}
	at := p.out % len(p.ring)
	ready := p.ring[at:min(len(p.ring), at+p.in-p.out)]
	p.mu.Unlock()
	n := copy(b, ready) // run writes only elsewhere
	p.mu.Lock()
	p.out += n
	p.move.Broadcast()
	p.mu.Unlock()
	return n, nil
}

// Close ends the reading ahead and waits for its end.
func (p *pump) Close() error {
	p.mu.Lock()
	p.shut = true
	done := p.done
	p.move.Broadcast()
	p.mu.Unlock()
	err := p.from.Close()
	if done != nil {
		<-done
	}
	return err
}
