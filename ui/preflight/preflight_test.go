package preflight

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/charmbracelet/x/exp/golden"

	"bottle-tui/bottles"
	"bottle-tui/queue"
	"bottle-tui/ui/frame"
)

// full is a plan with something in every place.
func full() *bottles.Preflight {
	return &bottles.Preflight{
		Identity: "coder-k3x9q", Agent: "coder", Profile: "dev", Manifest: "/home/op/src/api/claude-bottle.json", Home: "/home/op/claude-bottle.json",
		Command: []string{"claude", "--settings", "/etc/claude-bottle/settings.json", "--model", "opus", "--effort", "high"}, Claude: true, Args: []string{"--effort", "high"},
		Model: "opus", Settings: []string{"hooks", "outputStyle"}, Servers: []string{"notes", "tickets"},
		Prompt: "Work in small steps, run the tests after each, and say what you did in one line.\n\nChange nothing else.\n",
		Skills: []string{"review", "api-tests"}, Task: "Mend the failing tests.",
		Network: "host", Memory: 8 << 30, Pids: bottles.DefaultPids,
		Image:    bottles.PlannedImage{Reference: "claude-bottle-coder:1f2e3d4c5b6a", Build: true},
		CWD:      "/home/op/src/a-project-with-quite-a-long-name/and-a-directory-in-it/services/api",
		Copy:     &bottles.PlannedCopy{Files: 1200, Bytes: 5 << 20, Ignored: 3},
		EnvNames: []string{"CI", "LANG", "PROJECT_NAME"},
		Egress:   bottles.PlannedEgress{Engine: "builtin", Allow: []string{"api.example.com", "*.example.org", "git.example.com:8443"}},
		Routes: []bottles.PlannedRoute{
			{Path: "/anthropic/", Upstream: "https://api.example.com", AuthScheme: "anthropic-oauth", TokenRef: "CLAUDE_TOKEN", Roles: []string{bottles.RoleBaseURL}},
			{Path: "/git/", Upstream: "https://git.example.com", AuthScheme: "basic", TokenRef: "file:0123456789ab", Slot: 1, Roles: []string{bottles.RoleInsteadOf, bottles.RoleTea}},
			{Path: "/local/", Upstream: "http://127.0.0.1:4873", AuthScheme: "bearer", TokenRef: "CLAUDE_TOKEN"},
		},
		Remotes: []bottles.Remote{
			{Name: "origin", Upstream: "ssh://git@git.example.com/op/project", IdentityFile: "file:0a1b2c3d4e5f", AllowRefs: []string{"refs/heads/agent/*"}, AllowForce: true},
			{Name: "mirror", Upstream: "https://git.example.com/op/mirror"},
			{Name: "docs", Upstream: "https://git.example.com/op/docs", TokenRef: "DOCS_TOKEN", AllowRefs: []string{"refs/heads/*"}, AllowPushOptions: []string{"ci.skip", "ci.variable=*"}, Approve: true},
		},
		GitGate:   []bottles.Forward{{Name: "origin", From: "ssh://git@git.example.com/op/project", To: "git://git-gate:9418/origin"}},
		Supervise: true,
	}
}

func resumed() *bottles.Preflight {
	p := full()
	p.Resume, p.Copy = true, nil
	p.Manifest, p.Prompt, p.Task, p.Network = p.Home, "Write.", "", bottles.DefaultNetwork
	p.Image = bottles.PlannedImage{Reference: "claude-bottle-coder-k3x9q:0a1b2c3d4e5f", Rebuilt: true}
	until := time.Date(2026, 11, 3, 15, 4, 0, 0, time.UTC)
	p.Grants = []bottles.Grant{
		{ID: "1", Tool: queue.ToolEgress, Scope: bottles.Scope{For: time.Hour}, Until: until, Change: bottles.Change{Allow: []string{"files.example.net"}, Disallow: []string{"old.example.net"}}},
		{ID: "2", Tool: queue.ToolCredProxy, Change: bottles.Change{Routes: []bottles.Route{{Path: "/npm/", Upstream: "https://npm.example.com"}}, Unroute: []string{"/x/"}}},
		{ID: "3", Tool: queue.ToolEgress, Scope: bottles.Scope{Profile: true}},
	}
	return p
}

