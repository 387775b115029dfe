package manifest

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/tailscale/hujson"
)

// reader fills the types of the format from a tree and collects every fault. A value that has one is left out.
type reader struct {
	*source
	faults
	home    string              // the operator's home directory
	project bool                // the file is a project's, which somebody else may have written
	values  map[string]Position // of each value, by its path
	names   map[string]Position // of each key
	types   map[reflect.Type][]field
}

func newReader(file string, text []byte, project bool) *reader {
	home, _ := os.UserHomeDir() // without one, "~/" stays as it is
	return &reader{source: newSource(file, text), home: home, project: project,
		values: map[string]Position{}, names: map[string]Position{}, types: map[reflect.Type][]field{}}
}

// file reads the whole file. ok is false when not even its outermost shape could be read.
func (r *reader) read() (f File, ok bool) {
	v, ok := r.parse(&r.faults)
	if !ok {
		return File{}, false
	}
	if _, isObject := v.Value.(*hujson.Object); !isObject {
		r.add(r.position(v.StartOffset), "", "want an object, found %s; write {\"bottles\": {…}, \"agents\": {…}}", found(v))
		return File{}, false
	}
	r.value(v, reflect.ValueOf(&f).Elem(), "", field{})
	return f, true
}

// fault reports one at the value with a path.
func (r *reader) fault(path, format string, a ...any) {
	r.add(r.values[path], path, format, a...)
}

// field is what a struct's tags say of a key.
type field struct {
	name     string
	index    int
	required bool
	kind     string // of the text, or of each text in the list
	names    string // kind of the names of Entries
	about    string // the description
}

// fields are the keys of a struct type, in order.
func fields(t reflect.Type) []field {
	var all []field
	for i := range t.NumField() {
		tag := t.Field(i).Tag
		name, options, _ := strings.Cut(tag.Get("json"), ",")
		if name == "-" {
			continue
		}
		all = append(all, field{name: name, index: i, required: options == "",
			kind: tag.Get("kind"), names: tag.Get("names"), about: tag.Get("jsonschema")})
	}
	return all
}

// own is a type that reads itself.
type own interface {
	read(r *reader, v hujson.Value, path string, f field)
}

func (r *reader) value(v hujson.Value, into reflect.Value, path string, f field) {
	r.values[path] = r.position(v.StartOffset)
	if special, ok := into.Addr().Interface().(own); ok {
		special.read(r, v, path, f)
		return
	}
	switch into.Kind() {
	case reflect.Struct:
		r.object(v, into, path)
	case reflect.Slice:
		array, ok := v.Value.(*hujson.Array)
		if !ok {
			r.wrong(v, path, "a list")
			return
		}
		for i, e := range array.Elements {
			one := reflect.New(into.Type().Elem()).Elem()
			before := r.count()
			r.value(e, one, path+"["+strconv.Itoa(i)+"]", f)
			if one.Kind() == reflect.Struct || r.count() == before {
				into.Set(reflect.Append(into, one))
			}
		}
	case reflect.String:
		if text, ok := r.text(v, path, f); ok {
			into.SetString(text)
		}
	case reflect.Bool:
		switch literal, _ := v.Value.(hujson.Literal); string(literal) {
		case "true", "false":
			into.SetBool(literal.Bool())
		default:
			r.wrong(v, path, "true or false")
		}
	case reflect.Int64:
		literal, _ := v.Value.(hujson.Literal)
		n, err := strconv.ParseInt(string(literal), 10, 64)
		switch {
		case err != nil:
			r.wrong(v, path, "a whole number")
		case n < 1 || f.kind == "pids" && (n < minPids || n > maxPids):
			r.fault(path, "%d is out of range; write a number from %d to %d", n, minPids, maxPids)
		default:
			into.SetInt(n)
		}
	default:
		panic("a field of a type that a manifest can't hold: " + into.Type().String())
	}
}

// count is how many faults there are.
func (r *reader) count() int { return len(r.list) + r.more }

