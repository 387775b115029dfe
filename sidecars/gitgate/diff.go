package gitgate

import (
	"context"
	"maps"
	"slices"
)

// Bounds on the comparison of two directories. A few small trees that hold one another many times over are a
// directory with more files than there are atoms.
const (
	maxDiffFiles = 10_000
	maxDiffDirs  = 20_000
	maxDiffDeep  = 256
)

// kindOf is a mode in a word, as in sidecars.PushFile.
func kindOf(mode string) string {
	switch mode {
	case modeExecutable:
		return "executable"
	case modeSymlink:
		return "link"
	case modeSubmodule:
		return "submodule"
	}
	return ""
}

type treeEntry struct {
	id   oid
	mode string
}

// changed is a file that a push changes. A side without a mode is not there.
type changed struct{ old, new treeEntry }

// differ finds the files that differ between two directories.
type differ struct {
	ctx     context.Context
	trees   map[oid][]byte
	files   map[string]changed
	dirs    int          // compared so far
	cut     bool         // there is more than was compared
	lacking map[oid]bool // directories that are not known
	only    map[oid]bool // not nil: the only files that count; directories may be lacking then
	unseen  bool         // it is not whole
	twice   bool         // the upstream has a directory with a name that is there twice, one of which was not compared
}

// emptyTree is the directory without anything, which every repository has without holding it.
var emptyTree = func() oid {
	id, _ := parseOid("4b825dc642cb6eb9a060e54bf8d69288fbee4904")
	return id
}()

func (d *differ) read(id oid) map[string]treeEntry {
	m := map[string]treeEntry{}
	if id.none() || id == emptyTree {
		return m
	}
	raw, known := d.trees[id]
	if !known && d.only == nil {
		if d.lacking == nil {
			d.lacking = map[oid]bool{}
		}
		d.lacking[id] = true
	}
	eachEntry(raw, func(mode string, name []byte, id oid) { //nolint:errcheck // it was read before
		_, known := m[string(name)]
		d.twice = d.twice || known
		m[string(name)] = treeEntry{id, mode}
	})
	return m
}

// compare compares what is at path, a directory with a slash at its end. None of a directory is the oid of zeros.
func (d *differ) compare(a, b oid, path string) { d.walk(a, b, path, 0) }

func (d *differ) walk(a, b oid, path string, deep int) {
	if a == b || d.cut {
		return
	}
	if d.dirs++; d.dirs > maxDiffDirs || deep > maxDiffDeep || len(d.files) >= maxDiffFiles || len(path) > maxPath || d.ctx.Err() != nil {
		d.cut = true
		return
	}
	before, after := d.read(a), d.read(b)
	names := slices.Collect(maps.Keys(before))
	for n := range after {
		if _, both := before[n]; !both {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	for _, n := range names {
		x, y := before[n], after[n]
		if x == y {
			continue
		}
		var c changed
		var dirs [2]oid
		if x.mode == modeTree {
			dirs[0] = x.id
		} else {
			c.old = x
		}
		if y.mode == modeTree {
			dirs[1] = y.id
		} else {
			c.new = y
		}
		if c != (changed{}) && (d.only == nil || d.only[c.new.id]) {
			d.files[path+n] = c
		}
		d.walk(dirs[0], dirs[1], path+n+"/", deep+1)
	}
}
