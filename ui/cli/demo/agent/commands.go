package agent

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const helpText = `help             this
status           who I am, and what came of my request
try              run tally, which my image has or has not; a scout: reach for its host
ask              ask the operator for what my role needs
ls [DIR]         the files of the workspace
cat FILE         a file of the workspace
write FILE TEXT  write one
env              my environment
net              try the network: through the proxy, around it, and by name
exit             end me; the bottle keeps its state
Anything else is answered, too. ctrl-u empties the line, ctrl-c twice ends me.`

// netTimeout bounds each of the attempts of the command net.
const netTimeout = 4 * time.Second

// entered handles a typed line; true ends the agent. What takes time runs on its own, so that typing goes on.
func (a *agent) entered(ctx context.Context, text string) (end bool) {
	word, rest, _ := strings.Cut(text, " ")
	rest = strings.TrimSpace(rest)
	if word == "exit" && rest == "" {
		return true
	}
	a.user(text)
	switch word {
	case "help", "?":
		a.say("%s", helpText)
	case "status":
		a.say("%s", a.state())
	case "try":
		a.background(ctx, func() {
			if a.role == Scout {
				a.retrace(ctx)
			} else {
				a.try(ctx)
			}
		})
	case "ask":
		a.background(ctx, func() { a.askAgain(ctx) })
	case "ls":
		a.say("%s", a.list(rest))
	case "cat":
		a.say("%s", a.cat(rest))
	case "write":
		name, content, _ := strings.Cut(rest, " ")
		if name == "" {
			a.say("write needs a file and a text: write notes.md hello")
		} else {
			a.write(name, content+"\n")
		}
	case "env":
		env := os.Environ()
		slices.Sort(env)
		a.say("%s", strings.Join(env, "\n"))
	case "net":
		a.background(ctx, func() { a.network(ctx) })
	default:
		a.say("%s", answer(text))
	}
	return false
}

func (a *agent) background(ctx context.Context, work func()) {
	a.running.Go(func() {
		work()
		a.mu.Lock()
		asking := a.asking
		a.mu.Unlock()
		switch {
		case ctx.Err() != nil || a.role == Steady:
		case asking:
			a.view.at(true, "waiting for the operator")
		default:
			a.idle()
		}
	})
}

func (a *agent) askAgain(ctx context.Context) {
	if a.role == Scout {
		a.askHost(ctx)
		return
	}
	current, ok := a.readInForce(capabilityBlock)
	switch {
	case !ok:
	case a.role == Reckless:
		a.ask(ctx, request{capabilityBlock, RecklessReason, ProposeReckless(current), hash(current)})
	default:
		a.ask(ctx, request{capabilityBlock, CounterReason, ProposeTally(current), hash(current)})
	}
}

func (a *agent) state() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	request := a.request
	if request == "" {
		request = "none made since I was started"
	}
	return fmt.Sprintf("role      %s\nuser      %d:%d\nsession   %s\nrunning   %s\nmessages  %d in the transcript\nrequest   %s",
		a.role, os.Getuid(), os.Getgid(), a.inv.session, time.Since(a.started).Round(time.Second), a.transcript.count(), request)
}

func (a *agent) list(dir string) string {
	root, err := os.OpenRoot(a.workspace)
	if err != nil {
		return err.Error()
	}
	defer root.Close()
	if dir == "" {
		dir = "."
	}
	d, err := root.Open(filepath.Clean(dir))
	if err != nil {
		return err.Error()
	}
	defer d.Close()
	const most = 200
	found, err := d.ReadDir(most)
	if err != nil && len(found) == 0 {
		if len(found) == 0 && err.Error() == "EOF" {
			return "nothing there"
		}
		return err.Error()
	}
	slices.SortFunc(found, func(x, y os.DirEntry) int { return strings.Compare(x.Name(), y.Name()) })
	var b strings.Builder
	for _, f := range found {
		size := "     dir"
		if info, err := f.Info(); err == nil && !f.IsDir() {
			size = fmt.Sprintf("%8d", info.Size())
		}
		fmt.Fprintf(&b, "%s  %s\n", size, f.Name())
	}
	return b.String()
}

func (a *agent) cat(name string) string {
	root, err := os.OpenRoot(a.workspace)
	if err != nil {
		return err.Error()
	}
	defer root.Close()
	f, err := root.Open(filepath.Clean(name))
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	content := make([]byte, maxOutput+1)
	n, err := f.Read(content)
	if n == 0 {
		if info, statErr := f.Stat(); statErr == nil && info.Size() == 0 {
			return "(empty)"
		}
		return fmt.Sprint(err)
	}
	return bounded(string(content[:n]))
}

// network tries the ways out and shows what came of each.
func (a *agent) network(ctx context.Context) {
	a.view.at(true, "trying the network")
	for _, address := range []string{"https://example.com/", "http://example.com/"} {
		id := a.use(toolFetch, map[string]string{"url": address})
		text, err := fetch(ctx, address)
		a.result(id, text, err)
	}
	id := a.use(toolBash, map[string]string{"command": "connect 1.1.1.1:443, around the proxy"})
	dialer := net.Dialer{Timeout: netTimeout}
	if conn, err := dialer.DialContext(ctx, "tcp", "1.1.1.1:443"); err != nil {
		a.result(id, err.Error(), true)
	} else {
		conn.Close()
		a.result(id, "connected: there is a way around the proxy", false)
	}
	id = a.use(toolBash, map[string]string{"command": "look up example.com"})
	lookup, cancel := context.WithTimeout(ctx, netTimeout)
	defer cancel()
	if found, err := net.DefaultResolver.LookupHost(lookup, "example.com"); err != nil {
		a.result(id, err.Error(), true)
	} else {
		a.result(id, strings.Join(found, " "), false)
	}
	a.say("That is all of the network that I can reach.")
}

func fetch(ctx context.Context, address string) (text string, failed bool) {
	ctx, cancel := context.WithTimeout(ctx, netTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err.Error(), true
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err.Error(), true
	}
	defer resp.Body.Close()
	body := make([]byte, 400)
	n, _ := resp.Body.Read(body)
	said := strings.TrimSpace(strings.ToValidUTF8(string(body[:n]), ""))
	return strings.TrimSpace(resp.Status + "\n" + said), resp.StatusCode >= 400
}

// answer is what a program without a model behind it can say.
func answer(text string) string {
	switch lower := strings.ToLower(text); {
	case strings.Contains(lower, "hello") || strings.HasPrefix(lower, "hi"):
		return "Hello. I am the demo agent: a program, not a model. help shows what I understand."
	case strings.Contains(lower, "thank"):
		return "You are welcome."
	case strings.HasSuffix(lower, "?"):
		return "I can't know: no model is behind me. I wrote your question down in the transcript, so it will be here when I am resumed."
	}
	return "Noted. It is in the transcript, and will be here when I am resumed. help shows what I can do."
}
