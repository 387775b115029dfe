//go:build !linux

package bottles

// fileSystemOf names the file system that a path is on, for people.
func fileSystemOf(string) string { return "of unknown kind" }
