package manifest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"bottle-tui/bottles"
	"bottle-tui/bottles/claudecode"
	"bottle-tui/sidecars/egress"
	"bottle-tui/sidecars/gitgate"
)

const (
	maxDockerfile = 256 << 10 // bytes, as of a request
	maxCA         = 1 << 20   // bytes of the PEM file with a company's roots
)

// SessionsOfClaude is the session of a program that takes Claude Code's flags for one.
const SessionsOfClaude = "claude-code"

// bottle is what a bottle of an agent is launched from. It reads the files that the profile and the agent name; an error
// is Errors, with a fault for each that can't be had, where it is named.
func (m *Manifest) bottle(p Profile, a Agent) (bottles.Profile, error) {
	path := join("bottles", p.Name)
	var own, agents faults
	read := func(key, file string, limit int64) []byte {
		content, err := small(file, limit)
		if err != nil {
			own.add(m.places[m.Home][path+key], path+key, "%v", err)
		}
		return content
	}
	options := claudecode.Options{Prompt: a.Prompt, Skills: a.Skills, Command: a.Command, Args: a.Args, ResumeArgs: a.ResumeArgs, Sessions: a.Session == SessionsOfClaude, Supervise: p.Supervise,
		Model: a.Model, Settings: a.Settings, MCPServers: a.servers()}
	files, err := claudecode.Files(options)
	if err != nil {
		m.badSkills(&agents, a, err)
	}
	out := bottles.Profile{
		Agent: a.Name, Name: p.Name, Manifest: a.At.File, Home: m.Home,
		Prompt: a.Prompt, Command: slices.Clone(a.Command), Args: slices.Clone(a.Args),
		Model: a.Model, Settings: raw(a.Settings), MCPServers: raw(options.MCPServers),
		BuildNetwork: p.BuildNetwork, Program: claudecode.Program(options), Env: p.environment(), Files: files,
		Supervise: p.Supervise, Egress: p.Egress.hosts(), EgressEngine: p.Egress.Engine, EgressImage: p.Egress.Image,
		SkipIgnored: p.Copy.SkipIgnored, Memory: int64(p.Limits.Memory), Pids: p.Limits.Pids, GitUser: bottles.GitUser(p.GitUser),
	}
	for _, dir := range a.Skills {
		out.Skills = append(out.Skills, filepath.Base(dir))
	}
	if out.BuildNetwork == "" {
		out.BuildNetwork = "default"
	}
	if out.EgressEngine == "" {
		out.EgressEngine = EngineBuiltin
	}
	switch {
	case p.Image.Dockerfile != "":
		out.Dockerfile = read(".image.dockerfile", p.Image.Dockerfile, maxDockerfile)
	case p.Image.Reference != "":
		out.Dockerfile = []byte("FROM " + p.Image.Reference + "\n")
	default:
		out.Dockerfile = claudecode.Dockerfile(p.Image.Base)
	}
	if p.CredProxy.CAFile != "" {
		out.CA = read(".cred_proxy.ca_file", p.CredProxy.CAFile, maxCA)
	}
	for _, r := range p.CredProxy.Routes {
		out.Routes = append(out.Routes, bottles.Route{Path: r.Path, Upstream: r.Upstream, AuthScheme: r.AuthScheme,
			TokenRef: r.TokenRef, Roles: slices.Clone([]string(r.Role))})
	}
	for _, g := range p.Git {
		out.Git = append(out.Git, bottles.Remote{Name: g.Name, Upstream: g.Upstream, IdentityFile: g.IdentityFile,
			KnownHost: g.KnownHost, TokenRef: g.TokenRef, AllowRefs: g.allowRefs(), AllowPushOptions: slices.Clone(g.AllowOptions),
			AllowForce: g.AllowForce, Approve: g.Approve, MaxPush: int64(g.MaxPush), MaxObject: int64(g.MaxObject)})
	}
	if err := joined(own.sorted(), agents.sorted()); err != nil {
		return bottles.Profile{}, err
	}
	return out, nil
}

// servers are the agent's MCP servers by name.
func (a Agent) servers() map[string]map[string]any {
	all := map[string]map[string]any{}
	for _, e := range a.MCPServers {
		all[e.Name] = e.Value
	}
	return all
}

