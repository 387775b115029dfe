package bottles

import (
	"slices"
	"strings"
	"testing"

	"bottle-tui/bottles/workspace"
)

// Files with credentials that would be copied are named in the plan, without what is in them; what only looks so by its
// name is not.
func TestThePlanNamesCopiedCredentials(t *testing.T) {
	token := "ghp_" + strings.Repeat("a1B2c3D4e", 4)
	key := "-----BEGIN OPENSSH PRIVATE " + "KEY-----\nb3BlbnNzaC1rZXktdjE=\n"
	held := map[string]string{
		".env": "DEBUG=1\nDB_PASSWORD=hunter2\n", "sub/.env.local": "export API_KEY='x1'\n", ".npmrc": "//registry.example/:_authToken=abc\n", "deploy/id_ed25519": key,
		".netrc": "machine a login b password c\n", "certs/server.key": key, "config.yml": "github: " + token + "\n", "store.p12": "x",
	}
	files := map[string]string{
		".env.example": "DB_PASSWORD=put-it-here\n", "ca.pem": "-----BEGIN CERTIFICATE-----\n", "other/.npmrc": "fund=false\n", "other/.env": "DEBUG=1\nAPI_KEY=\n",
		"empty/.netrc": "", "settings.json": `{"a": 1}`, "main.go": "package main // " + token + "\n", "id_card.txt": "a name\n",
	}
	for name, content := range held {
		files[name] = content
	}
	dir := planted(t, files, nil)
	var p Preflight
	planCopy(t.Context(), dir, workspace.Options{}, &p)
	i := slices.IndexFunc(p.Notices, func(n Notice) bool { return n.ID == NoticeSecrets })
	if i < 0 {
		t.Fatalf("the notices are %+v", p.Notices)
	}
	n := p.Notices[i]
	if !strings.Contains(n.What, "and 3 more") || n.Ask || !strings.Contains(n.Fix, ".bottleignore") {
		t.Errorf("%d hold something; the notice is %+v", len(held), n)
	}
	for _, secret := range []string{token, "hunter2", "b3Blbn"} {
		if strings.Contains(n.What+n.Fix, secret) {
			t.Errorf("it shows %q: %s", secret, n.What)
		}
	}
	for name := range files {
		if _, ok := held[name]; !ok && strings.Contains(n.What, `"`+name+`"`) {
			t.Errorf("%s is named: %s", name, n.What)
		}
	}
	planned := planted(t, map[string]string{"main.go": "package main\n", ".env.example": "DB_PASSWORD=put-it-here\n"}, nil)
	p = Preflight{}
	if planCopy(t.Context(), planned, workspace.Options{}, &p); len(p.Notices) != 0 {
		t.Errorf("an ordinary project has the notices %+v", p.Notices)
	}
}
