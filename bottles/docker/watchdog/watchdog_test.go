//go:build unix

package watchdog

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

const patience = 90 * time.Second

// programOf names a socket to a test process that is to be a program with two connections to it.
const programOf = "BOTTLE_TEST_WATCHDOG_PROGRAM"

func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == Name {
		os.Exit(Run())
	}
	if path := os.Getenv(programOf); path != "" {
		if err := program(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// program has its connections guarded, lets go of the second, and stays until its input ends.
func program(path string) error {
	var failed error
	dog := New(func(err error) { failed = err })
	defer dog.Close()
	for n := range 2 {
		conn, err := net.Dial("unix", path)
		if err != nil {
			return err
		}
		release := dog.Guard(conn.(*net.UnixConn))
		if n == 1 {
			release()
			release()
		}
		if _, err := io.WriteString(conn, "guarded"); n == 0 && err != nil {
			return err
		}
	}
	_, err := io.Copy(io.Discard, os.Stdin)
	return errors.Join(err, failed)
}

// What a program has guarded ends when the program is stopped, and what it lets go of at once: whatever duplicates there are.
func TestAStoppedProgramHoldsNobodyUp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env, cmd.Stderr = append(os.Environ(), programOf+"="+path), os.Stderr
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	accept := func() net.Conn {
		conn, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	guarded, released := accept(), accept()
	defer guarded.Close()
	defer released.Close()
	if text, err := io.ReadAll(released); err != nil {
		t.Errorf("what was let go of is open: %q, %v", text, err)
	}
	if _, err := io.ReadFull(guarded, make([]byte, len("guarded"))); err != nil {
		t.Fatal(err)
	}
	// While the program lives it is left alone, for longer than one that is stopped is.
	if err := guarded.SetReadDeadline(time.Now().Add((silence + 2) * beat)); err != nil {
		t.Fatal(err)
	}
	if n, err := guarded.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("it ended: %d, %v", n, err)
	}
	if err := errors.Join(guarded.SetReadDeadline(time.Now().Add(patience)), cmd.Process.Signal(syscall.SIGSTOP)); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(guarded); err != nil || len(rest) > 0 {
		t.Errorf("the stopped program still holds it: %q, %v", rest, err)
	}
	if err := errors.Join(cmd.Process.Signal(syscall.SIGCONT), in.Close(), cmd.Wait()); err != nil {
		t.Error(err)
	}
}
