//go:build !linux

package pid1

import (
	"fmt"
	"os"
)

// Run is for Linux, which containers are.
func Run([]string) int {
	fmt.Fprintln(os.Stderr, Name+": this is for containers")
	return cannotExecute
}
