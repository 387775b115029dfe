package gitgate

import (
	"bytes"
	"strings"
	"testing"
)

// Wherever a stream of pkt-lines ends, what is said behind it is read as pkt-lines.
func FuzzTail(f *testing.F) {
	line := func(s string) string { return string(appendPkt(nil, s)) }
	v2 := line("packfile\n") + line("\x02counting\n") + line("\x01PACK data") + flushPkt
	for _, s := range []string{"", v2, line("NAK\n"), line("version 2\n") + "0001" + line("x") + "0002", "PACK", "0003", "000"} {
		for _, n := range []int{0, 5, 20, 30, 50} {
			f.Add([]byte(s), n, 7)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, end, step int) {
		b = b[:min(len(b), max(0, end))]
		var out bytes.Buffer
		to := &tail{to: &out}
		for rest := b; len(rest) > 0; {
			n := min(len(rest), max(1, step))
			to.Write(rest[:n])
			rest = rest[n:]
		}
		if !bytes.Equal(out.Bytes(), b) {
			t.Fatal("it was changed on the way")
		}
		if !to.say("a reason") {
			return
		}
		all, last := bytes.NewReader(out.Bytes()), ""
		for all.Len() > 0 {
			p, err := readPkt(all)
			if err != nil {
				t.Fatalf("%q: %v", out.Bytes(), err)
			}
			last = string(p.data)
		}
		if !strings.HasSuffix(strings.TrimSpace(last), "git-gate: a reason") {
			t.Errorf("%q ends in %q", out.Bytes(), last)
		}
	})
}
