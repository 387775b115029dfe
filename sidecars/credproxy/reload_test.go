package credproxy_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"bottle-tui/sidecars"
	"bottle-tui/sidecars/credproxy"
)

// Streams over routes that stay are not touched by any number of reloads, those of removed routes are ended,
// and once a reload is confirmed nothing gets through over what it removed.
func TestReloadUnderLoad(t *testing.T) {
	up, ca := secure(t, true, func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/echo") {
			io.WriteString(w, "ok")
			return
		}
		w.(http.Flusher).Flush()
		buf := make([]byte, 4)
		for {
			if _, err := io.ReadFull(r.Body, buf); err != nil {
				return
			}
			w.Write(buf)
			w.(http.Flusher).Flush()
		}
	})
	keep, drop := route("/keep/", up.URL), route("/drop/", up.URL)
	mark := func(i int, routes ...credproxy.Route) credproxy.Config {
		c := config(append(routes, route(fmt.Sprintf("/mark%d/", i), "https://mark.example.com"))...)
		c.CA = ca
		return c
	}
	p := start(t, mark(0, keep, drop))
	type stream struct {
		in  *io.PipeWriter
		out io.ReadCloser
	}
	ping := func(s stream) error {
		if _, err := io.WriteString(s.in, "ping"); err != nil {
			return err
		}
		_, err := io.ReadFull(s.out, make([]byte, 4))
		return err
	}
	open := func(path string, n int) (all []stream) {
		for range n {
			r, w := io.Pipe()
			res, err := agent(t).Post(p.url+path+"echo", "", r)
			if err != nil {
				t.Fatal(err)
			}
			s := stream{w, res.Body}
			if err := ping(s); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { w.Close(); res.Body.Close() })
			all = append(all, s)
		}
		return all
	}
	kept, dropped := open("/keep/", 20), open("/drop/", 20)

	var window atomic.Int64 // odd while the route is removed
	var load sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		client := agent(t)
		load.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				was := window.Load()
				gone := func() bool { return was%2 == 1 && window.Load() == was } // all the while
				res, err := client.Get(p.url + "/drop/x")
				if err != nil {
					if gone() {
						t.Error(err)
					}
					select {
					case <-stop:
						return
					default:
						continue // it was cut while it was answered
					}
				}
				io.Copy(io.Discard, res.Body)
				res.Body.Close()
				if gone() && res.StatusCode != http.StatusNotFound {
					t.Errorf("after its removal: %s", res.Status)
				}
				if res, err = client.Get(p.url + "/keep/x"); err != nil {
					t.Error(err)
					return
				}
				b, err := io.ReadAll(res.Body)
				res.Body.Close()
				if string(b) != "ok" || err != nil {
					t.Errorf("over the route that stays: %q %v", b, err)
				}
			}
		})
	}
	defer load.Wait()
	end := sync.OnceFunc(func() { close(stop) })
	defer end()
	for i := range 8 {
		p.reload(mark(2*i+1, keep))
		window.Add(1)
		if i == 0 {
			for _, s := range dropped {
				if _, err := io.ReadAll(s.out); err == nil {
					t.Error("the stream of a removed route ended as if it were whole")
				}
			}
		}
		for _, s := range kept {
			if err := ping(s); err != nil {
				t.Fatalf("reload %d broke a stream that stays: %v", i, err)
			}
		}
		window.Add(1)
		p.reload(mark(2*i+2, keep, drop))
	}
	end()
	load.Wait()
	// A route that leads elsewhere now is another route.
	other := keep
	other.Upstream = up.URL + "/other"
	p.reload(mark(99, other))
	for _, s := range kept {
		if _, err := io.ReadAll(s.out); err == nil {
			t.Error("a stream goes on although its route leads elsewhere")
		}
	}
}