// text reads a text of the field's kind, as it is kept.
func (r *reader) text(v hujson.Value, path string, f field) (string, bool) {
	literal, isLiteral := v.Value.(hujson.Literal)
	if !isLiteral || literal.Kind() != '"' {
		r.wrong(v, path, "a text")
		return "", false
	}
	s := literal.String()
	k, ok := kinds[f.kind]
	if !ok {
		return s, true
	}
	if wrong := k.wrong(s); wrong != "" {
		r.fault(path, "%s", wrong)
		return "", false
	}
	switch f.kind {
	case "file":
		return r.absolute(s), true
	case "skill":
		return r.skill(s, path)
	}
	return s, true
}

// object reads the members of an object into a struct.
func (r *reader) object(v hujson.Value, into reflect.Value, path string) {
	obj, ok := v.Value.(*hujson.Object)
	if !ok {
		r.wrong(v, path, "an object")
		return
	}
	if at := into.FieldByName("At"); at.IsValid() {
		at.Set(reflect.ValueOf(r.position(v.StartOffset)))
	}
	known := r.types[into.Type()]
	if known == nil {
		known = fields(into.Type())
		r.types[into.Type()] = known
	}
	seen, meant := map[string]bool{}, map[string]bool{}
	for _, m := range obj.Members {
		name, ok := r.name(m, path, seen)
		if !ok {
			continue
		}
		i := slices.IndexFunc(known, func(f field) bool { return f.name == name })
		if i < 0 {
			meant[r.unknown(into.Type(), obj, m, name, path, known)] = true // what was meant is not missing, too
			continue
		}
		r.value(m.Value, into.Field(known[i].index), join(path, name), known[i])
	}
	for _, f := range known {
		if f.required && !seen[f.name] && !meant[f.name] {
			about, _, _ := strings.Cut(strings.TrimSuffix(f.about, "."), ". ")
			r.fault(path, "%s is missing: %s%s", quoted(f.name), strings.ToLower(about[:1]), about[1:])
		}
	}
}

// name is a member's name, unless it was seen before.
func (r *reader) name(m hujson.ObjectMember, path string, seen map[string]bool) (string, bool) {
	name := m.Name.Value.(hujson.Literal).String()
	at := r.position(m.Name.StartOffset)
	if seen[name] {
		first := r.names[join(path, name)]
		r.add(at, path, "the key %s is here twice, first at %d:%d; keep one", quoted(name), first.Line, first.Column)
		return "", false
	}
	seen[name] = true
	r.names[join(path, name)] = at
	return name, true
}

// wrong reports a value of another type than the one wanted, with a way to mend it where that is plain.
func (r *reader) wrong(v hujson.Value, path, want string) {
	if strings.HasSuffix(path, ".token_ref") && v.Value.Kind() != 'n' {
		r.fault(path, "want %s in quotes: the name of an environment variable, file:PATH, or cmd:COMMAND", want) // and no word of what stands there
		return
	}
	literal, isLiteral := v.Value.(hujson.Literal)
	hint := ""
	if isLiteral {
		switch kind := literal.Kind(); {
		case kind == 'n':
			hint = "; leave the key out instead"
		case want == "a list" && kind == '"' && (strings.HasSuffix(path, ".command") || strings.HasSuffix(path, ".args")):
			hint = "; write [" + list(strings.Fields(literal.String())) + "]"
		case want == "a list" && kind == '"':
			hint = "; write [" + quoted(literal.String()) + "]"
		case want == "true or false" && kind == '"' && (literal.String() == "true" || literal.String() == "false"):
			hint = "; write " + literal.String() + " without quotes"
		case want == "a text":
			hint = `; write "` + string(literal[:min(len(literal), maxQuoted)]) + `"`
		}
	}
	r.fault(path, "want %s, found %s%s", want, found(v), hint)
}

// found names what a value is.
func found(v hujson.Value) string {
	switch v.Value.Kind() {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case '"':
		return "the text " + quoted(v.Value.(hujson.Literal).String())
	case '0':
		return "the number " + string(v.Value.(hujson.Literal)[:min(len(v.Value.(hujson.Literal)), maxQuoted)])
	}
	return string(v.Value.(hujson.Literal))
}

