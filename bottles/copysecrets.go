package bottles

import (
	"bytes"
	"context"
	"fmt"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"bottle-tui/bottles/workspace"
	"bottle-tui/sidecars/gitgate"
)

// NoticeSecrets is the ID of the notice that names files with credentials among what is copied into a bottle.
const NoticeSecrets = "secrets-copied"

// Bounds of the search for credentials in what is copied: it must not hold up a plan.
const (
	secretFile   = 256 << 10       // bytes of a file that is looked into
	secretSearch = 1 * time.Second // for files that only what is in them gives away
)

var (
	// keyFiles hold a credential whatever is in them.
	keyFiles = []string{
		".netrc", "_netrc", ".git-credentials", ".htpasswd", ".vault-token", ".pgpass", ".my.cnf", ".s3cfg", ".credentials.json",
		"*.p12", "*.pfx", "*.jks", "*.keystore", "*.ppk", "*.kdbx",
	}
	// configFiles are those in which people keep credentials, and that are looked into.
	configFiles = []string{
		".env", ".env.*", "*.env", ".envrc", ".npmrc", ".yarnrc*", ".pypirc", ".dockercfg", "*.pem", "*.key", "id_*", "*credential*", "*secret*", "*token*", "kubeconfig*",
		"*.json", "*.yml", "*.yaml", "*.toml", "*.ini", "*.conf", "*.cfg", "*.properties", "*.tfvars", "*.tfstate", "*.sh", "*.txt",
	}
	// examples are meant to be seen.
	examples = []string{"*.example", "*.sample", "*.template", "*.dist", "package-lock.json"}

	assignment = regexp.MustCompile(`(?mi)^[ \t]*(?:export[ \t]+)?[A-Z0-9_]*(?:KEY|TOKEN|SECRET|PASSW|PWD|CREDENTIAL)[A-Z0-9_]*[ \t]*=[ \t]*["']?[^\s"'#$]`)
	npmAuth    = regexp.MustCompile(`(?m)_(?:auth|authToken|password)[ \t]*=[ \t]*["']?[^\s"'$]`)
)

// copiedSecrets is the notice of what in a copy looks like a credential: nothing of it is shown but the files' names.
func copiedSecrets(ctx context.Context, t *workspace.Tree) ([]Notice, error) {
	var found workspace.Names
	var byRule []string // named last: only what is in them gives them away
	var search ruleSearch
	err := t.Read(ctx, secretFile, func(name string) bool {
		return named(name, keyFiles) || named(name, configFiles) && !named(name, examples)
	},
		func(name string, content []byte) error {
			switch base := path.Base(name); {
			case len(bytes.TrimSpace(content)) == 0:
			case named(name, keyFiles), bytes.Contains(content, []byte("PRIVATE KEY-----")):
				found.Add(name)
			case strings.Contains(base, ".env") && assignment.Match(content), base == ".npmrc" && npmAuth.Match(content):
				found.Add(name)
			default:
				secret, err := search.finds(ctx, name, content)
				if secret {
					byRule = append(byRule, name)
				}
				return err
			}
			return nil
		})
	if err != nil {
		return nil, err
	}
	for _, name := range byRule {
		found.Add(name)
	}
	if found.Count == 0 {
		return nil, nil
	}
	what := fmt.Sprintf("these look like credentials, and the agent can read them: %s", found)
	if search.cut {
		what += "; not all files were looked into"
	}
	return []Notice{{ID: NoticeSecrets, What: what, Fix: "list them in " + filepath.Join(t.Dir, ".bottleignore") + " unless the agent needs them; a route gives it a credential that it never holds"}}, nil
}

// ruleSearch looks into files by the rules that pushes are held to, from the first one on for as long as a plan can wait.
type ruleSearch struct {
	rules *gitgate.Scanner // nil before the first file
	until time.Time
	cut   bool // the time was over before the end of a file, and for all after it
}

func (r *ruleSearch) finds(ctx context.Context, name string, content []byte) (bool, error) {
	if r.cut {
		return false, nil
	}
	if r.rules == nil {
		rules, err := gitgate.NewScanner()
		if err != nil {
			return false, err
		}
		r.rules, r.until = rules, time.Now().Add(secretSearch)
	}
	within, cancel := context.WithDeadline(ctx, r.until)
	defer cancel()
	rule := r.rules.Rule(within, name, content)
	r.cut = within.Err() != nil
	return rule != "", nil
}

// named says whether the last part of a path matches one of the patterns.
func named(name string, patterns []string) bool {
	base := strings.ToLower(path.Base(name))
	return slices.ContainsFunc(patterns, func(p string) bool { ok, _ := path.Match(p, base); return ok }) // the patterns are well-formed
}
