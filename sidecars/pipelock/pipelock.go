// Package pipelock lets the real pipelock stand in the place of the built-in egress: it writes its configuration
// from a bottle's allowlist and reads its log as the lines that the sidecars of this program speak in. It runs
// nothing, and it must not soften a rule that pipelock can't express: such a rule is an error.
//
// It is made for pipelock 2.3.0. Its image could not be had where this was built: no test here runs it. The configuration
// and the log lines are those that its program, made from the public source of that version, took and wrote.
//
// What its container needs:
//   - The image is the profile's; its entrypoint is /pipelock, Command are its arguments. It is FROM scratch.
//   - The directory sidecars.ConfigDir is a volume, and Archive is unpacked into it before the start and at every
//     change. pipelock watches the directory: a single file must not be mounted.
//   - It joins the bottle's pod, whose holder stays the container "egress", run as `sidecar egress -listen off`. That
//     one answers the agent's DNS questions, which pipelock does not, keeps the pod's address and names while
//     pipelock is replaced, and reads the same allowlist as egress.Config.
//   - A read-only root, no capabilities and any user will do; it must be able to read the file.
//
// A change is in force when a line says EventConfig with sidecars.Hash of the file. There is no end of a rule in it: who
// opens a host for a time takes it out again.
//
// No name leads to a private address by it, as by the built-in egress (pipelock's trusted_domains are not written).
package pipelock

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"bottle-tui/sidecars"
	"bottle-tui/sidecars/egress"
)

// ConfigFile is where pipelock finds its configuration.
const ConfigFile = sidecars.ConfigDir + "/" + configName

const configName = "pipelock.yaml"

// portMetrics is where pipelock tells its figures, on the pod's loopback: on the proxy's port the agent would reach them.
// Its API is there, and answers nobody (503) as long as no token is configured; pipelock would move it only with one.
const portMetrics = 9890

// nobody is the allowlist of a bottle that has none: pipelock demands an entry, and no name under .invalid exists
// (RFC 6761).
const nobody = "nobody.invalid"

// Command are the arguments of pipelock's own entrypoint.
func Command() []string { return []string{"run", "--config", ConfigFile} }

// Absent says that an engine lacks the image, and what to do: nothing pulls it unasked.
func Absent(image string) (what, fix string) {
	return "the engine does not have pipelock's image " + image,
		fmt.Sprintf("fetch it with `docker pull %s`, or `docker load` what was saved elsewhere; or take \"engine\" and \"image\" out of the profile's egress for the built-in one", image)
}

// Config is what a bottle's pipelock is to do.
type Config struct {
	// Allow are rules as egress reads them, but names without ports alone: pipelock lets any port of a host through.
	Allow []string
}

// Encode is the configuration as pipelock's file. The same rules, in whatever order, are the same text.
func (c Config) Encode() ([]byte, error) {
	allow, err := names(c.Allow)
	if err != nil {
		return nil, err
	}
	if len(allow) == 0 {
		allow = []string{nobody}
	}
	var b bytes.Buffer
	b.WriteString("version: 1\nmode: strict\napi_allowlist:\n")
	for _, name := range allow {
		fmt.Fprintf(&b, "  - %q\n", name) // letters, digits, "-", "_", "." and "*" alone
	}
	// 60 tunnels a minute, two minutes of silence and names with many different letters are an agent's ordinary day:
	// what pipelock forbids by default there is lifted. Zero would mean the default.
	fmt.Fprintf(&b, `fetch_proxy:
  listen: "0.0.0.0:%d"
  monitoring:
    max_requests_per_minute: 100000
    subdomain_entropy_threshold: 8.0
forward_proxy:
  enabled: true
  idle_timeout_seconds: 3600
  max_tunnel_seconds: 86400
request_body_scanning:
  enabled: false
response_scanning:
  enabled: true
  action: warn
metrics_listen: "127.0.0.1:%d"
sentry:
  enabled: false
`, sidecars.PortEgress, portMetrics)
	return b.Bytes(), nil
}

// Check says why pipelock can't keep a rule in egress's notation; nil when it can.
func Check(rule string) error {
	_, err := name(rule)
	return err
}

// name is a rule as pipelock writes it.
func name(rule string) (string, error) {
	r, err := egress.ParseRule(rule)
	if err != nil {
		return "", err
	}
	switch {
	case r.Port != 0:
		return "", fmt.Errorf("allowlist entry %q: pipelock knows no ports; write the host alone, which lets any port of it through, or use the built-in egress", rule)
	case strings.Contains(r.Host, ":") || digitsAndDots(r.Host):
		return "", fmt.Errorf("allowlist entry %q: pipelock's allowlist is of names; give the address a name, or use the built-in egress", rule)
	}
	return r.String(), nil
}

// names are rules as pipelock writes them, sorted, each once.
func names(rules []string) ([]string, error) {
	var all []string
	for _, rule := range rules {
		n, err := name(rule)
		if err != nil {
			return nil, err
		}
		all = append(all, n)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

func digitsAndDots(s string) bool { return strings.Trim(s, "0123456789.") == "" }

// Archive is content as a tar to be unpacked into sidecars.ConfigDir: the one file, readable by the user uid alone.
func Archive(content []byte, uid int) ([]byte, error) {
	if len(content) > sidecars.MaxConfig {
		return nil, errors.New("pipelock's configuration is too large")
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	err := w.WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Name: configName, Mode: 0o400,
		Uid: uid, Gid: uid, Size: int64(len(content)), ModTime: time.Now().Truncate(time.Second),
	})
	if err == nil {
		_, err = w.Write(content)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("pack pipelock's configuration: %w", err)
	}
	return b.Bytes(), nil
}