var plainKey = regexp.MustCompile(`^[A-Za-z0-9_$-]{1,64}$`)

// join is the path of a member of the value at path.
func join(path, name string) string {
	switch {
	case !plainKey.MatchString(name):
		return path + "[" + quoted(name) + "]"
	case path == "":
		return name
	}
	return path + "." + name
}

// read reads an object whose names the operator chose.
func (e *Entries[T]) read(r *reader, v hujson.Value, path string, f field) {
	obj, ok := v.Value.(*hujson.Object)
	if !ok {
		r.wrong(v, path, "an object")
		return
	}
	seen := map[string]bool{}
	for _, m := range obj.Members {
		name, ok := r.name(m, path, seen)
		if !ok {
			continue
		}
		entry := Entry[T]{Name: name, At: r.names[join(path, name)]}
		before := r.count()
		if wrong := kinds[f.names].wrong(name); wrong != "" {
			r.add(entry.At, path, "%s", wrong)
		}
		into := reflect.ValueOf(&entry.Value).Elem()
		r.value(m.Value, into, join(path, name), f)
		if into.Kind() == reflect.Struct || r.count() == before {
			*e = append(*e, entry)
		}
	}
}

// read reads one role, or a list of them.
func (roles *Roles) read(r *reader, v hujson.Value, path string, f field) {
	if v.Value.Kind() != '[' {
		if v.Value.Kind() != '"' {
			r.wrong(v, path, "a text or a list of texts")
		} else if s, ok := r.text(v, path, f); ok {
			*roles = Roles{s}
		}
		return
	}
	for i, e := range v.Value.(*hujson.Array).Elements {
		at := fmt.Sprintf("%s[%d]", path, i)
		r.values[at] = r.position(e.StartOffset)
		s, ok := r.text(e, at, f)
		switch {
		case !ok:
		case slices.Contains(*roles, s):
			r.fault(at, "the role %s is here twice; keep one", quoted(s))
		default:
			*roles = append(*roles, s)
		}
	}
}

// read reads a number of bytes, or a text with a unit.
func (b *Bytes) read(r *reader, v hujson.Value, path string, f field) {
	literal, _ := v.Value.(hujson.Literal)
	text := string(literal)
	switch v.Value.Kind() {
	case '"':
		text = literal.String()
	case '0':
	default:
		r.wrong(v, path, `a number of bytes or a text such as "4g"`)
		return
	}
	n, wrong := sizes[f.kind].parse(text)
	if wrong != "" {
		r.fault(path, "%s", wrong)
		return
	}
	*b = Bytes(n)
}

// absolute is a path of the file as it is kept: "~/" and a path relative to the file are resolved.
func (r *reader) absolute(path string) string {
	if rest, ok := strings.CutPrefix(path, "~/"); ok && r.home != "" {
		return filepath.Join(r.home, rest)
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(r.file), path)
	}
	return filepath.Clean(path)
}

// skill is the directory of a skill. A project's manifest is not the operator's own: it must not name
// directories outside the project, which would be copied to where the agent reads them.
func (r *reader) skill(s, path string) (string, bool) {
	if !strings.Contains(s, "/") {
		return filepath.Join(r.home, ".claude", "skills", s), true
	}
	if !r.project {
		return r.absolute(s), true
	}
	const advice = "a project's manifest may name skills within the project alone; write a path below it, or a name of one in ~/.claude/skills"
	if strings.HasPrefix(s, "~") || !filepath.IsLocal(s) {
		r.fault(path, "%s is outside the project: %s", quoted(s), advice)
		return "", false
	}
	dir := r.absolute(s)
	root, err := filepath.EvalSymlinks(filepath.Dir(r.file))
	if err == nil {
		var real string
		if real, err = filepath.EvalSymlinks(dir); err == nil {
			if rel, relErr := filepath.Rel(root, real); relErr != nil || !filepath.IsLocal(rel) {
				r.fault(path, "%s leads out of the project by a link: %s", quoted(s), advice)
				return "", false
			}
		}
	}
	return dir, true
}
