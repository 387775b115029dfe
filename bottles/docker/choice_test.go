package docker_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bottle-tui/bottles/docker"
)

// Where the docker command's configuration leads to another engine, that is told, with what chose it; what can't be read
// is told, too, and DOCKER_HOST goes before all.
func TestChoice(t *testing.T) {
	dir := t.TempDir()
	put := func(path, text string) {
		t.Helper()
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	declare := func(name, host string) {
		sum := sha256.Sum256([]byte(name))
		put("contexts/meta/"+hex.EncodeToString(sum[:])+"/meta.json", `{"Name":"`+name+`","Endpoints":{"docker":{"Host":"`+host+`","SkipTLSVerify":false}}}`)
	}
	declare("desktop", "unix:///home/ann/.docker/desktop/docker.sock")
	declare("far", "ssh://ann@build.example.com")
	declare("same", "unix:///var/run/docker.sock")
	const standard = "unix:///var/run/docker.sock"
	for name, c := range map[string]struct {
		host, context, config       string
		address, why, other, notice string
	}{
		"nothing":                {address: standard, why: "DOCKER_HOST is not set"},
		"the default by name":    {config: `{"currentContext":"default"}`, address: standard, why: "DOCKER_HOST is not set"},
		"other settings":         {config: `{"auths":{}}`, address: standard, why: "DOCKER_HOST is not set"},
		"the same by context":    {config: `{"currentContext":"same"}`, address: standard, why: "DOCKER_HOST is not set"},
		"a context":              {config: `{"currentContext":"desktop"}`, address: standard, why: "DOCKER_HOST is not set", other: "unix:///home/ann/.docker/desktop/docker.sock", notice: "set DOCKER_HOST=unix:///home/ann/"},
		"DOCKER_CONTEXT":         {context: "far", config: `{"currentContext":"desktop"}`, address: standard, why: "DOCKER_HOST is not set", other: "ssh://ann@build.example.com", notice: "DOCKER_CONTEXT"},
		"DOCKER_CONTEXT resets":  {context: "default", config: `{"currentContext":"desktop"}`, address: standard, why: "DOCKER_HOST is not set"},
		"DOCKER_HOST":            {host: "tcp://127.0.0.1:2375", context: "far", config: `{"currentContext":"desktop"}`, address: "tcp://127.0.0.1:2375", why: "DOCKER_HOST"},
		"a context that is gone": {config: `{"currentContext":"gone"}`, address: standard, why: "DOCKER_HOST is not set", notice: `the context "gone"`},
		"a broken file":          {config: `{"currentContext":`, address: standard, why: "DOCKER_HOST is not set", notice: "config.json"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("DOCKER_HOST", c.host)
			t.Setenv("DOCKER_CONTEXT", c.context)
			t.Setenv("DOCKER_CONFIG", dir)
			if err := os.Remove(filepath.Join(dir, "config.json")); err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			if c.config != "" {
				put("config.json", c.config)
			}
			e, err := docker.Open(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = e.Close() })
			got := e.Choice()
			if got.Address != c.address || !strings.Contains(got.Why, c.why) || got.Other != c.other {
				t.Errorf("the choice is %+v", got)
			}
			switch notices := got.Notice(); {
			case c.notice == "" && len(notices) != 0, c.notice != "" && (len(notices) != 1 || !strings.Contains(notices[0].What+notices[0].Fix, c.notice) || !strings.Contains(notices[0].What, c.address)):
				t.Errorf("the notices are %+v", notices)
			}
		})
	}
}
