// Command agent stands in for a coding agent in the tests of the lifecycle: it takes its flags, keeps a
// transcript as one does, echoes its keyboard and ends when it is told to.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"
)

const projects = "/home/agent/.claude/projects/-workspace"

func main() {
	if len(os.Args) > 1 && os.Args[1] == "fail" {
		fmt.Println("this step fails on purpose")
		os.Exit(3)
	}
	if len(os.Args) == 3 && os.Args[1] == "parent" { // of children that it leaves behind
		n, _ := strconv.Atoi(os.Args[2])
		for range n {
			if _, err := os.StartProcess("/proc/self/exe", []string{"agent", "child"}, &os.ProcAttr{}); err != nil {
				fmt.Println(err)
				os.Exit(1)
			}
		}
		return
	}
	if len(os.Args) == 2 && os.Args[1] == "child" {
		return
	}
	if len(os.Args) > 3 && os.Args[1] == "put" { // a step of a build
		if err := put(strings.Join(os.Args[2:], " ")); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	fmt.Println("agent started:", strings.Join(os.Args[1:], " "))
	for i, a := range os.Args {
		if a == "--session-id" || a == "--resume" {
			record(os.Args[i+1], strings.Join(os.Args[1:], " "))
		}
	}
	if text, err := os.ReadFile("/workspace/work"); err == nil {
		fmt.Printf("work: %s\n", text)
	}
	go func() {
		lines := bufio.NewScanner(os.Stdin)
		for lines.Scan() {
			word, rest, _ := strings.Cut(lines.Text(), " ")
			switch word {
			case "exit":
				fmt.Println("leaving", rest)
				code := 0
				fmt.Sscan(rest, &code)
				os.Exit(code)
			case "get": // as the environment says, through a proxy or not
				fmt.Println("got", get(rest))
			case "ls": // what a remote of the git protocol has: host:port path
				fmt.Println("listed", list(rest))
			case "cat":
				text, err := os.ReadFile(rest)
				fmt.Printf("cat %s: %q %v\n", rest, text, err)
			case "env":
				fmt.Printf("env %s=%s\n", rest, os.Getenv(rest))
			case "put":
				fmt.Println("put", rest, put(rest))
			case "swap": // a link in the place of whatever has a path: the path, then what it leads to
				at, to, _ := strings.Cut(rest, " ")
				fmt.Println("swapped", at, errors.Join(os.RemoveAll(at), os.Symlink(to, at)))
			case "flood": // so many lines of 1 KiB, as in a long build
				n, _ := strconv.Atoi(rest)
				for i := range n {
					fmt.Printf("%01023d\n", i)
				}
				fmt.Println("flooded", n)
			case "orphans":
				n, _ := strconv.Atoi(rest)
				fmt.Println("orphans", orphans(n))
			case "session": // as a command such as /clear begins another one, in which something is said
				record(rest, "said in "+rest)
				fmt.Println("session", claim(`{"session_id":"`+rest+`","source":"clear"}`))
			case "claim": // what an agent may write where its program says which session it is in
				fmt.Println("claimed", claim(rest))
			case "page":
				go page()
			case "write":
				fmt.Println("wrote", os.WriteFile("/workspace/work", []byte(rest), 0o600))
			default:
				fmt.Println("heard:", lines.Text())
			}
		}
	}()
	<-end
	fmt.Println("told to end")
}

// page draws a screen as a busy full-screen program does: told that its window changed it first does other things, and
// looks only then whether the size is another one.
func page() {
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGWINCH)
	for drawn, n := "", 0; ; {
		if cols, rows, err := term.GetSize(int(os.Stdout.Fd())); err != nil {
			fmt.Println("page:", err)
		} else if size := fmt.Sprintf("%d×%d", cols, rows); size != drawn {
			drawn, n = size, n+1
			fmt.Print("\x1b[")
			time.Sleep(50 * time.Millisecond)
			fmt.Printf("2Jpage %d is %s\n", n, size)
		}
		<-told
		for range 20 {
			time.Sleep(50 * time.Millisecond)
			fmt.Print(".")
		}
	}
}

// orphans leaves n ended processes without a parent, and says how many of them nobody has reaped, which may take a moment.
func orphans(n int) string {
	const each = 100
	for ; n > 0; n -= each {
		if out, err := exec.Command("/proc/self/exe", "parent", strconv.Itoa(min(n, each))).CombinedOutput(); err != nil {
			return fmt.Sprintf("%v: %s", err, out)
		}
	}
	left := -1
	for end := time.Now().Add(10 * time.Second); left != 0 && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		left = 0
		all, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is well-formed
		for _, name := range all {
			if stat, err := os.ReadFile(name); err == nil && strings.Contains(string(stat), ") Z ") {
				left++
			}
		}
	}
	return fmt.Sprintf("left: %d", left)
}

// put writes a file: its path, then its content as a Go string.
func put(what string) error {
	path, quoted, _ := strings.Cut(what, " ")
	content, err := strconv.Unquote(quoted)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
		return err
	}
	_ = os.Chmod(path, 0o666) // so that the agent may change what a build wrote; another's file stays as it is
	return nil
}

// claim writes what Claude Code's hook writes.
func claim(content string) error {
	return os.WriteFile("/home/agent/.claude/bottle-session.json", []byte(content), 0o600)
}

// get asks for a page and tells what came.
func get(url string) string {
	r, err := http.Get(url)
	if err != nil {
		return fmt.Sprint(url, " failed: ", err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(io.LimitReader(r.Body, 4096))
	return fmt.Sprintf("%s %d %q %v", url, r.StatusCode, body, err)
}

// list asks as git does for what there is to fetch, and tells what came first.
func list(remote string) string {
	address, path, _ := strings.Cut(remote, " ")
	c, err := net.Dial("tcp", address)
	if err != nil {
		return fmt.Sprint(remote, " failed: ", err)
	}
	defer c.Close()
	asked := "git-upload-pack " + path + "\x00host=" + address + "\x00"
	fmt.Fprintf(c, "%04x%s", len(asked)+4, asked)
	came := make([]byte, 4096)
	n, err := c.Read(came)
	return fmt.Sprintf("%s %q %v", remote, came[:n], err)
}

func record(session, what string) {
	if err := os.MkdirAll(projects, 0o700); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	f, err := os.OpenFile(filepath.Join(projects, session+".jsonl"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	defer f.Close()
	fmt.Fprintf(f, "{\"type\":\"user\",\"text\":%q}\n", what)
}
