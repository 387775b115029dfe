package gitrepo

import (
	"encoding/binary"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// packIndex is the index of a pack, in git's second version: gitformat-pack(5).
type packIndex struct {
	file   *os.File
	fanout [256]uint32
	idLen  int
}

const packHeader = 8 // bytes of magic and version in front of the fan-out table

// openPacks opens the indexes of the packs that were copied and are still there.
func (r *Repo) openPacks(copied func(name string) bool) (out []*packIndex, err error) {
	for _, dir := range r.objects {
		list, err := os.ReadDir(filepath.Join(dir, "pack"))
		if err != nil {
			if err := gone(err); err != nil {
				return out, err
			}
			continue
		}
		for _, e := range list {
			if !strings.HasSuffix(e.Name(), ".idx") || !copied("objects/pack/"+e.Name()) {
				continue
			}
			f, err := os.OpenFile(filepath.Join(dir, "pack", e.Name()), openFlags, 0)
			if err := gone(err); err != nil {
				return out, err
			}
			if err != nil {
				continue // it was packed anew; the next look finds the other one
			}
			p := &packIndex{file: f, idLen: r.idLen}
			if !p.read() {
				f.Close()
				continue
			}
			out = append(out, p)
		}
	}
	return out, nil
}

// read reads the fan-out table.
func (p *packIndex) read() bool {
	var head [packHeader + 4*256]byte
	if _, err := p.file.ReadAt(head[:], 0); err != nil || string(head[:8]) != "\xfftOc\x00\x00\x00\x02" {
		return false
	}
	for i := range p.fanout {
		p.fanout[i] = binary.BigEndian.Uint32(head[packHeader+4*i:])
	}
	return true
}

// has says whether an object is in the pack.
func (p *packIndex) has(id string) bool {
	want, err := hex.DecodeString(id)
	if err != nil || len(want) != p.idLen {
		return false
	}
	low, high := uint32(0), p.fanout[want[0]]
	if want[0] > 0 {
		low = p.fanout[want[0]-1]
	}
	got := make([]byte, p.idLen)
	for low < high {
		mid := low + (high-low)/2
		if _, err := p.file.ReadAt(got, packHeader+4*256+int64(mid)*int64(p.idLen)); err != nil {
			return false
		}
		switch c := strings.Compare(string(got), string(want)); {
		case c == 0:
			return true
		case c < 0:
			low = mid + 1
		default:
			high = mid
		}
	}
	return false
}

// Mark tells one state of a file from another.
type Mark struct {
	mtime, size int64
	inode       uint64 // 0 where there is none
}

// MarkOf is the mark of a file as it is.
func MarkOf(info fs.FileInfo) Mark {
	m := Mark{mtime: info.ModTime().UnixNano(), size: info.Size()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		m.inode = uint64(st.Ino)
	}
	return m
}
