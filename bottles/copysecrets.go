package bottles

import (
	"bytes"
	"context"
	"errors"
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
	var unsure []string // only the rules tell
	err := t.Read(ctx, secretFile, func(name string) bool {
		return named(name, keyFiles) || named(name, configFiles) && !named(name, examples)
	},
		func(name string, content []byte) bool {
			switch base := path.Base(name); {
			case len(bytes.TrimSpace(content)) == 0:
			case named(name, keyFiles), bytes.Contains(content, []byte("PRIVATE KEY-----")):
				found.Add(name)
			case strings.Contains(base, ".env") && assignment.Match(content), base == ".npmrc" && npmAuth.Match(content):
				found.Add(name)
			default:
				unsure = append(unsure, name)
			}
			return true
		})
	if err != nil {
		return nil, err
	}
	all, err := searchSecrets(ctx, t, unsure, found.Add)
	if err != nil || found.Count == 0 {
		return nil, err
	}
	what := fmt.Sprintf("these look like credentials, and the agent can read them: %s", found)
	if !all {
		what += "; not all files were looked into"
	}
	return []Notice{{ID: NoticeSecrets, What: what, Fix: "list them in " + filepath.Join(t.Dir, ".bottleignore") + " unless the agent needs them; a route gives it a credential that it never holds"}}, nil
}

// searchSecrets looks into files by the rules that pushes are held to, for as long as a plan can wait. all says that it
// came to the end of them.
func searchSecrets(ctx context.Context, t *workspace.Tree, names []string, find func(string)) (all bool, err error) {
	if len(names) == 0 {
		return true, nil
	}
	rules, err := gitgate.NewScanner()
	if err != nil {
		return false, err
	}
	within, cancel := context.WithTimeout(ctx, secretSearch)
	defer cancel()
	err = t.Read(within, secretFile, func(name string) bool { return slices.Contains(names, name) }, func(name string, content []byte) bool {
		if rules.Rule(within, name, content) != "" {
			find(name)
		}
		return true
	})
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return false, nil
	}
	return within.Err() == nil, err
}

// named says whether the last part of a path matches one of the patterns.
func named(name string, patterns []string) bool {
	base := strings.ToLower(path.Base(name))
	return slices.ContainsFunc(patterns, func(p string) bool { ok, _ := path.Match(p, base); return ok }) // the patterns are well-formed
}