// A request that waits for its answer when its route is taken away is told why.
func TestRouteTakenAway(t *testing.T) {
	begun := make(chan bool)
	up := plain(t, func(w http.ResponseWriter, r *http.Request) {
		begun <- true
		<-r.Context().Done()
	})
	p := start(t, config(route("/up/", up.URL)))
	answered := make(chan fetched, 1)
	go func() { answered <- p.raw("GET /up/ HTTP/1.1\r\nHost: x\r\n\r\n") }()
	await(t, begun, "the request")
	p.reload(config())
	await(t, answered, "the answer").own(t, http.StatusServiceUnavailable, "took its route away")
}

func TestBadConfigurationKeepsTheOld(t *testing.T) {
	p := start(t, config(route("/up/", plain(t, (&recorder{}).ServeHTTP).URL)))
	old := p.ear.Wait(t, sidecars.EventReady).Config
	for bad, want := range map[string]string{
		"": "read the configuration", "{": "read the configuration", `{"identity":"tester-00000","rutes":[]}`: "rutes", `{"identity":"tester-00000","routes":[]}{}`: "after its end",
		`{"identity":"tester-00000","routes":[{"path":"/a","upstream":"https://a.example.com","auth_scheme":"bearer","token":"T"}]}`:                  `write "/a/"`,
		`{"identity":"tester-00000","routes":[{"path":"/a/","upstream":"https://a.example.com","auth_scheme":"bearer","token":"file:0123456789ab"}]}`: "the token file:0123456789ab",
	} {
		before := p.ear.Count(sidecars.EventConfigError)
		if err := os.WriteFile(p.configFile, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		l := p.ear.Wait(t, sidecars.EventConfigError, func(sidecars.Line) bool { return p.ear.Count(sidecars.EventConfigError) > before })
		for _, l = range p.ear.Lines() {
		}
		if l.Config != old || !strings.Contains(l.Reason, want) {
			t.Errorf("%q: %+v", bad, l)
		}
		if f := get(t, p.url+"/up/"); f.status != http.StatusOK {
			t.Errorf("%q: %+v", bad, f)
		}
	}
}

// A route that is granted later: its token first, then the configuration.
func TestGrantedRoute(t *testing.T) {
	up := &recorder{}
	url := plain(t, up.ServeHTTP).URL
	p := start(t, config(route("/up/", url)))
	p.give(map[string]string{"GRANTED": "granted-value"})
	p.reload(config(route("/up/", url), credproxy.Route{Path: "/new/", Upstream: url, AuthScheme: credproxy.SchemeAPIKey, Token: "GRANTED"}))
	get(t, p.url+"/new/x")
	if got := up.take(); len(got) != 1 || got[0].Header.Get("X-Api-Key") != "granted-value" {
		t.Error(got)
	}
}

// The end of cred-proxy is the end of all that is open.
func TestStop(t *testing.T) {
	begun := make(chan bool)
	up := plain(t, func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		begun <- true
		<-r.Context().Done()
	})
	p := start(t, config(route("/up/", up.URL)))
	ended := make(chan fetched, 1)
	go func() { ended <- p.raw("GET /up/ HTTP/1.1\r\nHost: x\r\n\r\n") }()
	await(t, begun, "the request")
	if err := p.stop(); err != nil {
		t.Error(err)
	}
	await(t, ended, "its end")
}

