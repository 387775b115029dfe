package gitgate

import (
	"bytes"
	"context"
	"io"
	"time"
)

// cutTime is how long the agent has for its last words, and to hear those of git-gate, when git-gate ends something.
const cutTime = 2 * time.Second

const maxLastWord = 1500 // bytes

// hurry gives both directions of a connection no more than cutTime when ctx ends, so that what is cut does not wait
// for the agent. The function that it gives lifts that again.
func hurry(ctx context.Context, read, write func(time.Time) error) (lift func()) {
	began := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(began)
		soon := time.Now().Add(cutTime)
		read(soon)               //nolint:errcheck // then it has none
		write(soon.Add(cutTime)) //nolint:errcheck // then it has none
	})
	return func() {
		if !stop() {
			<-began
			write(time.Time{}) //nolint:errcheck // then it has none
		}
	}
}

// tail passes pkt-lines on and knows where in them it is, so that a last word can be put behind what went through
// when the rest does not come.
type tail struct {
	to      io.Writer
	length  []byte // digits of a length that is not whole yet
	left    int    // bytes that the packet lacks
	begins  bool   // none of the packet's data has come
	size    int    // of the packet's data
	banded  bool   // packets carry bands
	ended   bool   // the last packet can be the last of all
	foreign bool   // these are no pkt-lines; nothing can be put behind them
}

func (t *tail) Write(b []byte) (int, error) {
	t.follow(b)
	return t.to.Write(b)
}

func (t *tail) follow(b []byte) {
	for len(b) > 0 && !t.foreign {
		if t.left > 0 {
			if t.begins {
				t.begins = false
				first := b[0]
				t.banded = t.banded || first >= 1 && first <= 3 || first == 'p' && t.size == len("packfile\n")
				// A fatal error, and what upload-pack may stop after until it is asked again.
				t.ended = first == 3 || !t.banded && (first == 'E' || first == 'A' || first == 'N')
			}
			n := min(t.left, len(b))
			t.left -= n
			b = b[n:]
			continue
		}
		n := min(4-len(t.length), len(b))
		t.length = append(t.length, b[:n]...)
		b = b[n:]
		if len(t.length) < 4 {
			return
		}
		p, err := readPktLength([4]byte(t.length))
		t.length = t.length[:0]
		switch {
		case err != nil:
			t.foreign = true
		case p < 4:
			t.ended = true
		default:
			t.left, t.size, t.begins, t.ended = p-4, p-4, true, p == 4 && t.ended
		}
	}
}

// say ends the stream with a reason, which git shows as the other side's. It is false when that is not possible.
func (t *tail) say(reason string) bool {
	if t.foreign || len(t.length) > 0 {
		return false
	}
	if _, err := t.to.Write(bytes.Repeat([]byte{' '}, t.left)); err != nil {
		return false
	}
	t.left = 0
	reason = "git-gate: " + plain(reason, maxLastWord)
	if !t.banded {
		_, err := t.to.Write(appendPkt(nil, "ERR "+reason))
		return err == nil
	}
	_, err := band{t.to, 3}.Write([]byte(reason + "\n"))
	return err == nil
}
