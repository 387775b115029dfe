//go:build !linux

package state

import "os"

// exchange is not offered here: the caller renames.
func exchange(*os.Root, string, string) (done bool, err error) { return false, nil }
