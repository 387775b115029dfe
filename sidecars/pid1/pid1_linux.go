package pid1

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// Run starts the program args[0] with its arguments, the environment and the standard streams of this process, and gives
// its exit code once it ended: 128 and the signal's number where a signal ended it. The program has a session of its own,
// and the terminal if there is one, as if it had been the first process itself.
func Run(args []string) int {
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		fmt.Fprintln(os.Stderr, Name+": no program to run")
		return cannotExecute
	}
	path, err := exec.LookPath(args[0])
	if errors.Is(err, exec.ErrDot) { // an image may mean its working directory
		err = nil
	}
	if err != nil {
		return failed(args[0], err)
	}
	attr := &syscall.ProcAttr{Env: os.Environ(), Files: []uintptr{0, 1, 2}, Sys: &syscall.SysProcAttr{Setsid: true, Setctty: releaseTerminal()}}
	ended, signals := make(chan os.Signal, 1), make(chan os.Signal, 128)
	signal.Notify(ended, syscall.SIGCHLD)
	signal.Notify(signals)
	child, err := syscall.ForkExec(path, args, attr)
	if err != nil {
		return failed(path, err)
	}
	for {
		select {
		case <-ended:
			if code, ours := reap(child); ours {
				return code
			}
		case got := <-signals:
			switch got {
			case syscall.SIGCHLD, syscall.SIGURG, syscall.SIGPIPE: // seen to above, or Go's own
			default:
				_ = syscall.Kill(child, got.(syscall.Signal)) // it has ended if it can't be told
			}
		}
	}
}

func failed(program string, err error) int {
	fmt.Fprintf(os.Stderr, "%s: run %s: %v\n", Name, program, err)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, exec.ErrNotFound) {
		return notFound
	}
	return cannotExecute
}

// releaseTerminal gives up the terminal that the first process has, so that the program can have it, and says whether
// there is one. The kernel tells the terminal's processes of that with a SIGHUP: this one.
func releaseTerminal() bool {
	if _, err := unix.IoctlGetInt(0, unix.TIOCGPGRP); err != nil {
		return false
	}
	signal.Ignore(syscall.SIGHUP, syscall.SIGCONT)
	return unix.IoctlSetInt(0, unix.TIOCNOTTY, 0) == nil
}

// reap takes in all processes that have ended, and says how the program did if it is among them.
func reap(child int) (code int, ended bool) {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil || pid <= 0:
			return code, ended
		case pid == child && status.Signaled():
			code, ended = 128+int(status.Signal()), true
		case pid == child:
			code, ended = status.ExitStatus(), true
		}
	}
}
