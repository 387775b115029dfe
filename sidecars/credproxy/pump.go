package credproxy

import (
	"io"
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

// Bodies of a known length from pumpFrom bytes on are worth a pump; pumpSize is its ring, in bytes.
const (
	pumpFrom = 4 << 20
	pumpSize = 512 << 10
)

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