func conflicts() *bottles.Preflight {
	return &bottles.Preflight{
		Identity: "coder-k3x9q", Agent: "coder", Profile: "dev", Manifest: "builtin:demo", Home: "builtin:demo", Command: []string{"/bin/agent", "--say", "a b"}, Network: "none", Memory: bottles.DefaultMemory, Pids: 100, Image: bottles.PlannedImage{Reference: "x:1", Rebuilt: true, Build: true},
		Egress: bottles.PlannedEgress{Engine: "pipelock", Image: "registry.example.com/pipelock:2"},
		Conflicts: []bottles.Conflict{
			{What: "the container claude-bottle-coder-k3x9q exists already and belongs to no bottle of this state root", Fix: "bottle-tui cleanup"},
			{What: "the environment variable CLAUDE_TOKEN is not set", Fix: "export CLAUDE_TOKEN=… before you start this program, or name another token_ref in /home/op/claude-bottle.json"},
			{What: "nothing helps"},
		},
	}
}

const bad = "\x1b[2J\u202eevil\xff\n日本語"

func hostile() *bottles.Preflight {
	return &bottles.Preflight{
		Identity: bad, Agent: bad, Profile: bad, Manifest: bad, Home: "x" + bad, Command: []string{bad}, Prompt: bad, Skills: []string{bad}, Task: bad, Network: bad, Image: bottles.PlannedImage{Reference: bad}, CWD: bad, EnvNames: []string{bad},
		Egress:  bottles.PlannedEgress{Engine: bad, Image: bad, Allow: []string{bad}},
		Routes:  []bottles.PlannedRoute{{Path: bad, Upstream: bad, AuthScheme: bad, TokenRef: bad, Roles: []string{bad}}},
		Remotes: []bottles.Remote{{Name: bad, Upstream: bad, TokenRef: bad, IdentityFile: bad, AllowRefs: []string{bad}, AllowPushOptions: []string{bad}}}, GitGate: []bottles.Forward{{Name: bad, From: bad, To: bad}},
		Grants:    []bottles.Grant{{Tool: bad, Change: bottles.Change{Allow: []string{bad}, Unroute: []string{bad}}}, {Tool: bad}},
		Conflicts: []bottles.Conflict{{What: bad, Fix: bad}},
	}
}

func TestText(t *testing.T) {
	local := time.Local
	time.Local = time.UTC
	defer func() { time.Local = local }()
	for name, plan := range map[string]*bottles.Preflight{"full": full(), "resumed": resumed(), "conflicts": conflicts(), "hostile": hostile()} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := Text(&out, plan, 76); err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(out.String()) {
				if line = strings.TrimSuffix(line, "\n"); frame.Width(line) > 76 || strings.ContainsFunc(line, unicode.IsControl) {
					t.Errorf("%d cells: %q", frame.Width(line), line)
				}
			}
			golden.RequireEqual(t, out.Bytes())
		})
	}
}

func TestRows(t *testing.T) {
	rows := Rows(conflicts())
	at := slices.IndexFunc(rows, func(r Row) bool { return r.Style == Conflict })
	if at < 0 || len(rows)-at != 5 || slices.ContainsFunc(rows[at:], func(r Row) bool { return r.Style != Conflict }) {
		t.Errorf("the conflicts are not last: %+v", rows)
	}
	for _, p := range []*bottles.Preflight{full(), resumed(), hostile()} {
		for _, r := range Rows(p) {
			if r.Value == "" || r.Value != queue.Visible(r.Value) {
				t.Errorf("the row %+v", r)
			}
		}
	}
}
