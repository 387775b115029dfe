//go:build unix

package watchdog

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// What a message is, its first byte; the number of a connection follows.
const (
	alive  = iota // a sign of life
	guard         // the descriptor that comes with it is of that connection
	forget        // forget that connection
)

// size is that of a message, in bytes. Each is written, and read, as one.
const size = 9

func message(what byte, n uint64) []byte { return binary.BigEndian.AppendUint64([]byte{what}, n) }

// Watchdog is this program's side. Make it with New.
type Watchdog struct {
	log func(error)

	mu      sync.Mutex
	process *net.UnixConn // nil: not started, or lost
	lost    bool          // there is none, and no other is started
	last    uint64
	held    map[uint64]bool
}

// New makes a Watchdog whose process is this program's executable, called Name. It is started when there is something to
// guard, and ends with this program, however that ends. log is told once when there can be none: then nothing is guarded.
func New(log func(error)) *Watchdog { return &Watchdog{log: log, held: map[uint64]bool{}} }

func start() (*net.UnixConn, error) {
	path := "/proc/self/exe" // also when its file was replaced
	if runtime.GOOS != "linux" {
		var err error
		if path, err = os.Executable(); err != nil {
			return nil, err
		}
	}
	syscall.ForkLock.RLock()
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(pair[0])
		syscall.CloseOnExec(pair[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, err
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "watchdog"), os.NewFile(uintptr(pair[1]), "program")
	defer ours.Close() // conn has its own
	defer theirs.Close()
	conn, err := net.FileConn(ours)
	if err != nil {
		return nil, err
	}
	cmd := &exec.Cmd{Path: path, Args: []string{Name}, Dir: "/", ExtraFiles: []*os.File{theirs}, SysProcAttr: &syscall.SysProcAttr{Setsid: true}}
	if err := cmd.Start(); err != nil {
		conn.Close()
		return nil, err
	}
	go func() { _ = cmd.Wait() }() // so that no zombie is left; it ends when conn does
	return conn.(*net.UnixConn), nil
}

// Guard has a connection ended when this program is stopped. release ends the connection itself, which a duplicate would
// keep open otherwise, and may be called more than once.
func (w *Watchdog) Guard(conn syscall.Conn) (release func()) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return func() {}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.ready() {
		return func() {}
	}
	w.last++
	n := w.last
	err = raw.Control(func(fd uintptr) { w.send(message(guard, n), syscall.UnixRights(int(fd))) })
	if err != nil || w.process == nil {
		return func() {}
	}
	w.held[n] = true
	if len(w.held) == 1 {
		go w.beat()
	}
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if !w.held[n] {
			return
		}
		delete(w.held, n)
		_ = raw.Control(func(fd uintptr) { _ = syscall.Shutdown(int(fd), syscall.SHUT_RDWR) }) // it may be closed already
		w.send(message(forget, n), nil)
	}
}

// ready starts the process where there is none.
func (w *Watchdog) ready() bool {
	if w.process == nil && !w.lost {
		process, err := start()
		if err != nil {
			w.fail(err)
		}
		w.process = process
	}
	return w.process != nil
}

// send writes a message. A process that does not take it is given up: it ends, and all it guarded goes on unguarded.
func (w *Watchdog) send(message, rights []byte) {
	if w.process == nil {
		return
	}
	err := w.process.SetWriteDeadline(time.Now().Add(beat))
	if err == nil {
		_, _, err = w.process.WriteMsgUnix(message, rights, nil)
	}
	if err != nil {
		w.process.Close()
		w.process = nil
		w.fail(err)
	}
}

func (w *Watchdog) fail(err error) {
	w.lost = true
	w.log(fmt.Errorf("the watchdog (%s) can't be had: an agent stands still while this program is stopped: %w", Name, err))
}

// beat gives signs of life while something is guarded.
func (w *Watchdog) beat() {
	for range time.Tick(beat) {
		w.mu.Lock()
		w.send(message(alive, 0), nil)
		on := len(w.held) > 0 && w.process != nil
		w.mu.Unlock()
		if !on {
			return
		}
	}
}

// Close ends the process. What is guarded then goes on unguarded.
func (w *Watchdog) Close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lost = true
	if w.process != nil {
		w.process.Close()
		w.process = nil
	}
}

// Run is the watchdog's process: until the program that started it ends.
func Run() int {
	conn, err := net.FileConn(os.NewFile(3, "program"))
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: is started by bottle-tui itself: %v\n", Name, err)
		return 2
	}
	program, ok := conn.(*net.UnixConn)
	if !ok {
		return 2
	}
	watch(program)
	return 0
}

// watch holds what it is given, until the connection to the program ends.
func watch(program *net.UnixConn) {
	var mu sync.Mutex
	held, silent := map[uint64]int{}, 0
	done := make(chan struct{})
	defer close(done)
	go func() {
		ticks := time.NewTicker(beat)
		defer ticks.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticks.C: // ticks are counted, not the time: this process may have been stopped as well
			}
			mu.Lock()
			if silent++; silent > silence {
				for n, fd := range held {
					_ = syscall.Shutdown(fd, syscall.SHUT_RDWR)
					_ = syscall.Close(fd)
					delete(held, n)
				}
			}
			mu.Unlock()
		}
	}()
	p, rights := make([]byte, size), make([]byte, syscall.CmsgSpace(4))
	for {
		n, rightsN, _, _, err := program.ReadMsgUnix(p, rights)
		if err != nil || n != size {
			return
		}
		number := binary.BigEndian.Uint64(p[1:])
		mu.Lock()
		silent = 0
		switch p[0] {
		case guard:
			for _, fd := range received(rights[:rightsN]) {
				held[number] = fd
			}
		case forget:
			if fd, ok := held[number]; ok {
				_ = syscall.Close(fd)
				delete(held, number)
			}
		}
		mu.Unlock()
	}
}

// received are the descriptors that came with a message.
func received(rights []byte) (all []int) {
	messages, err := syscall.ParseSocketControlMessage(rights)
	if err != nil {
		return nil
	}
	for _, m := range messages {
		if fds, err := syscall.ParseUnixRights(&m); err == nil {
			all = append(all, fds...)
		}
	}
	return all
}
