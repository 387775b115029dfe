package gitgate

import (
	"bytes"
	"fmt"
	"strings"
)

// The modes of what a directory holds, as git reads them: canon_mode in its cache.h. However one is written, it is
// one of these.
const (
	modeTree       = "40000"
	modeFile       = "100644"
	modeExecutable = "100755"
	modeSymlink    = "120000"
	modeSubmodule  = "160000" // a commit of another repository: a submodule
)

// eachEntry calls f for each entry of a raw tree.
func eachEntry(raw []byte, f func(mode string, name []byte, id oid)) error {
	for len(raw) > 0 {
		written, rest, ok := bytes.Cut(raw, []byte(" "))
		name, rest, ok2 := bytes.Cut(rest, []byte{0})
		mode, ok3 := canonical(written)
		if !ok || !ok2 || !ok3 || len(rest) < len(oid{}) {
			return refuse("a directory of the push is not in git's form")
		}
		f(mode, name, oid(rest[:len(oid{})]))
		raw = rest[len(oid{}):]
	}
	return nil
}

// canonical is what git takes a written mode for.
func canonical(written []byte) (mode string, ok bool) {
	if len(written) == 0 || len(written) > 7 {
		return "", false
	}
	bits := 0
	for _, c := range written {
		if c < '0' || c > '7' {
			return "", false
		}
		bits = bits<<3 | int(c-'0')
	}
	switch bits & 0o170000 {
	case 0o100000:
		if bits&0o100 != 0 {
			return modeExecutable, true
		}
		return modeFile, true
	case 0o120000:
		return modeSymlink, true
	case 0o040000:
		return modeTree, true
	}
	return modeSubmodule, true
}

// checkTree refuses what git itself never makes of a directory, and what one reader of it would take for something
// else than another: names that are no names of files, names that are there twice, and another order than git's.
func checkTree(id oid, raw []byte) error {
	var before []byte // the name of the last entry, with what git puts behind it to compare
	// Files with whose names the names from there on begin: a directory of that name may still come.
	var files [][]byte
	var bad error
	err := eachEntry(raw, func(mode string, name []byte, _ oid) {
		if bad != nil {
			return
		}
		wrong := func(format string, a ...any) {
			bad = refuse("the directory %s %s", id, fmt.Sprintf(format, a...)).
				with("git itself makes no such directory, and programs read it in different ways. Make the commit anew with git add and git commit.")
		}
		switch word := string(name); {
		case word == "" || word == "." || word == ".." || strings.EqualFold(word, ".git") || strings.Contains(word, "/"):
			wrong("holds the name %q, which no file can have", plain(word, 100))
			return
		}
		for len(files) > 0 && !bytes.HasPrefix(name, files[len(files)-1]) {
			files = files[:len(files)-1]
		}
		end := byte(0)
		if mode == modeTree {
			end = '/'
		}
		full := append(name[:len(name):len(name)], end)
		switch {
		case before != nil && bytes.Equal(before[:len(before)-1], name) || len(files) > 0 && bytes.Equal(files[len(files)-1], name):
			wrong("holds the name %q twice", plain(string(name), 100))
		case before != nil && bytes.Compare(before, full) > 0:
			wrong("is not in git's order")
		}
		if before = full; mode != modeTree {
			files = append(files, name)
		}
	})
	if err != nil {
		return err
	}
	return bad
}
