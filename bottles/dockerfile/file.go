package dockerfile

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/distribution/reference"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

// file is a Dockerfile that could be parsed. Its last stage is what gets built.
type file struct {
	stages   []stage
	global   []instructions.ArgCommand
	escape   rune
	warnings []parser.Warning
	heredocs int // line of the first one
	nodes    []*parser.Node
	lex      *shell.Lex
	expanded int // bytes of words whose variables were replaced so far
}

// stage is one FROM with what follows; the fields below the first are set by walk.
type stage struct {
	instructions.Stage
	base     string // FROM's operand with its variables replaced
	unset    bool   // … one of which has no value
	parent   int    // the earlier stage it starts from, or -1
	image    string // the image at the root of its chain of stages, in full form
	platform string // that image's --platform
	env      vars
	user     string // its last USER or that of its chain; "" when there is none
	userLine int
	userSet  bool
	userOpen bool // a variable in it has no value here
	start    map[string]string
}

// warnFunc receives what BuildKit's linter says.
type warnFunc func(rule, text string, line int)

// maxUnparsed is how many instructions that can't be parsed are passed over.
const maxUnparsed = 20

// read parses a Dockerfile with BuildKit's parser. The comments in it can't silence the linter. An instruction that can't
// be parsed is an error, and is passed over, so that the rest is read all the same; f is nil where nothing can be.
func read(content []byte, warn warnFunc) (f *file, errs []error) {
	defer func() {
		if p := recover(); p != nil { // a defect of the parser must not end the operator's screen
			f, errs = nil, append(errs, fmt.Errorf("the parser failed on it: %v", p))
		}
	}()
	result, err := parser.Parse(bytes.NewReader(content))
	if err != nil {
		return nil, []error{err}
	}
	f = &file{escape: result.EscapeToken, warnings: result.Warnings}
	for _, n := range result.AST.Children {
		n.PrevComment = nil
		if len(n.Heredocs) > 0 && f.heredocs == 0 {
			f.heredocs = n.StartLine
		}
	}
	lint := linter.New(&linter.Config{Warn: func(rule, _, _, text string, at []parser.Range) {
		if warn != nil {
			warn(rule, text, firstLine(at))
		}
	}})
	stages, global, err := instructions.Parse(result.AST, lint)
	for err != nil {
		errs = append(errs, err)
		line, _ := explain(err)
		bad := slices.IndexFunc(result.AST.Children, func(n *parser.Node) bool { return n.StartLine <= line && line <= n.EndLine })
		if bad < 0 || len(errs) == maxUnparsed || strings.EqualFold(result.AST.Children[bad].Value, "from") {
			return nil, errs // without its stage, nothing that follows has a place
		}
		result.AST.Children = slices.Delete(result.AST.Children, bad, bad+1)
		stages, global, err = instructions.Parse(result.AST, lint)
	}
	switch {
	case len(stages) == 0 && len(errs) == 0:
		return nil, []error{errors.New("no FROM in it")}
	case len(stages) == 0:
		return nil, errs
	}
	f.nodes = result.AST.Children
	f.global = global
	for _, s := range stages {
		f.stages = append(f.stages, stage{Stage: s})
	}
	return f, errs
}

func (f *file) last() *stage { return &f.stages[len(f.stages)-1] }

// visit is one instruction on the way through a file, with the variables as they are there.
type visit struct {
	stage  *stage
	cmd    instructions.Command
	first  int // line
	last   int // line
	expand func(string) (value string, unset bool)
}

// walk follows the build from the first instruction to the last, filling each stage.
func (f *file) walk(each func(visit)) {
	f.lex = shell.NewLex(f.escape)
	global := vars{}
	for _, v := range []string{"BUILDPLATFORM", "TARGETPLATFORM"} {
		global[v] = "linux/amd64"
	}
	global["TARGETOS"], global["TARGETARCH"], global["BUILDOS"], global["BUILDARCH"] = "linux", "amd64", "linux", "amd64"
	for _, a := range f.global {
		f.declare(global, nil, a.Args)
	}
	for i := range f.stages {
		if i == maxStages {
			return
		}
		s := &f.stages[i]
		s.base, s.unset = f.expand(global, s.BaseName)
		s.platform, _ = f.expand(global, s.Platform)
		s.env, s.start = vars{}, map[string]string{}
		if s.parent = f.stageNamed(s.base, i); s.parent >= 0 {
			p := &f.stages[s.parent]
			s.image, s.platform = p.image, p.platform
			s.user, s.userLine, s.userSet, s.userOpen = p.user, p.userLine, p.userSet, p.userOpen
			for k, v := range p.env {
				s.env[k] = v
			}
			for k, v := range p.start {
				s.start[k] = v
			}
		} else {
			s.image = normal(s.base)
		}
		f.walkStage(global, s, each)
	}
}