// raw are the members of an object as text, to be compared and named; nil for none.
func raw[T any](object map[string]T) map[string]json.RawMessage {
	if len(object) == 0 {
		return nil
	}
	all := map[string]json.RawMessage{}
	for name, value := range object {
		all[name], _ = json.Marshal(value) // it was read as JSON
	}
	return all
}

// badSkills finds what is wrong with each of an agent's skills, which can't be had together for the reason why.
func (m *Manifest) badSkills(f *faults, a Agent, why error) {
	path := join("agents", a.Name) + ".skills"
	for i, dir := range a.Skills {
		_, err := claudecode.Files(claudecode.Options{Skills: []string{dir}})
		if err == nil {
			continue
		}
		at := fmt.Sprintf("%s[%d]", path, i)
		f.add(m.places[a.At.File][at], at, "%s", badSkill(dir, err))
	}
	if len(f.list) == 0 { // each alone would do
		f.add(m.places[a.At.File][path], path, "%v", why)
	}
}

func badSkill(dir string, err error) string {
	if !errors.Is(err, fs.ErrNotExist) {
		return err.Error()
	}
	text := fmt.Sprintf("there is no skill %s; put a directory with a SKILL.md there, or take it out", quoted(dir))
	parent, name := filepath.Split(dir)
	entries, err := os.ReadDir(parent)
	if err != nil {
		return text
	}
	var names []string
	for _, e := range entries[:min(len(entries), maxNames)] {
		if _, err := os.Stat(filepath.Join(parent, e.Name(), "SKILL.md")); err == nil {
			names = append(names, e.Name())
		}
	}
	if near := nearest(name, names); near != "" {
		return fmt.Sprintf("there is no skill %s; did you mean %s?", quoted(dir), quoted(near))
	}
	return text
}

// maxNames bounds in how many entries of a directory a near name is looked for.
const maxNames = 1000

// hosts are the rules of the allowlist, each once however it is written.
func (e Egress) hosts() []string {
	var all []string
	seen := map[egress.Rule]bool{}
	for _, host := range e.Allow {
		rule, err := egress.ParseRule(host)
		if err == nil && seen[rule] {
			continue
		}
		seen[rule] = true
		all = append(all, host)
	}
	return all
}

// allowRefs are the refs that may be pushed; none written is every branch, and an empty list none.
func (g Remote) allowRefs() []string {
	if g.AllowRefs == nil {
		return gitgate.DefaultAllowRefs()
	}
	return append([]string{}, g.AllowRefs...)
}

// environment is Claude Code's, then the profile's own, which wins where both name a variable.
func (p Profile) environment() []string {
	var env []string
	for _, e := range claudecode.Env() {
		name, _, _ := strings.Cut(e, "=")
		if !slices.ContainsFunc(p.Env, func(own Entry[string]) bool { return own.Name == name }) {
			env = append(env, e)
		}
	}
	for _, e := range p.Env {
		env = append(env, e.Name+"="+e.Value)
	}
	return env
}

// maxPlaces bounds how many places of one credential are named.
const maxPlaces = 3

// Where says which keys of the operator's own manifest name a credential, for those who look for it: a token_ref, or an
// identity_file with "file:" in front.
func (c *Catalog) Where(ref string) string {
	m, _ := c.load(c.project)
	if m == nil || ref == "" {
		return ""
	}
	var places []string
	for _, p := range m.Profiles {
		path := join("bottles", p.Name)
		for i, r := range p.CredProxy.Routes {
			if r.TokenRef == ref {
				places = append(places, fmt.Sprintf("%s.cred_proxy.routes[%d].token_ref", path, i))
			}
		}
		for i, g := range p.Git {
			switch {
			case g.TokenRef == ref:
				places = append(places, fmt.Sprintf("%s.git[%d].token_ref", path, i))
			case g.IdentityFile != "" && refFile+g.IdentityFile == ref:
				places = append(places, fmt.Sprintf("%s.git[%d].identity_file", path, i))
			}
		}
	}
	if len(places) == 0 {
		return ""
	}
	more := ""
	if n := len(places) - maxPlaces; n > 0 {
		places, more = places[:maxPlaces], fmt.Sprintf(" and %d more", n)
	}
	return strings.Join(places, ", ") + more + " in " + m.Home
}
