package manifest

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/tailscale/hujson"

	"bottle-tui/bottles"
	"bottle-tui/sidecars/egress"
)

// Edit is the text of an operator's own manifest with a change of one of its profiles. Everything else keeps its
// bytes: comments, order, line ends, blanks. What the change takes away and is not there, or adds and is there,
// is left alone. The token_ref of a route is the reference itself, not its public name.
//
// It fails when there is no such profile, or when the text has faults before the change or would have some after
// it: then the error wraps Errors.
func Edit(file string, text []byte, profile string, c bottles.Change) ([]byte, error) {
	m, err := Parse(file, text)
	if err != nil {
		return nil, fmt.Errorf("the manifest has faults; mend them first:\n%w", err)
	}
	p, ok := m.Profile(profile)
	if !ok {
		return nil, fmt.Errorf("%s has no profile %s any more", file, quoted(profile))
	}
	tree, err := parseTree(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err) // Parse has read it
	}
	e := newEditor(text)
	at := object(member(object(member(object(&tree), "bottles")), profile))
	if err := e.hosts(at, p, c); err != nil {
		return nil, err
	}
	if err := e.routes(at, p, c); err != nil {
		return nil, err
	}
	out := bytes.TrimSuffix(tree.Pack(), []byte("\n")) // which parseTree has added
	if _, err := Parse(file, out); err != nil {
		return nil, fmt.Errorf("the change would bring faults into the manifest:\n%w", err)
	}
	return out, nil
}

// hosts changes the allowlist.
func (e *editor) hosts(profile *hujson.Object, p Profile, c bottles.Change) error {
	allow, err := rules(p.Egress.Allow)
	if err != nil {
		return err
	}
	add, err := rules(c.Allow)
	if err != nil {
		return err
	}
	remove, err := rules(c.Disallow)
	if err != nil {
		return err
	}
	way := object(member(profile, "egress"))
	hosts := array(member(way, "allow"))
	for i := len(allow) - 1; i >= 0; i-- {
		if slices.Contains(remove, allow[i]) {
			e.remove(elements{hosts}, i)
			allow = slices.Delete(allow, i, i+1)
		}
	}
	for _, rule := range add {
		if slices.Contains(allow, rule) {
			continue
		}
		allow = append(allow, rule)
		if way == nil {
			way = &hujson.Object{}
			e.append(members{profile}, "egress", way)
		}
		if hosts == nil {
			hosts = &hujson.Array{}
			e.append(members{way}, "allow", hosts)
		}
		e.append(elements{hosts}, "", hujson.String(rule.String()))
	}
	return nil
}

func rules(texts []string) ([]egress.Rule, error) {
	var all []egress.Rule
	for _, s := range texts {
		r, err := egress.ParseRule(s)
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

// routes changes cred-proxy's routes.
func (e *editor) routes(profile *hujson.Object, p Profile, c bottles.Change) error {
	proxy := object(member(profile, "cred_proxy"))
	list := array(member(proxy, "routes"))
	have := slices.Clone(p.CredProxy.Routes)
	for i := len(have) - 1; i >= 0; i-- {
		if slices.Contains(c.Unroute, have[i].Path) {
			e.remove(elements{list}, i)
			have = slices.Delete(have, i, i+1)
		}
	}
	for _, r := range c.Routes {
		want := Route{Path: r.Path, Upstream: r.Upstream, AuthScheme: r.AuthScheme, TokenRef: r.TokenRef, Role: r.Roles}
		if i := slices.IndexFunc(have, func(h Route) bool { return h.Path == r.Path }); i >= 0 {
			e.route(object(&list.Elements[i]), have[i], want)
			have[i] = want
			continue
		}
		have = append(have, want)
		if proxy == nil {
			proxy = &hujson.Object{}
			e.append(members{profile}, "cred_proxy", proxy)
		}
		if list == nil {
			list = &hujson.Array{}
			e.append(members{proxy}, "routes", list)
		}
		fresh := &hujson.Object{}
		e.route(fresh, Route{}, want)
		e.append(elements{list}, "", fresh)
	}
	return nil
}

// route makes one route of another, touching only what differs.
func (e *editor) route(obj *hujson.Object, have, want Route) {
	for _, f := range []struct{ name, have, want string }{
		{"path", have.Path, want.Path},
		{"upstream", have.Upstream, want.Upstream},
		{"auth_scheme", have.AuthScheme, want.AuthScheme},
		{"token_ref", have.TokenRef, want.TokenRef},
	} {
		if f.have != f.want {
			e.set(obj, f.name, hujson.String(f.want))
		}
	}
	if slices.Equal(have.Role, want.Role) {
		return
	}
	switch len(want.Role) {
	case 0:
		i := slices.IndexFunc(obj.Members, func(m hujson.ObjectMember) bool { return m.Name.Value.(hujson.Literal).String() == "role" })
		if i >= 0 {
			e.remove(members{obj}, i)
		}
	case 1:
		e.set(obj, "role", hujson.String(want.Role[0]))
	default:
		roles := &hujson.Array{}
		for _, role := range want.Role {
			e.append(elements{roles}, "", hujson.String(role))
		}
		e.set(obj, "role", roles)
	}
}

// set gives a member a value.
func (e *editor) set(obj *hujson.Object, name string, value hujson.ValueTrimmed) {
	if v := member(obj, name); v != nil {
		v.Value = value
		return
	}
	e.append(members{obj}, name, value)
}

// member is the value of a member; nil when there is none.
func member(obj *hujson.Object, name string) *hujson.Value {
	if obj == nil {
		return nil
	}
	for i := range obj.Members {
		if obj.Members[i].Name.Value.(hujson.Literal).String() == name {
			return &obj.Members[i].Value
		}
	}
	return nil
}

func object(v *hujson.Value) *hujson.Object {
	if v == nil {
		return nil
	}
	obj, _ := v.Value.(*hujson.Object)
	return obj
}

func array(v *hujson.Value) *hujson.Array {
	if v == nil {
		return nil
	}
	a, _ := v.Value.(*hujson.Array)
	return a
}
