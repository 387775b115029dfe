package docker

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/docker/docker/client"

	"bottle-tui/bottles"
)

// defaultContext is the docker command's name for the engine that this package takes, too.
const defaultContext = "default"

// Choice says which engine was chosen and why, and which one the docker command would choose where that is another. It
// reads the docker command's configuration anew, and asks no engine.
func (e *Engine) Choice() bottles.EngineChoice {
	c := bottles.EngineChoice{Address: e.host, Why: "the default, since DOCKER_HOST is not set"}
	if os.Getenv(client.EnvOverrideHost) != "" {
		c.Why = "DOCKER_HOST"
		return c // it goes before all contexts
	}
	name, from, err := currentContext()
	if err != nil {
		c.Doubt = err.Error()
		return c
	}
	if name == "" || name == defaultContext {
		return c
	}
	host, err := contextHost(name)
	switch {
	case err != nil:
		c.Doubt = fmt.Sprintf("%s names the context %q: %v", from, name, err)
	case !sameEngine(host, e.host):
		c.Other, c.OtherWhy = host, fmt.Sprintf("the context %q of %s", name, from)
	}
	return c
}

// currentContext is the docker command's context, and what names it; "" where nothing does.
func currentContext() (name, from string, err error) {
	if name := os.Getenv("DOCKER_CONTEXT"); name != "" {
		return name, "DOCKER_CONTEXT", nil
	}
	dir, err := configDir()
	if err != nil {
		return "", "", nil // the docker command has no configuration either
	}
	path := filepath.Join(dir, "config.json")
	var config struct {
		CurrentContext string `json:"currentContext"`
	}
	if err := readJSON(path, &config); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", "", err
	}
	return config.CurrentContext, path, nil
}

// configDir is the directory of the docker command's configuration.
func configDir() (string, error) {
	if dir := os.Getenv("DOCKER_CONFIG"); dir != "" {
		return dir, nil
	}
	home, err := os.UserHomeDir()
	return filepath.Join(home, ".docker"), err
}

// contextHost is the address of a context's engine.
func contextHost(name string) (string, error) {
	dir, err := configDir()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(name))
	var meta struct {
		Endpoints map[string]struct{ Host string }
	}
	if err := readJSON(filepath.Join(dir, "contexts", "meta", hex.EncodeToString(sum[:]), "meta.json"), &meta); err != nil {
		return "", err
	}
	return cmp.Or(meta.Endpoints["docker"].Host, client.DefaultDockerHost), nil
}

func readJSON(path string, v any) error {
	b, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return err
}

// sameEngine says whether two addresses are one: the path of a socket may have links.
func sameEngine(a, b string) bool {
	if a == b {
		return true
	}
	aPath, aUnix := strings.CutPrefix(a, "unix://")
	bPath, bUnix := strings.CutPrefix(b, "unix://")
	return aUnix && bUnix && bottles.SameFile(aPath, bPath)
}
