package credproxy_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// way is an upstream in one of the ways in which one is reached: straight and through the proxy.
type way struct {
	name              string
	straight, through string
	client            *http.Client // for straight
}

func ways(b *testing.B, h http.HandlerFunc) []way {
	httpUp := plain(b, h)
	h1, ca1 := secure(b, false, h)
	h2, ca2 := secure(b, true, h)
	c := config(route("/plain/", httpUp.URL), route("/tls/", h1.URL), route("/h2/", h2.URL))
	c.CA = ca1 + ca2
	p := start(b, c)
	return []way{
		{"http", httpUp.URL, p.url + "/plain", agent(b)},
		{"https", h1.URL, p.url + "/tls", direct(b, ca1, false)},
		{"h2", h2.URL, p.url + "/h2", direct(b, ca2, true)},
	}
}

// BenchmarkAdded measures a small request straight and through the proxy, in turns: what the proxy adds to the
// median and to the 99th percentile, in ms.
func BenchmarkAdded(b *testing.B) {
	for _, w := range ways(b, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, `{"ok":true}`) }) {
		b.Run(w.name, func(b *testing.B) {
			through := agent(b)
			once := func(c *http.Client, url string) time.Duration {
				began := time.Now()
				res, err := c.Get(url + "/v1/small")
				if err != nil {
					b.Fatal(err)
				}
				io.Copy(io.Discard, res.Body)
				res.Body.Close()
				if res.StatusCode != http.StatusOK {
					b.Fatal(res.Status)
				}
				return time.Since(began)
			}
			for range 50 {
				once(w.client, w.straight)
				once(through, w.through)
			}
			var took [2][]time.Duration
			for b.Loop() {
				took[0] = append(took[0], once(w.client, w.straight))
				took[1] = append(took[1], once(through, w.through))
			}
			for i := range took {
				slices.Sort(took[i])
			}
			at := func(i int, q float64) float64 {
				return float64(took[i][int(q*float64(len(took[i])-1))].Microseconds()) / 1000
			}
			b.ReportMetric(at(1, 0.5)-at(0, 0.5), "ms-added-p50")
			b.ReportMetric(at(1, 0.99)-at(0, 0.99), "ms-added-p99")
			b.ReportMetric(at(0, 0.5), "ms-straight-p50")
		})
	}
}

// BenchmarkStream measures a stream of 1 GB (or BENCH_STREAM_MB) straight and through the proxy, in turns: the
// ratio of the times. The upstream says how long it is, or not.
func BenchmarkStream(b *testing.B) {
	size := 1 << 30
	if mb, err := strconv.Atoi(os.Getenv("BENCH_STREAM_MB")); err == nil {
		size = mb << 20
	}
	block := make([]byte, 64<<10)
	for _, w := range ways(b, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery == "sized" {
			w.Header().Set("Content-Length", strconv.Itoa(size))
		}
		for range size / len(block) {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	}) {
		for _, length := range []string{"sized", "unknown"} {
			b.Run(w.name+"/"+length, func(b *testing.B) { stream(b, w, "/stream?"+length, size) })
		}
	}
}

func stream(b *testing.B, w way, path string, size int) {
	through := agent(b)
	once := func(c *http.Client, url string) time.Duration {
		began := time.Now()
		res, err := c.Get(url + path)
		if err != nil {
			b.Fatal(err)
		}
		defer res.Body.Close()
		n, err := io.CopyBuffer(io.Discard, res.Body, make([]byte, 256<<10))
		if err != nil || int(n) != size {
			b.Fatal(n, err)
		}
		return time.Since(began)
	}
	var took [2]time.Duration
	var ratios []float64 // of each round: what else the machine does changes between rounds
	for b.Loop() {
		straight, proxied := once(w.client, w.straight), once(through, w.through)
		took[0], took[1] = took[0]+straight, took[1]+proxied
		ratios = append(ratios, proxied.Seconds()/straight.Seconds())
	}
	slices.Sort(ratios)
	n := len(ratios)
	b.ReportMetric((ratios[(n-1)/2]+ratios[n/2])/2, "ratio")
	b.ReportMetric(float64(n*size)/took[0].Seconds()/1e6, "MB/s-straight")
	b.ReportMetric(float64(n*size)/took[1].Seconds()/1e6, "MB/s-through")
}

// BenchmarkSSE measures how long an event is under way, straight and through the proxy: each carries the time at
// which it was made. The next is made only after the last has come.
func BenchmarkSSE(b *testing.B) {
	var streams sync.Map // by the query, one channel for each stream
	made := 0
	for _, w := range ways(b, func(w http.ResponseWriter, r *http.Request) {
		c, _ := streams.Load(r.URL.RawQuery)
		next := c.(chan struct{})
		w.Header().Set("Content-Type", "text/event-stream")
		w.(http.Flusher).Flush()
		for {
			select {
			case <-next:
			case <-r.Context().Done():
				return
			}
			fmt.Fprintf(w, "data: %d\n\n", time.Now().UnixNano())
			w.(http.Flusher).Flush()
		}
	}) {
		b.Run(w.name, func(b *testing.B) {
			under := func(c *http.Client, url string) []time.Duration {
				made++
				next, id := make(chan struct{}), strconv.Itoa(made)
				streams.Store(id, next)
				res, err := c.Get(url + "/events?" + id)
				if err != nil {
					b.Fatal(err)
				}
				defer res.Body.Close()
				lines := bufio.NewReader(res.Body)
				var took []time.Duration
				for range 200 {
					next <- struct{}{}
					line, err := lines.ReadString('\n')
					if err != nil {
						b.Fatal(err)
					}
					now := time.Now()
					var at int64
					if _, err := fmt.Sscanf(line, "data: %d", &at); err != nil {
						b.Fatal(err)
					}
					took = append(took, now.Sub(time.Unix(0, at)))
					lines.ReadString('\n')
				}
				return took
			}
			var straight, through []time.Duration
			client := agent(b)
			for b.Loop() {
				straight = append(straight, under(w.client, w.straight)...)
				through = append(through, under(client, w.through)...)
			}
			at := func(took []time.Duration, q float64) float64 {
				slices.Sort(took)
				return float64(took[int(q*float64(len(took)-1))].Microseconds()) / 1000
			}
			b.ReportMetric(at(through, 0.5), "ms-through-p50")
			b.ReportMetric(at(through, 0.99), "ms-through-p99")
			b.ReportMetric(at(straight, 0.5), "ms-straight-p50")
			b.ReportMetric(at(straight, 0.99), "ms-straight-p99")
		})
	}
}
