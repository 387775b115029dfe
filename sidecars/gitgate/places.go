package gitgate

import (
	"encoding/binary"
	"hash/maphash"
	"slices"
	"strings"
)

const maxPath = 4096 // bytes of a path that are told, those at its end

// places says where the objects of a push are: each at the first path that it has, from the oldest commit on. Paths
// are put together when they are asked for, since a hostile push has many long ones.
type places struct {
	g     *graph
	files map[oid]place
	trees map[oid]int32 // in dirs
	dirs  []directory   // each behind the one that it is in
	full  func(path string) bool
	seed  maphash.Seed
}

// place is where a file is.
type place struct {
	dir   int32
	name  []byte
	hash  uint64 // of the path
	other bool   // it is at another path, too
	full  bool   // and at all of them it is usually full of what looks like a secret
}

// directory is a tree at the first path that it has.
type directory struct {
	in     int32 // -1: it is the root
	commit int32 // in graph.order
	name   []byte
	hash   uint64
	other  bool // it, or one that it is in, is at another path, too
}

// findPlaces walks the directories that are new, each once. wanted says which files are of interest; full says of a
// path that its file is usually full of what looks like a secret; again is told each further path of a file.
func (g *graph) findPlaces(wanted func(id oid) bool, full func(path string) bool, again func(id oid, path string)) *places {
	p := &places{g: g, files: map[oid]place{}, trees: map[oid]int32{}, full: full, seed: maphash.MakeSeed()}
	type found struct {
		id oid
		directory
	}
	for n, c := range g.order {
		stack := []found{{c.tree, directory{in: -1}}}
		for len(stack) > 0 {
			d := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			raw, isNew := g.trees[d.id]
			if !isNew {
				continue
			}
			if i, known := p.trees[d.id]; known {
				p.dirs[i].other = p.dirs[i].other || p.dirs[i].hash != d.hash
				continue
			}
			here := int32(len(p.dirs))
			d.commit = int32(n)
			p.trees[d.id] = here
			p.dirs = append(p.dirs, d.directory)
			eachEntry(raw, func(mode string, name []byte, id oid) { //nolint:errcheck // it was read before
				hash := p.hash(d.hash, name)
				if mode == modeTree {
					stack = append(stack, found{id, directory{in: here, name: name, hash: hash}})
				} else if wanted(id) {
					p.met(id, place{dir: here, name: name, hash: hash}, again)
				}
			})
		}
	}
	for i, d := range p.dirs {
		if d.in >= 0 && p.dirs[d.in].other {
			p.dirs[i].other = true
		}
	}
	return p
}

// met takes one more place of a file.
func (p *places) met(id oid, at place, again func(id oid, path string)) {
	first, known := p.files[id]
	switch {
	case !known:
		p.files[id] = at
		return
	case first.hash == at.hash:
		return
	}
	path := p.path(at.dir, at.name)
	again(id, path)
	if !first.other {
		first.other, first.full = true, p.full(p.path(first.dir, first.name))
	}
	first.full = first.full && p.full(path)
	p.files[id] = first
}

func (p *places) hash(in uint64, name []byte) uint64 {
	var h maphash.Hash
	h.SetSeed(p.seed)
	h.Write(binary.LittleEndian.AppendUint64(nil, in))
	h.Write(name)
	return h.Sum64()
}

// path is that of a name in a directory.
func (p *places) path(dir int32, name []byte) string {
	parts := [][]byte{name}
	size := len(name)
	for ; dir >= 0 && p.dirs[dir].in >= 0 && size <= maxPath; dir = p.dirs[dir].in {
		parts = append(parts, p.dirs[dir].name)
		size += 1 + len(p.dirs[dir].name)
	}
	slices.Reverse(parts)
	var b strings.Builder
	for i, part := range parts {
		if i > 0 {
			b.WriteByte('/')
		}
		b.Write(part)
	}
	if path := b.String(); len(path) <= maxPath {
		return path
	} else {
		return "…" + path[len(path)-maxPath:]
	}
}

// file is where a file is, and in which commit. A file of which no path is known may be at any.
func (p *places) file(id oid) (where, oid) {
	at, known := p.files[id]
	if !known {
		return where{other: true}, oid{}
	}
	dir := p.dirs[at.dir]
	w := where{path: p.path(at.dir, at.name), other: at.other || dir.other, full: at.full || !at.other}
	if dir.other {
		w.full = w.full && p.full(string(at.name))
	}
	return w, p.g.order[dir.commit].id
}

// tree is the path of a directory, with a slash at its end, and the commit in which it is.
func (p *places) tree(id oid) (path string, commit oid) {
	i, known := p.trees[id]
	if !known {
		return "", oid{}
	}
	if d := p.dirs[i]; d.in >= 0 {
		path = p.path(d.in, d.name) + "/"
	}
	return path, p.g.order[p.dirs[i].commit].id
}
