// Command escape stands in for an agent that wants to get out of its bottle. As an agent it reads attempts from
// its keyboard and tells what came of each; with "try" it makes one attempt and ends.
//
// Every attempt also has to work where nothing stands in its way: the tests run the same program there.
package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// patience bounds one attempt on the network that may get no answer, and answered one that gets one, of whatever kind:
// on a busy machine it takes its time.
const (
	patience = 1500 * time.Millisecond
	answered = 10 * patience
)

// result is what came of an attempt: OK says that it got through.
type result struct {
	OK   bool
	Said string
}

func main() {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "try":
			made := try(os.Args[2], os.Args[3:])
			json.NewEncoder(os.Stdout).Encode(made) //nolint:errcheck
			return
		case "sleep":
			fmt.Println("up")
			untilTold()
			return
		case "serve":
			for _, addr := range os.Args[2:] {
				if err := serve(addr); err != nil {
					fmt.Println(err)
					os.Exit(1)
				}
			}
			fmt.Println("up")
			untilTold()
			return
		}
	}
	go agent()
	untilTold()
}

func untilTold() {
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	<-end
}

// agent reads "try ID NAME ARGUMENT…" and answers each with "RESULT ID " and the result in base64.
func agent() {
	fmt.Println("agent started")
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) < 3 || words[0] != "try" {
			continue
		}
		go func() {
			out, err := exec.Command("/proc/self/exe", append([]string{"try"}, words[2:]...)...).Output()
			if err != nil {
				out, _ = json.Marshal(result{Said: "the attempt ended: " + err.Error()})
			}
			fmt.Printf("RESULT %s %s\n", words[1], base64.StdEncoding.EncodeToString(out))
		}()
	}
}

// serve answers every request on addr with a word.
func serve(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "here") })) //nolint:errcheck // it lasts as long as the program
	return nil
}

// attempts are all that can be tried, by name.
var attempts = map[string]func(args []string) (string, error){
	"tcp": tcp, "udp": udp, "unix": unixSocket, "dns": ask, "lookup": lookup, "http": request, "answers": answers, "proxy": connect,
	"ping": ping, "rawsocket": rawSocket, "ipv6": ipv6, "scan": scan, "listen": listen,
	"route": addRoute, "address": addAddress, "tun": tun,
	"read": read, "write": write, "create": create, "rename": rename, "remove": remove, "chmod": chmod, "chown": chown,
	"link": link, "symlink": symlink, "bind": bind, "mount": mountFS, "mknod": mknod, "openwrite": openWrite,
	"processes": processes, "kill": kill, "ptrace": ptrace, "setns": setns, "unshare": unshare, "userns": userns,
	"setuid": setuid, "exec": execute, "syscall": raw, "children": children, "memory": memory,
}

func try(name string, args []string) result {
	f, ok := attempts[name]
	if !ok {
		return result{Said: "there is no such attempt: " + name}
	}
	said, err := f(args)
	if err != nil {
		return result{Said: err.Error()}
	}
	return result{OK: true, Said: said}
}

// execute has another program make an attempt: one that is said to run as somebody else.
func execute(args []string) (string, error) {
	out, err := exec.Command(args[0], append([]string{"try"}, args[1:]...)...).Output()
	if err != nil {
		return "", err
	}
	var r result
	if err := json.Unmarshal(out, &r); err != nil {
		return "", err
	}
	if !r.OK {
		return "", errors.New(r.Said)
	}
	return r.Said, nil
}

// children starts so many of itself and keeps them for so long; all must come up.
func children(args []string) (string, error) {
	want, _ := strconv.Atoi(args[0])
	hold, _ := time.ParseDuration(args[1])
	up := make(chan bool, want)
	started := 0
	var failed error
	var all []*exec.Cmd
	for range want {
		c := exec.Command("/proc/self/exe", "sleep")
		out, err := c.StdoutPipe()
		if err == nil {
			err = c.Start()
		}
		if err != nil {
			failed = err
			break
		}
		started++
		all = append(all, c)
		go func() {
			line, _ := bufio.NewReader(out).ReadString('\n')
			up <- line == "up\n"
		}()
	}
	alive := 0
	for range started {
		if <-up {
			alive++
		}
	}
	time.Sleep(hold)
	for _, c := range all {
		c.Process.Kill() //nolint:errcheck
		c.Wait()         //nolint:errcheck
	}
	if alive < want {
		return "", fmt.Errorf("%d of %d came up: %v", alive, want, failed)
	}
	return fmt.Sprint(alive, " came up"), nil
}

// memory holds so many MiB.
func memory(args []string) (string, error) {
	n, _ := strconv.Atoi(args[0])
	block := make([]byte, n<<20)
	for i := 0; i < len(block); i += 4096 {
		block[i] = 1
	}
	return fmt.Sprint(len(block), " bytes"), nil
}
