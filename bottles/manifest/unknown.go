package manifest

import (
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/tailscale/hujson"
)

// otherWords are what other programs call a key, by the type that has it.
var otherWords = map[reflect.Type]map[string]string{
	reflect.TypeFor[File]():   {"profiles": "bottles"},
	reflect.TypeFor[Agent]():  {"profile": "bottle", "cmd": "command", "instructions": "prompt", "mcpServers": "mcp_servers", "mcp": "mcp_servers"},
	reflect.TypeFor[Route]():  {"url": "upstream", "token": "token_ref", "scheme": "auth_scheme"},
	reflect.TypeFor[Remote](): {"url": "upstream", "key": "identity_file", "token": "token_ref"},
}

// unknown reports a key that a struct does not have, and returns the one that was meant, or "".
func (r *reader) unknown(t reflect.Type, obj *hujson.Object, m hujson.ObjectMember, name, path string, known []field) string {
	at := r.position(m.Name.StartOffset)
	if t == reflect.TypeFor[Profile]() {
		if rewrite := oldForm(name, m.Value, obj); rewrite != "" {
			r.add(at, path, "%s", rewrite)
			return ""
		}
	}
	if len(r.list) >= maxErrors {
		r.more++ // as add does, without looking for what was meant
		return ""
	}
	var names []string
	for _, f := range known {
		names = append(names, f.name)
	}
	if meant := otherWords[t][name]; meant != "" {
		r.add(at, path, "unknown key %s; here it is called %s", quoted(name), quoted(meant))
		return meant
	}
	if places := placesOf()[name]; len(places) > 0 {
		r.add(at, path, "unknown key %s; it belongs into %s", quoted(name), strings.Join(places, ", or "))
		return ""
	}
	if near := nearest(name, names); near != "" {
		r.add(at, path, "unknown key %s; did you mean %s?", quoted(name), quoted(near))
		return near
	}
	r.add(at, path, "unknown key %s; the keys here are %s", quoted(name), list(names))
	return ""
}

// placesOf are the objects that have a key, by the key's name.
var placesOf = sync.OnceValue(func() map[string][]string {
	places := map[string][]string{}
	for _, row := range Keys() {
		if i := strings.LastIndexByte(row[0], '.'); i >= 0 && !slices.Contains(places[row[0][i+1:]], row[0][:i]) {
			places[row[0][i+1:]] = append(places[row[0][i+1:]], row[0][:i])
		}
	}
	return places
})
