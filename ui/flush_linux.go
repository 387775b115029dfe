package ui

import (
	"os"

	"golang.org/x/sys/unix"
)

// dropInput drops what was typed or answered and not read: an answer of the terminal's to a question of ours would be the
// shell's next command.
func dropInput() { _ = unix.IoctlSetInt(int(os.Stdin.Fd()), unix.TCFLSH, unix.TCIFLUSH) }
