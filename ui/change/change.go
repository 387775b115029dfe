// Package change says in words what a request or a grant changes of what a bottle can reach: the hosts of
// its allowlist and the routes of its cred-proxy. It must not decide whether a change is allowed, and
// everything that it gives is safe to draw.
package change

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"bottle-tui/bottles"
	"bottle-tui/queue"
	"bottle-tui/ui/frame"
)

// Line is one thing that a change adds or takes away.
type Line struct {
	Added bool
	Text  string
}

// Sign is "+" or "−".
func (l Line) Sign() string {
	if l.Added {
		return "+"
	}
	return "−"
}

// Subject is what a tool's request is for: "asks for …".
func Subject(tool string) string {
	switch tool {
	case queue.ToolCapability:
		return "a capability"
	case queue.ToolEgress:
		return "a way out"
	case queue.ToolCredProxy:
		return "a route"
	case bottles.ToolPush:
		return "a push"
	}
	return frame.Line(tool)
}

// Scoped says whether what a tool asks for is granted for a time, a bottle or a profile. A push is let through once.
func Scoped(tool string) bool { return tool == queue.ToolEgress || tool == queue.ToolCredProxy }

// Rules are the lines of an allowlist.
func Rules(content []byte) []string {
	var out []string
	for line := range strings.Lines(string(content)) {
		if line = strings.TrimSpace(line); line != "" {
			out = append(out, line)
		}
	}
	return out
}

// Routes reads routes as they stand in routes.json, strictly.
func Routes(content []byte) ([]bottles.Route, error) {
	if len(bytes.TrimSpace(content)) == 0 {
		return nil, nil
	}
	d := json.NewDecoder(bytes.NewReader(content))
	d.DisallowUnknownFields()
	var out []bottles.Route
	if err := d.Decode(&out); err != nil {
		read := content
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			read = content[:min(offset(d, err), int64(len(content)))]
		}
		return nil, fmt.Errorf("line %d: %s", 1+bytes.Count(read, []byte("\n")), inWords(err))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows behind the list of routes")
	}
	return out, nil
}

// offset is where in its input a decoder met err.
func offset(d *json.Decoder, err error) int64 {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return syntax.Offset
	case errors.As(err, &kind):
		return kind.Offset
	}
	return d.InputOffset()
}

func inWords(err error) string {
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &kind) && kind.Field == "":
		return fmt.Sprintf("a list of routes is needed, and this is a JSON %s", kind.Value)
	case errors.As(err, &kind):
		return fmt.Sprintf("%s can't be a JSON %s", frame.Line(kind.Field), kind.Value)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "the JSON ends too early"
	}
	return frame.Line(strings.TrimPrefix(err.Error(), "json: "))
}

// Route is one route in words: "/gitea/ → https://gitea.example.com with GITEA_TOKEN (bearer) for tea-login".
func Route(r bottles.Route) string {
	text := r.Path + " → " + r.Upstream + " with " + r.TokenRef
	if r.AuthScheme != "" {
		text += " (" + r.AuthScheme + ")"
	}
	if len(r.Roles) > 0 {
		text += " for " + strings.Join(r.Roles, ", ")
	}
	return frame.Line(text)
}

// Hosts says what becomes of an allowlist; all that is added is one line, all that is taken away another.
func Hosts(before, after []string) []Line {
	return hosts(without(after, before), without(before, after))
}

func hosts(added, removed []string) []Line {
	var out []Line
	if len(added) > 0 {
		out = append(out, Line{true, frame.Line(strings.Join(added, ", "))})
	}
	if len(removed) > 0 {
		out = append(out, Line{false, frame.Line(strings.Join(removed, ", "))})
	}
	return out
}

// Ways says what becomes of routes, a line for each; one that is changed is taken away and added.
func Ways(before, after []bottles.Route) []Line {
	has := func(all []bottles.Route, r bottles.Route) bool {
		return slices.ContainsFunc(all, func(o bottles.Route) bool { return reflect.DeepEqual(o, r) })
	}
	var out []Line
	for _, r := range after {
		if !has(before, r) {
			out = append(out, Line{true, Route(r)})
		}
	}
	for _, r := range before {
		if !has(after, r) {
			out = append(out, Line{false, Route(r)})
		}
	}
	return out
}

// Granted says what a grant added and took away.
func Granted(c bottles.Change) []Line {
	out := hosts(c.Allow, c.Disallow)
	for _, r := range c.Routes {
		out = append(out, Line{true, Route(r)})
	}
	for _, path := range c.Unroute {
		out = append(out, Line{false, frame.Line(path)})
	}
	return out
}

// Name names a grant by the first thing in it: "api.example.com", "/gitea/ and 2 more".
func Name(c bottles.Change) string {
	var all []string
	all = append(all, c.Allow...)
	for _, r := range c.Routes {
		all = append(all, r.Path)
	}
	for _, gone := range slices.Concat(c.Disallow, c.Unroute) {
		all = append(all, "no "+gone)
	}
	switch len(all) {
	case 0:
		return "nothing"
	case 1:
		return frame.Line(all[0])
	}
	return fmt.Sprintf("%s and %d more", frame.Line(all[0]), len(all)-1)
}

func without(all, these []string) []string {
	var out []string
	for _, s := range all {
		if !slices.Contains(these, s) {
			out = append(out, s)
		}
	}
	return out
}
