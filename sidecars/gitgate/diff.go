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

// changed is a file that a push changes.
type changed struct{ old, new oid }

// differ finds the files that differ between two directories.
type differ struct {
	ctx   context.Context
	trees map[oid][]byte
	files map[string]changed
	dirs  int  // compared so far
	cut   bool // there is more than was compared
}

type treeEntry struct {
	id   oid
	mode string
}

func (d *differ) read(id oid) map[string]treeEntry {
	m := map[string]treeEntry{}
	eachEntry(d.trees[id], func(mode string, name []byte, id oid) { m[string(name)] = treeEntry{id, mode} }) //nolint:errcheck // it was read before
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
			c.old = x.id
		}
		if y.mode == modeTree {
			dirs[1] = y.id
		} else {
			c.new = y.id
		}
		if c != (changed{}) {
			d.files[path+n] = c
		}
		d.walk(dirs[0], dirs[1], path+n+"/", deep+1)
	}
}
