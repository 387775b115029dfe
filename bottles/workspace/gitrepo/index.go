package gitrepo

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
	"slices"
)

var errIndex = errors.New("it is not a git index of a version that is known here")

// hostExtensions are the parts of an index that hold for the host alone, its paths among them: the untracked cache and
// the file system monitor's. The other two say where parts are, and are wrong once one is taken out.
var hostExtensions = []string{"UNTR", "FSMN", "EOIE", "IEOT"}

// eachEntry reads the entries of an index, in the format of git's gitformat-index(5), tells fn their paths, and gives the
// offset of what follows them. idLen is the length of an object's name in bytes.
func eachEntry(index []byte, idLen int, fn func(path []byte)) (int, error) {
	if len(index) < 12+idLen || string(index[:4]) != "DIRC" {
		return 0, errIndex
	}
	version, count := binary.BigEndian.Uint32(index[4:]), binary.BigEndian.Uint32(index[8:])
	if version < 2 || version > 4 {
		return 0, errIndex
	}
	at, body := 12, index[:len(index)-idLen]
	var name []byte
	for range count {
		fixed := 40 + idLen + 2
		if at+fixed > len(body) {
			return 0, errIndex
		}
		if version >= 3 && binary.BigEndian.Uint16(body[at+fixed-2:])&0x4000 != 0 {
			fixed += 2
		}
		rest := body[min(at+fixed, len(body)):]
		if version == 4 {
			strip, n := prefixLength(rest)
			if n == 0 || strip > len(name) {
				return 0, errIndex
			}
			end := bytes.IndexByte(rest[n:], 0)
			if end < 0 {
				return 0, errIndex
			}
			name = append(name[:len(name)-strip], rest[n:n+end]...)
			at += fixed + n + end + 1
		} else {
			end := bytes.IndexByte(rest, 0)
			if end < 0 {
				return 0, errIndex
			}
			name = append(name[:0], rest[:end]...)
			at += (fixed + end + 8) &^ 7
		}
		if fn != nil {
			fn(name)
		}
	}
	if at > len(body) {
		return 0, errIndex
	}
	return at, nil
}

// prefixLength reads git's offset encoding: a number, and how many bytes it took; none: it is broken.
func prefixLength(b []byte) (value, n int) {
	for n < len(b) && n < 5 {
		c := b[n]
		n++
		value += int(c & 0x7f)
		if c&0x80 == 0 {
			return value, n
		}
		value = (value + 1) << 7
	}
	return 0, 0
}

// portableIndex is an index without what holds for the host alone. An index without such parts is given as it is.
func portableIndex(index []byte, idLen int) ([]byte, error) {
	at, err := eachEntry(index, idLen, nil)
	if err != nil {
		return nil, err
	}
	end := len(index) - idLen
	out := append([]byte{}, index[:at]...)
	host := false
	var kept []byte
	for at < end {
		if at+8 > end {
			return nil, errIndex
		}
		next := at + 8 + int(binary.BigEndian.Uint32(index[at+4:]))
		if next > end || next < at {
			return nil, errIndex
		}
		switch kind := string(index[at : at+4]); {
		case kind == "UNTR" || kind == "FSMN":
			host = true
		case slices.Contains(hostExtensions, kind):
		default:
			kept = append(kept, index[at:next]...)
		}
		at = next
	}
	if !host {
		return index, nil
	}
	out = append(out, kept...)
	trailer := make([]byte, idLen)
	if !bytes.Equal(index[end:], trailer) { // of zeros: index.skipHash
		var h hash.Hash = sha1.New()
		if idLen == sha256.Size {
			h = sha256.New()
		}
		h.Write(out)
		trailer = h.Sum(trailer[:0])
	}
	return append(out, trailer...), nil
}
