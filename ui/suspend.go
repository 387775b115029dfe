package ui

import (
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	tea "charm.land/bubbletea/v2"
	"golang.org/x/sys/unix"
)

// suspendMsg is the wish of somebody outside (SIGTSTP) that the program stops for a while.
type suspendMsg struct{}

// suspend lets go of the agents' terminals, which nobody would read, and stops the program until the shell goes on with
// it. The agents go on.
func (m *model) suspend() tea.Cmd {
	if !m.o.suspendable() {
		m.notes.info(m.o.now(), "it can't be suspended: no shell would go on with it")
		return nil
	}
	pause := m.pause
	return func() tea.Msg {
		m.o.Supervisor.ReleaseTerminals()
		pause()
		m.o.Supervisor.RetakeTerminals()
		return nil
	}
}

// pause gives the terminal back and stops the process group, as the terminal's own key would, until the shell goes on with
// it. It is SIGSTOP, since SIGTSTP is heard here, and the Go runtime then never gives that back its default.
func pause(program *tea.Program) {
	if program.ReleaseTerminal() != nil {
		return
	}
	on := make(chan os.Signal, 1)
	signal.Notify(on, syscall.SIGCONT)
	defer signal.Stop(on)
	if syscall.Kill(0, syscall.SIGSTOP) == nil {
		<-on
	}
	_ = program.RestoreTerminal()
}

// hasShell says whether there is a shell with job control that goes on with this process once it is stopped: its process
// group is not orphaned (POSIX, General Information, 3.264), for which no stop signal of the terminal is meant.
func hasShell() bool {
	ours := unix.Getpgrp()
	session, err := unix.Getsid(0)
	if err != nil {
		return false
	}
	parent := os.Getppid()
	for { // a script may stand between the shell and this process, in its group
		group, err := unix.Getpgid(parent)
		if err != nil {
			return false
		}
		if group != ours {
			break
		}
		if parent = parentOf(parent); parent <= 0 {
			return false
		}
	}
	theirs, err := unix.Getsid(parent)
	return err == nil && theirs == session
}

// parentOf is the parent of a process as /proc tells it; 0 where it does not.
func parentOf(pid int) int {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(stat[strings.LastIndexByte(string(stat), ')')+1:]), " ")
	if fields := strings.Fields(rest); len(fields) > 1 {
		parent, _ := strconv.Atoi(fields[1])
		return parent
	}
	return 0
}

// terminalInput is the terminal as it is typed into. Where it goes away and no SIGHUP comes, as with sudo and some IDEs,
// reading fails for ever; gone is told so.
type terminalInput struct {
	*os.File
	gone func()
}

func (t terminalInput) Read(p []byte) (int, error) {
	n, err := t.File.Read(p)
	if n == 0 && err != nil {
		t.gone()
	}
	return n, err
}

// heedStops has the program suspended at a SIGTSTP from outside, until end is closed.
func heedStops(send func(tea.Msg), end <-chan struct{}) {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTSTP)
	defer signal.Stop(asked)
	for {
		select {
		case <-asked:
			send(suspendMsg{})
		case <-end:
			return
		}
	}
}
