package docker

import (
	"bufio"
	"encoding/binary"
	"io"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"math/bits"
)

// maxRoutes bounds how many routes are read.
const maxRoutes = 100_000

// hostRoutes are the networks that this machine has a route to, from /proc/net/route (format: proc(5);
// addresses in the machine's byte order, in hexadecimal).
func hostRoutes() []netip.Prefix {
	f, err := os.Open("/proc/net/route")
	if err != nil {
		return nil // the engine still refuses what overlaps its own
	}
	defer f.Close()
	return readRoutes(f)
}

func readRoutes(r io.Reader) []netip.Prefix {
	var out []netip.Prefix
	for s := bufio.NewScanner(r); s.Scan() && len(out) < maxRoutes; {
		f := strings.Fields(s.Text())
		if len(f) < 8 {
			continue
		}
		to, err1 := strconv.ParseUint(f[1], 16, 32)
		mask, err2 := strconv.ParseUint(f[7], 16, 32)
		if err1 != nil || err2 != nil {
			continue // the heading
		}
		var a [4]byte
		binary.NativeEndian.PutUint32(a[:], uint32(to))
		out = append(out, netip.PrefixFrom(netip.AddrFrom4(a), bits.OnesCount32(uint32(mask))).Masked())
	}
	return out
}
