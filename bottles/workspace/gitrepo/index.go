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

var (
	errIndex = errors.New("it is not a git index of a version that is known here")
	errSplit = errors.New("its index is split (git update-index --no-split-index mends it)")
)

// hostExtensions are the parts of an index that hold for the host alone, its paths among them: the untracked cache and
// the file system monitor's. The other two say where parts are, and are wrong once one is taken out.
var hostExtensions = []string{"UNTR", "FSMN", "EOIE", "IEOT"}

// indexEntry is one entry of an index: where it is in it, and what of it is needed here.
type indexEntry struct {
	from, flags, name, to int // offsets: of the entry, its flags, what follows them, and its end
	path                  []byte
}

// eachEntry reads the entries of an index, in the format of git's gitformat-index(5), and tells fn of each; what it tells
// holds until fn returns. It gives the offset of what follows them. idLen is the length of an object's name in bytes.
func eachEntry(index []byte, idLen int, fn func(indexEntry)) (int, error) {
	if len(index) < 12+idLen || string(index[:4]) != "DIRC" {
		return 0, errIndex
	}
	version, count := binary.BigEndian.Uint32(index[4:]), binary.BigEndian.Uint32(index[8:])
	if version < 2 || version > 4 {
		return 0, errIndex
	}
	e, body := indexEntry{to: 12}, index[:len(index)-idLen]
	for range count {
		e.from = e.to
		e.flags = e.from + 40 + idLen
		e.name = e.flags + 2
		if e.name > len(body) {
			return 0, errIndex
		}
		if binary.BigEndian.Uint16(body[e.flags:])&extended != 0 {
			if e.name += 2; version == 2 {
				return 0, errIndex // that version has no more flags
			}
		}
		rest := body[min(e.name, len(body)):]
		if version == 4 {
			strip, n := prefixLength(rest)
			if n == 0 || strip > len(e.path) {
				return 0, errIndex
			}
			end := bytes.IndexByte(rest[n:], 0)
			if end < 0 {
				return 0, errIndex
			}
			e.path = append(e.path[:len(e.path)-strip], rest[n:n+end]...)
			e.to = e.name + n + end + 1
		} else {
			end := bytes.IndexByte(rest, 0)
			if end < 0 {
				return 0, errIndex
			}
			e.path = append(e.path[:0], rest[:end]...)
			e.to = e.from + (e.name-e.from+end+8)&^7
		}
		if e.to > len(body) {
			return 0, errIndex
		}
		if fn != nil {
			fn(e)
		}
	}
	return e.to, nil
}

const extensionHeader = 8 // bytes of an extension's name and length in front of what is in it

// eachExtension tells fn the parts of an index that follow its entries, from the offset at on: what each is called, and
// all of it with its header. index is without its checksum.
func eachExtension(index []byte, at int, fn func(kind string, whole []byte) error) error {
	for at < len(index) {
		if at+extensionHeader > len(index) {
			return errIndex
		}
		next := at + extensionHeader + int(binary.BigEndian.Uint32(index[at+4:]))
		if next > len(index) || next < at+extensionHeader {
			return errIndex
		}
		if err := fn(string(index[at:at+4]), index[at:next]); err != nil {
			return err
		}
		at = next
	}
	return nil
}

// The bits of an entry's flags that are needed here: that more flags follow, among those that the file is not in the
// worktree, and that there is a conflict about it.
const (
	extended     = 0x4000
	skipWorktree = 0x4000
	stage        = 0x3000
)

// sparseEntries are the header and the entries of an index, with those marked as not in the worktree that are not below
// a directory, which ends with a slash.
func sparseEntries(index []byte, idLen int, below string) ([]byte, error) {
	out := append(make([]byte, 0, len(index)+len(index)/16), index[:12]...)
	version := binary.BigEndian.Uint32(index[4:])
	if version == 2 {
		binary.BigEndian.PutUint32(out[4:], 3)
	}
	_, err := eachEntry(index, idLen, func(e indexEntry) {
		flags := binary.BigEndian.Uint16(index[e.flags:])
		if bytes.HasPrefix(e.path, []byte(below)) || flags&stage != 0 {
			out = append(out, index[e.from:e.to]...)
			return
		}
		begin := len(out)
		out = append(out, index[e.from:e.flags]...)
		more := uint16(skipWorktree)
		if e.name-e.flags == 4 {
			more |= binary.BigEndian.Uint16(index[e.flags+2:])
		}
		out = binary.BigEndian.AppendUint16(out, flags|extended)
		out = binary.BigEndian.AppendUint16(out, more)
		if version == 4 {
			out = append(out, index[e.name:e.to]...)
			return
		}
		out = append(out, e.path...)
		out = append(out, make([]byte, 8-(len(out)-begin)&7)...)
	})
	return out, err
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

// portableIndex is an index without what holds for the host alone. below is "", or the one directory that is copied of the
// repository's files, with a slash at its end. An index in which nothing is to be changed is given as it is.
func portableIndex(index []byte, idLen int, below string) ([]byte, error) {
	at, err := eachEntry(index, idLen, nil)
	if err != nil {
		return nil, err
	}
	end := len(index) - idLen
	changes := below != ""
	var kept []byte
	err = eachExtension(index[:end], at, func(kind string, whole []byte) error {
		switch {
		case kind == "UNTR" || kind == "FSMN":
			changes = true
		case kind == "link" && below != "":
			return errSplit
		case slices.Contains(hostExtensions, kind):
		default:
			kept = append(kept, whole...)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if !changes {
		return index, nil
	}
	out := append([]byte{}, index[:at]...)
	if below != "" {
		if out, err = sparseEntries(index, idLen, below); err != nil {
			return nil, err
		}
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
