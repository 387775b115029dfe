package bottles

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/crypto/ssh"

	"bottle-tui/sidecars/gitgate"
)

// overSSH says whether a remote's upstream is reached by ssh.
func (r Remote) overSSH() bool { return !strings.HasPrefix(r.Upstream, "https:") }

// gate is a remote as git-gate's configuration has it.
func (r Remote) gate() gitgate.Remote {
	return gitgate.Remote{
		Name: r.Name, Upstream: r.Upstream, Secret: r.secretName(), KnownHost: r.KnownHost,
		AllowRefs: r.AllowRefs, AllowPushOptions: r.AllowPushOptions, AllowForce: r.AllowForce, Approve: r.Approve,
		MaxPush: r.MaxPush, MaxObject: r.MaxObject,
	}
}

// address is how the agent reaches a remote: at git-gate, by the protocol that fits its upstream.
func (r Remote) address() string {
	to, err := r.gate().Address()
	if err != nil {
		return "" // the manifest was checked; git-gate's configuration says what is wrong with any other
	}
	return to
}

// secretName is the public name under which git-gate gets a remote's key or token; "" for one that needs none.
func (r Remote) secretName() string {
	switch {
	case r.overSSH():
		return TokenName(refFile + r.IdentityFile)
	case r.TokenRef != "":
		return TokenName(r.TokenRef)
	}
	return ""
}

// remoteConfig is the part of the agent's ~/.gitconfig by which git reaches the brokered remotes under their usual addresses.
func remoteConfig(remotes []Remote) string {
	var gates []gitgate.Remote
	for _, r := range remotes {
		gates = append(gates, r.gate())
	}
	text, _ := gitgate.GitConfig(gates) // what can't be named there is left out; git-gate's configuration says why
	return text
}

// gateConfig is git-gate's configuration.
func (l layout) gateConfig() gitgate.Config {
	c := gitgate.Config{Identity: l.identity, CA: string(l.profile.CA)}
	for _, r := range l.profile.Git {
		c.Remotes = append(c.Remotes, r.gate())
	}
	return c
}

// keys has the key or token of every remote; what is missing comes as conflicts, which never hold any of it.
func (x *execution) keys(ctx context.Context, remotes []Remote) (map[string]string, []Conflict) {
	secrets := map[string]string{}
	var missing []Conflict
	for _, r := range remotes {
		name := r.secretName()
		if name == "" || secrets[name] != "" {
			continue
		}
		var value string
		var err error
		what, fix := "key", x.sup.keyFix(r.IdentityFile)
		if r.overSSH() {
			value, err = readKey(r.IdentityFile)
		} else {
			value, err = x.token(ctx, r.TokenRef)
			what, fix = "token "+name, x.sup.tokenFix(r.TokenRef)
		}
		if err != nil {
			missing = append(missing, Conflict{
				What: fmt.Sprintf("git remote %s can't have its %s: %s", r.Name, what, strings.TrimPrefix(err.Error(), "token "+name+": ")), Fix: fix,
			})
			continue
		}
		secrets[name] = value
	}
	return secrets, missing
}

// maxKey bounds a private key, in bytes.
const maxKey = 64 << 10

// keyFix says what to do about a key that can't be had.
func (s *Supervisor) keyFix(path string) string {
	where := "the remote's identity_file in the manifest"
	if l, ok := s.cfg.Catalog.(Locator); ok {
		where = orDefault(l.Where(refFile+path), where)
	}
	return "put it into its file, which is " + where + ", or name another there"
}

// readKey reads a private key that needs no passphrase. Its error holds nothing of the file, nor its path.
func readKey(path string) (string, error) {
	key, err := readKeyFile(path)
	var of *fs.PathError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", errors.New("its file is not there")
	case errors.As(err, &of):
		return "", fmt.Errorf("its file can't be read: %w", of.Err)
	case err != nil:
		return "", err
	}
	var locked *ssh.PassphraseMissingError
	if _, err := ssh.ParseRawPrivateKey(key); errors.As(err, &locked) {
		return "", errors.New("it has a passphrase, which nobody can type there: make a key of its own for the agents, without one")
	} else if err != nil {
		return "", errors.New("its file is not a private key in a form that ssh knows")
	}
	return string(key), nil
}

func readKeyFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxKey {
		return nil, errors.New("its file is not a private key: it is no file, or too large")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxKey))
}
