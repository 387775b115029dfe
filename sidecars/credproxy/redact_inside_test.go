package credproxy

import (
	"bytes"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
)

// However a body comes in pieces, what is found in it is the same as by a plain search, and the number of bytes that
// are held back depends on nothing that is in it.
func TestRedactedBodyInPieces(t *testing.T) {
	const token = "abababc-token-ababab"
	hidden := newRedaction(SchemeBearer, token)
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		var body, want strings.Builder
		for range random.IntN(12) {
			switch n := random.IntN(len(token)); random.IntN(3) {
			case 0:
				form := hidden.forms[random.IntN(len(hidden.forms))]
				body.WriteString(form)
				want.WriteString(strings.Repeat("*", len(form)))
			case 1: // a beginning alone
				body.WriteString(token[:n] + "\n")
				want.WriteString(token[:n] + "\n")
			default:
				filler := strings.Repeat(".", random.IntN(3*hidden.longest))
				body.WriteString(filler)
				want.WriteString(filler)
			}
		}
		for _, piece := range []io.Reader{
			strings.NewReader(body.String()), iotest.OneByteReader(strings.NewReader(body.String())),
			iotest.HalfReader(strings.NewReader(body.String())), iotest.DataErrReader(strings.NewReader(body.String())),
		} {
			r := &redactedBody{ReadCloser: io.NopCloser(piece), r: hidden, found: func() {}}
			var got bytes.Buffer
			if _, err := io.CopyBuffer(struct{ io.Writer }{&got}, r, make([]byte, hidden.longest+random.IntN(200))); err != nil {
				t.Fatal(err)
			}
			if got.String() != want.String() {
				t.Fatalf("%q\n%q, not\n%q", body.String(), got.String(), want.String())
			}
		}
	}
	for _, sent := range []string{strings.Repeat(".", 500), strings.Repeat(token[:7], 100)[:500], strings.Repeat(token[1:], 100)[:500]} {
		in, out := io.Pipe()
		go out.Write([]byte(sent))
		n, err := (&redactedBody{ReadCloser: in, r: hidden, found: func() {}}).Read(make([]byte, 4096))
		if n != 500-hidden.longest+1 || err != nil {
			t.Errorf("%d bytes of 500 came at once, not %d: %v", n, 500-hidden.longest+1, err)
		}
		in.Close()
	}
}

// A credential that is too short to be looked for is found where it stands alone, and ordinary text stays.
func TestShortCredential(t *testing.T) {
	hidden := newRedaction(SchemeBearer, "abc")
	h := map[string][]string{"X-A": {"abc"}, "X-B": {"Bearer abc"}, "X-C": {"abcd", "xabc", "the abc of it"}, "X-D": {"%61bc"}}
	hidden.header(h)
	if len(h) != 1 || len(h["X-C"]) != 3 {
		t.Errorf("%v", h)
	}
	if hidden := newRedaction(SchemeBasic, "sk_live_0123456789:"); hidden.text("key sk_live_0123456789.") != "key ******************." {
		t.Error("a token in the place of the user is not found")
	}
	if hidden := newRedaction(SchemeBearer, "Abc-Token-Value"); !hidden.header(map[string][]string{"X-Abc-Token-Value": {"1"}}) {
		t.Error("a header's name holds the credential")
	}
}