// A route ends at its time although nobody takes it away, and nothing else ends with it.
func TestARouteEndsByItself(t *testing.T) {
	up := plain(t, func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		if r.URL.Path == "/wait" {
			<-r.Context().Done()
		}
		io.WriteString(w, "still there")
	})
	c := config(route("/keep/", up.URL), route("/brief/", up.URL), route("/keep/brief/", up.URL))
	c.Routes[2].Token = "NEVER_GIVEN" // a route that has ended needs none
	c.Until = map[string]time.Time{"/brief/": time.Now().Add(time.Hour), "/keep/brief/": time.Now().Add(-time.Second)}
	p := start(t, c)
	if got := get(t, p.url+"/keep/brief/x"); got.body != "still there" { // what lies around it has it now
		t.Errorf("a route that had ended: %+v", got)
	}
	kept, err := agent(t).Get(p.url + "/keep/wait")
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Body.Close()
	gone, err := agent(t).Get(p.url + "/brief/wait")
	if err != nil {
		t.Fatal(err)
	}
	defer gone.Body.Close()
	end := time.Now().Add(time.Second)
	c.Until["/brief/"] = end
	p.reload(c)
	if _, err := io.ReadAll(gone.Body); err == nil {
		t.Error("what was on its way came to a good end")
	}
	if time.Now().Before(end) {
		t.Error("it ended early")
	}
	get(t, p.url+"/brief/x").own(t, http.StatusNotFound, "no route of this bottle")
	if got := get(t, p.url+"/keep/x"); got.status != http.StatusOK {
		t.Errorf("the other route: %+v", got)
	}
	read := make(chan error, 1)
	go func() {
		_, err := kept.Body.Read(make([]byte, 1))
		read <- err
	}()
	select {
	case err := <-read:
		t.Errorf("the other route's answer ended, too: %v", err)
	default:
	}
	// What is given more time goes on, and what has none left ends at once.
	c.Until = map[string]time.Time{"/brief/": time.Now().Add(time.Hour), "/keep/brief/": end}
	p.reload(c)
	if got := get(t, p.url+"/brief/x"); got.status != http.StatusOK {
		t.Errorf("with more time: %+v", got)
	}
	c.Until = map[string]time.Time{"/none/": end}
	if _, err := c.Encode(); err == nil || !strings.Contains(err.Error(), `"/none/"`) {
		t.Errorf("an end of a route that is not there is taken: %v", err)
	}
	kept.Body.Close()
	<-read
}

// A route to come takes over by itself from the one that stood in for it, and no two have one path at a time.
func TestARouteBeginsByItself(t *testing.T) {
	serves := func(name string) string {
		return plain(t, func(w http.ResponseWriter, r *http.Request) {
			w.(http.Flusher).Flush()
			if strings.HasSuffix(r.URL.Path, "/wait") {
				<-r.Context().Done()
			}
			io.WriteString(w, name)
		}).URL
	}
	from := time.Now().Add(time.Hour)
	c := config(route("/up/", serves("brief")))
	c.Until = map[string]time.Time{"/up/": from}
	c.Later = []credproxy.Later{{Route: route("/up/", serves("usual")), From: from}}
	p := start(t, c)
	gone, err := agent(t).Get(p.url + "/up/wait")
	if err != nil {
		t.Fatal(err)
	}
	defer gone.Body.Close()
	if got := get(t, p.url+"/up/x"); got.body != "brief" {
		t.Errorf("before: %+v", got)
	}
	from = time.Now().Add(time.Second)
	c.Until["/up/"], c.Later[0].From = from, from
	p.reload(c)
	if _, err := io.ReadAll(gone.Body); err == nil {
		t.Error("what was on its way came to a good end")
	}
	if got := get(t, p.url+"/up/x"); got.body != "usual" || time.Now().Before(from) {
		t.Errorf("after: %+v", got)
	}
	// A token that will be needed is needed.
	c.Later[0].Token = "NEVER_GIVEN"
	c.Later[0].From, c.Until["/up/"] = from.Add(time.Hour), from.Add(time.Hour)
	p.configure(c)
	p.ear.Wait(t, sidecars.EventConfigError, func(l sidecars.Line) bool { return strings.Contains(l.Reason, "NEVER_GIVEN") })
	c.Later[0].Token = tokenVar
	c.Later[0].From = from.Add(time.Minute)
	if _, err := c.Encode(); err == nil || !strings.Contains(err.Error(), "another route") {
		t.Errorf("two at a time: %v", err)
	}
	c.Later[0].From = time.Time{}
	if _, err := c.Encode(); err == nil {
		t.Error("a later one without a beginning is taken")
	}
}