func (f *file) walkStage(global vars, s *stage, each func(visit)) {
	args := vars{}
	scope := layered{s.env, args}
	for _, cmd := range s.Commands {
		at := cmd.Location()
		each(visit{s, cmd, firstLine(at), lastLine(at), func(w string) (string, bool) { return f.expand(scope, w) }})
		switch c := cmd.(type) {
		case *instructions.ArgCommand:
			f.declare(args, layered{s.env, args, global}, c.Args)
		case *instructions.EnvCommand:
			values := make([]string, len(c.Env))
			for i, kv := range c.Env {
				values[i], _ = f.expand(scope, kv.Value)
			}
			for i, kv := range c.Env {
				s.env[kv.Key] = values[i]
			}
		case *instructions.UserCommand:
			s.user, s.userOpen = f.expand(scope, c.User)
			s.userSet, s.userLine = true, firstLine(at)
		case *instructions.EntrypointCommand:
			s.start["ENTRYPOINT"] = strings.Join(c.CmdLine, "\x00")
		case *instructions.CmdCommand:
			s.start["CMD"] = strings.Join(c.CmdLine, "\x00")
		}
	}
}

func (f *file) stageNamed(name string, before int) int {
	for i := before - 1; i >= 0; i-- {
		if f.stages[i].Name != "" && strings.EqualFold(f.stages[i].Name, name) {
			return i
		}
	}
	return -1
}

// declare gives ARGs their values: their own default, or that of the same name declared globally.
func (f *file) declare(into vars, scope shell.EnvGetter, args []instructions.KeyValuePairOptional) {
	if scope == nil {
		scope = into
	}
	for _, a := range args {
		if a.Value != nil {
			into[a.Key], _ = f.expand(scope, *a.Value)
		} else if v, ok := scope.Get(a.Key); ok {
			into[a.Key] = v
		}
	}
}

// Bounds of words and of all words of a file, with their variables replaced: else a file of a few
// lines could double a variable until the memory ends.
const (
	maxWord     = 2 << 10
	maxExpanded = 1 << 20
)

func (f *file) expand(env shell.EnvGetter, word string) (value string, unset bool) {
	if !strings.ContainsAny(word, "$'\"\\`") {
		return word, false
	}
	if len(word) > maxWord {
		return word[:maxWord], true
	}
	if f.expanded > maxExpanded {
		return word, true
	}
	value, missing, err := f.lex.ProcessWord(word, env)
	f.expanded += len(word) + len(value)
	switch {
	case err != nil:
		return word, true
	case len(value) > maxWord:
		return value[:maxWord], true
	}
	return value, len(missing) > 0
}

// vars are variables and their values.
type vars map[string]string

// Get is the variable's value.
func (v vars) Get(key string) (string, bool) { s, ok := v[key]; return s, ok }

// Keys are the variables' names.
func (v vars) Keys() []string {
	keys := make([]string, 0, len(v))
	for k := range v {
		keys = append(keys, k)
	}
	return keys
}

// layered looks a variable up in one scope after the other.
type layered []vars

// Get is the value in the first scope that has one.
func (l layered) Get(key string) (string, bool) {
	for _, v := range l {
		if s, ok := v[key]; ok {
			return s, true
		}
	}
	return "", false
}

// Keys are the names of all scopes.
func (l layered) Keys() (keys []string) {
	for _, v := range l {
		keys = append(keys, v.Keys()...)
	}
	return keys
}

// normal is an image reference in its full form, so that two ways to write one compare equal.
func normal(ref string) string {
	if ref == "scratch" {
		return ref
	}
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return ref
	}
	return reference.TagNameOnly(named).String()
}

func pinned(ref string) bool {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return false
	}
	_, ok := named.(reference.Digested)
	return ok
}

var lineInError = regexp.MustCompile(`^dockerfile parse error on line \d+: `)

// explain is where a parser's error is, and what it says.
func explain(err error) (line int, text string) {
	var at *parser.LocationError
	if errors.As(err, &at) {
		for _, ranges := range at.Locations {
			line = max(line, firstLine(ranges))
		}
	}
	return line, visible(lineInError.ReplaceAllString(err.Error(), ""), 4*maxQuoted)
}

func firstLine(at []parser.Range) int {
	if len(at) == 0 {
		return 0
	}
	return at[0].Start.Line
}

func lastLine(at []parser.Range) int {
	if len(at) == 0 {
		return 0
	}
	return at[len(at)-1].End.Line
}
