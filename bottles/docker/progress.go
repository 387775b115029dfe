package docker

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"

	"bottle-tui/bottles"
)

// maxLine is how many bytes of one line of a build's log are kept together.
const maxLine = 64 << 10

var (
	classicStep = regexp.MustCompile(`^Step (\d+)/(\d+) : `)
	// classicColour is what the classic builder puts around what it reads of standard error.
	classicColour = strings.NewReplacer("\x1b[91m", "", "\x1b[0m", "")

	buildKitStep = regexp.MustCompile(`^\[(?:[^\]]* )?(\d+)/(\d+)\] `)
)

// buildLog turns what a builder tells into lines. BuildKit tells of vertices of a graph (protobuf
// moby.buildkit.v1.StatusResponse in records of the ID moby.buildkit.trace); their lines look as
// `docker build --progress=plain` prints them, each vertex's beginning with its number:
//
//	#5 [2/3] RUN make
//	#5 0.214 cc -o main main.c
//	#5 DONE 0.8s
//
// The classic builder prints text ("Step 2/3 : RUN make").
type buildLog struct {
	progress func(bottles.BuildProgress)
	step     int
	steps    int
	image    string // ID of the image made, where the builder said it
	spoke    bool   // a builder has told something
	partial  line   // the classic builder's line that has no end yet
	vertices map[string]*vertex
	last     int    // number of the vertex that was printed last for the first time
	at       string // the classic builder's step, or BuildKit's vertex that failed
}

// vertex is one node of BuildKit's graph.
type vertex struct {
	number  int // 0 until it was printed first
	name    string
	started time.Time
	ended   bool
	partial line
	done    map[string]bool // its parts that were printed as done
	step    int
	steps   int
}

func newBuildLog(progress func(bottles.BuildProgress)) *buildLog {
	return &buildLog{progress: progress, vertices: map[string]*vertex{}}
}

// add takes one record of the engine's answer.
func (l *buildLog) add(m message) error {
	switch {
	case m.ID == "moby.buildkit.trace":
		l.spoke = true
		var raw []byte
		var status controlapi.StatusResponse
		if json.Unmarshal(m.Aux, &raw) == nil && status.UnmarshalVT(raw) == nil {
			l.trace(&status)
		}
	case m.ID == "moby.image.id" || m.ID == "" && len(m.Aux) > 0:
		if id := imageID(m.Aux); id != "" {
			l.image = id
		}
	case m.Stream != "":
		l.spoke = true
		l.partial.add(m.Stream, l.classic)
	case m.Status != "" && (len(m.Progress) == 0 || string(m.Progress) == "{}"):
		l.spoke = true
		if m.ID != "" {
			m.Status = m.ID + ": " + m.Status
		}
		l.say(m.Status)
	}
	if err := m.failed(); err != nil {
		l.flush()
		return err
	}
	return nil
}

// classic takes one line of the classic builder.
func (l *buildLog) classic(text string) {
	text = classicColour.Replace(text)
	if text == "" {
		return
	}
	if step, steps := stepOf(classicStep, text); steps > 0 {
		l.enter(step, steps)
		l.at = text
	}
	l.say(text)
}

// trace takes one report of BuildKit.
func (l *buildLog) trace(s *controlapi.StatusResponse) {
	for _, v := range s.Vertexes {
		at := l.vertex(v.Digest)
		if at.name == "" {
			at.name = v.Name
			at.step, at.steps = stepOf(buildKitStep, v.Name)
		}
		if v.Started != nil {
			if at.started.IsZero() {
				at.started = v.Started.AsTime()
			}
			l.open(at)
		}
	}
	for _, p := range s.Statuses {
		at := l.vertex(p.Vertex)
		if p.Completed == nil || at.done[p.ID] || at.name == "" {
			continue
		}
		at.done[p.ID] = true
		l.open(at)
		size := ""
		if n := max(p.Current, p.Total); n > 0 {
			size = " " + bytesText(n)
		}
		l.say(fmt.Sprintf("#%d %s%s done", at.number, p.ID, size))
	}
	for _, g := range s.Logs {
		at := l.vertex(g.Vertex)
		l.open(at)
		since := 0.0
		if g.Timestamp != nil && !at.started.IsZero() {
			since = max(g.Timestamp.AsTime().Sub(at.started).Seconds(), 0)
		}
		at.partial.add(string(g.Msg), func(text string) {
			l.say(fmt.Sprintf("#%d %.3f %s", at.number, since, text))
		})
	}
	for _, w := range s.Warnings {
		at := l.vertex(w.Vertex)
		l.open(at)
		l.say(fmt.Sprintf("#%d WARN: %s", at.number, w.Short))
	}
	for _, v := range s.Vertexes {
		if v.Completed != nil {
			l.end(l.vertex(v.Digest), v)
		}
	}
}

