// Command probe is what the test images run: it tells what it sees of its container and does what
// the tests want to watch. It is built static, for images FROM scratch.
package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/term"
)

func main() {
	if len(os.Args) < 2 {
		os.Exit(2)
	}
	args := os.Args[2:]
	switch os.Args[1] {
	case "wait": // until SIGTERM
		wait("ready")
		fmt.Println("asked to end")
	case "stubborn": // does not end on SIGTERM
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("ready")
		forever()
	case "exit":
		code, _ := strconv.Atoi(args[0])
		os.Exit(code)
	case "print": // both streams, in turn
		n, _ := strconv.Atoi(args[0])
		for i := range n {
			fmt.Fprintf(os.Stdout, "out %d\n", i)
			fmt.Fprintf(os.Stderr, "err %d\n", i)
		}
	case "tell": // a line at once, one more when asked to end
		wait("first")
		fmt.Println("second")
	case "echo":
		echo()
	case "flood":
		n, _ := strconv.Atoi(args[0])
		flood(n)
	case "serve":
		serve(args[0])
	case "dial":
		var all sync.WaitGroup // at once: the host has an address for each network of whatever tests run beside
		for _, to := range args {
			all.Go(func() {
				conn, err := net.DialTimeout("tcp", to, 10*time.Second)
				if err != nil {
					fmt.Printf("%s no: %v\n", to, err)
					return
				}
				reply, _ := io.ReadAll(conn)
				fmt.Printf("%s yes: %s\n", to, reply)
			})
		}
		all.Wait()
	case "shout": // each line of its input, in capitals
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			fmt.Println("got", strings.ToUpper(lines.Text()))
		}
	case "status": // what the kernel holds it to
		f, err := os.Open("/proc/self/status")
		check(err)
		for s := bufio.NewScanner(f); s.Scan(); {
			if k, _, _ := strings.Cut(s.Text(), ":"); k == "CapEff" || k == "CapBnd" || k == "NoNewPrivs" || k == "Seccomp" || k == "Uid" {
				fmt.Println(strings.Join(strings.Fields(s.Text()), " "))
			}
		}
		wd, _ := os.Getwd()
		fmt.Println("wd", wd)
		fmt.Println("env", os.Getenv("PROBE"))
	case "write": // PATH TEXT
		check(os.WriteFile(args[0], []byte(args[1]), 0o644))
		fmt.Println("wrote", args[0])
	case "list":
		check(filepath.Walk(args[0], func(path string, info os.FileInfo, err error) error {
			check(err)
			s := info.Sys().(*syscall.Stat_t)
			fmt.Printf("%s %d:%d %v %d\n", path, s.Uid, s.Gid, info.Mode(), info.Size())
			return nil
		}))
	case "hang": // the rest of the arguments makes it findable among the machine's processes
		fmt.Println("hanging")
		forever()
	case "fail": // with words on both streams
		fmt.Println("about to fail")
		fmt.Fprintln(os.Stderr, "the reason is 42")
		os.Exit(3)
	}
}

func check(err error) {
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
}

// forever sleeps; a bare select would be a deadlock to the Go runtime.
func forever() {
	for {
		time.Sleep(time.Hour)
	}
}

// wait says that it is ready to be asked to end, and waits for that.
func wait(ready string) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGTERM)
	fmt.Println(ready)
	<-c
}

// echo gives back every byte that is typed, and tells of signals.
func echo() {
	old, err := term.MakeRaw(0)
	check(err)
	defer func() { _ = term.Restore(0, old) }()
	c := make(chan os.Signal, 8)
	signal.Notify(c, syscall.SIGTERM, syscall.SIGWINCH)
	size := func() {
		cols, rows, _ := term.GetSize(0)
		fmt.Printf("<size %dx%d>", cols, rows)
	}
	fmt.Print("<ready>")
	size()
	go func() { _, _ = io.Copy(os.Stdout, os.Stdin) }()
	for s := range c {
		if s == syscall.SIGTERM {
			fmt.Print("<asked to end>")
			return
		}
		size()
	}
}

// flood waits for a byte and then writes n bytes, each its position modulo 251, and ends.
func flood(n int) {
	_, err := term.MakeRaw(0)
	check(err)
	fmt.Print("<ready>")
	_, _ = os.Stdin.Read(make([]byte, 1))
	w := bufio.NewWriterSize(os.Stdout, 64<<10)
	for i := range n {
		_ = w.WriteByte(byte(i % 251))
	}
	_ = w.Flush()
	// What is in the terminal must be read before its last user goes.
	_, _ = os.Stdin.Read(make([]byte, 1))
}

func serve(addr string) {
	l, err := net.Listen("tcp", addr)
	check(err)
	go func() {
		for {
			conn, err := l.Accept()
			check(err)
			_, _ = fmt.Fprint(conn, "hello from the sidecar")
			_ = conn.Close()
		}
	}()
	wait("serving")
}
