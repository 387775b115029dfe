package manifest_test

import (
	"strings"
	"testing"

	"bottle-tui/bottles/manifest"
)

// TestRewritingsAreAccepted: who writes what the error says has a manifest that is read, but for the host key, which
// nobody else can know.
func TestRewritingsAreAccepted(t *testing.T) {
	const (
		key    = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
		routes = `"cred_proxy": {"routes": [{"path": "/gitea/", "upstream": "https://gitea.example.com", "auth_scheme": "token", "token_ref": "GITEA", "role": ["git-insteadof", "tea-login"]},
			{"path": "/npm/x/", "upstream": "https://npm.example.com", "auth_scheme": "bearer", "token_ref": "NPM", "role": "npm-registry"}@]}`
		git = `"git": [{"name": "forge", "upstream": "https://git.example.com/a.git"}@]`
	)
	for name, c := range map[string]struct{ has, old string }{
		"two of a kind":         {``, `"tokens": [{"Kind": "gitea", "TokenRef": "A"}, {"Kind": "gitea", "TokenRef": "B"}, {"kind": "gitea-2"}]`},
		"the same singleton":    {``, `"tokens": [{"Kind": "anthropic", "TokenRef": "A"}, {"Kind": "anthropic", "TokenRef": "B"}, {"Kind": "npm"}, {"Kind": "npm"}]`},
		"kinds of no form":      {``, `"tokens": [{"Kind": ".."}, {"Kind": "a b"}, {"Kind": 1}, {"Kind": "health", "Host": "x y"}, {}, 7]`},
		"no list":               {``, `"tokens": "all"`},
		"an empty list":         {``, `"tokens": []`},
		"beside routes":         {routes, `"tokens": [{"Kind": "npm", "TokenRef": "A"}, {"Kind": "gitea", "TokenRef": "B", "Url": "http://me:pw@gitea.example.com/"}]`},
		"beside an empty proxy": {`"cred_proxy": {"routes": [@]}`, `"tokens": [{"Kind": "npm", "TokenRef": "A"}]`},
		"one host twice":        {``, `"ssh": [{"Host": "forge"}, {"Host": "forge", "Port": 22}, {"Host": "forge-2", "Port": 2222}, {"Name": "HEAD", "Host": "x"}]`},
		"values of no form":     {``, `"ssh": [{"Host": "a b", "User": "git:pw", "IdentityFile": "a\nb", "KnownHostKey": "x"}, {"Host": "h.example.com", "Port": "many", "User": "-"}]`},
		"beside git":            {git, `"ssh": [{"Host": "forge", "Hostname": "git.example.com", "KnownHostKey": "` + key + `"}]`},
	} {
		t.Run(name, func(t *testing.T) {
			has := c.has
			if has != "" {
				has += ", "
			}
			_, err := manifest.Parse("/m.json", []byte(`{"bottles": {"dev": {`+strings.ReplaceAll(has, "@", "")+c.old+`}}}`))
			if err == nil || strings.Contains(err.Error(), "pw@") {
				t.Fatalf("got %v", err)
			}
			_, advice, _ := strings.Cut(err.Error(), " is the old form; ")
			text, write := strings.CutPrefix(advice, "write instead: ")
			if !write {
				_, text, _ = strings.Cut(advice, " instead: ")
				if !strings.Contains(has, "[@") {
					text = ", " + text
				}
				text = strings.Replace(c.has, "@", text, 1)
			}
			text = `{"bottles": {"dev": {` + strings.ReplaceAll(text, "ssh-ed25519 AAAA…", key) + `}}}`
			if _, err := manifest.Parse("/m.json", []byte(text)); err != nil {
				t.Errorf("%s\nis refused: %v", text, err)
			}
		})
	}
}
