package manifest

import (
	"encoding/json"
	"strconv"

	"github.com/tailscale/hujson"
)

// Object is an object in another program's format, which goes to that program as it is written. A number in it is a
// json.Number.
type Object map[string]any

// read reads the object. What only a token looks like is refused, since the agent reads all that is in it.
func (o *Object) read(r *reader, v hujson.Value, path string, _ field) {
	if _, ok := v.Value.(*hujson.Object); !ok {
		r.wrong(v, path, "an object")
		return
	}
	*o, _ = r.free(v, path).(map[string]any)
}

// free is a value of any type, with the places of all that is in it.
func (r *reader) free(v hujson.Value, path string) any {
	r.values[path] = r.position(v.StartOffset)
	switch value := v.Value.(type) {
	case *hujson.Object:
		all, seen := map[string]any{}, map[string]bool{}
		for _, m := range value.Members {
			if name, ok := r.name(m, path, seen); ok {
				all[name] = r.free(m.Value, join(path, name))
			}
		}
		return all
	case *hujson.Array:
		all := make([]any, 0, len(value.Elements))
		for i, e := range value.Elements {
			all = append(all, r.free(e, path+"["+strconv.Itoa(i)+"]"))
		}
		return all
	case hujson.Literal:
		switch value.Kind() {
		case '"':
			s := value.String()
			if plainToken.MatchString(s) {
				r.fault(path, "this looks like a token, which the agent would read; take it out, and let the agent use it without having it: cred_proxy.routes")
			}
			return s
		case '0':
			if _, err := strconv.ParseFloat(string(value), 64); err != nil {
				r.fault(path, "%s is no number that a program can keep; write a smaller one", found(v))
			}
			return json.Number(string(value))
		case 't', 'f':
			return value.Bool()
		}
	}
	return nil
}
