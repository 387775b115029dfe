package credproxy

import (
	"encoding/base64"
	"math/rand/v2"
	"testing"
)

// BenchmarkRedact measures the search for a credential in bytes at random, and in base64, in which its own letters
// occur.
func BenchmarkRedact(b *testing.B) {
	hidden := newRedaction(SchemeBasic, "glpat-0123456789abcdefghij")
	noise := make([]byte, 96<<10)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	for _, c := range []struct {
		name string
		body []byte
	}{{"random", noise}, {"base64", []byte(base64.StdEncoding.EncodeToString(noise))}} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(c.body)))
			for b.Loop() {
				hidden.mask(c.body)
			}
		})
	}
}