// end prints how a vertex ended.
func (l *buildLog) end(at *vertex, v *controlapi.Vertex) {
	if at.ended {
		return
	}
	at.ended = true
	l.open(at)
	l.flushVertex(at)
	switch {
	case strings.HasSuffix(v.Error, "context canceled"):
		l.say(fmt.Sprintf("#%d CANCELED", at.number))
	case v.Error != "":
		l.at = at.name
		l.say(fmt.Sprintf("#%d ERROR: %s", at.number, v.Error))
	case v.Cached:
		l.say(fmt.Sprintf("#%d CACHED", at.number))
	default:
		l.say(fmt.Sprintf("#%d DONE %.1fs", at.number, v.Completed.AsTime().Sub(at.started).Seconds()))
	}
}

func (l *buildLog) vertex(digest string) *vertex {
	v := l.vertices[digest]
	if v == nil {
		v = &vertex{done: map[string]bool{}}
		l.vertices[digest] = v
	}
	return v
}

// open prints a vertex's heading, once.
func (l *buildLog) open(v *vertex) {
	if v.number != 0 {
		return
	}
	l.last++
	v.number = l.last
	l.enter(v.step, v.steps)
	l.say(fmt.Sprintf("#%d %s", v.number, v.name))
}

// enter notes the step that the build is at. Steps that run side by side begin in any order; the
// furthest one counts, until another stage counts anew.
func (l *buildLog) enter(step, steps int) {
	if steps > 0 && (steps != l.steps || step > l.step) {
		l.step, l.steps = step, steps
	}
}

func (l *buildLog) say(text string) {
	l.progress(bottles.BuildProgress{Step: l.step, Steps: l.steps, Line: strings.TrimSuffix(text, "\r")})
}

// flush prints what has no line end.
func (l *buildLog) flush() {
	l.partial.flush(l.classic)
	for _, v := range l.vertices {
		l.flushVertex(v)
	}
}

func (l *buildLog) flushVertex(v *vertex) {
	v.partial.flush(func(text string) { l.say(fmt.Sprintf("#%d %s", v.number, text)) })
}

func stepOf(form *regexp.Regexp, text string) (step, steps int) {
	if m := form.FindStringSubmatch(text); m != nil {
		step, _ = strconv.Atoi(m[1])
		steps, _ = strconv.Atoi(m[2])
	}
	return step, steps
}

// line is text that is waiting for its line end.
type line struct{ rest string }

// add gives each line that is complete now, or too long to wait for, to f.
func (p *line) add(text string, f func(string)) {
	p.rest += text
	for {
		i := strings.IndexByte(p.rest, '\n')
		switch {
		case i >= 0:
			whole := p.rest[:i]
			p.rest = p.rest[i+1:]
			f(whole)
		case len(p.rest) > maxLine:
			whole := p.rest[:maxLine]
			p.rest = p.rest[maxLine:]
			f(whole)
		default:
			return
		}
	}
}

func (p *line) flush(f func(string)) {
	if p.rest != "" {
		whole := p.rest
		p.rest = ""
		f(whole)
	}
}

// bytesText is a size as the docker command prints it.
func bytesText(n int64) string {
	for _, u := range []struct {
		size int64
		name string
	}{{1e9, "GB"}, {1e6, "MB"}, {1e3, "kB"}} {
		if n >= u.size {
			return fmt.Sprintf("%.2f%s", float64(n)/float64(u.size), u.name)
		}
	}
	return fmt.Sprintf("%dB", n)
}
