package claudecode_test

import (
	"crypto/rand"
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"bottle-tui/bottles"
	"bottle-tui/bottles/claudecode"
	"bottle-tui/bottles/docker"
	"bottle-tui/ui/scenario/ci"
)

// inImage runs a script in a container of an image, as the image says and without a network.
func inImage(t *testing.T, ref, script string) (said string, failed error) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "docker", "run", "--rm", "--network", "none", ref, "bash", "-c", script).CombinedOutput()
	return string(out), err
}

// layers are what an image is made of, from below.
func layers(t *testing.T, ref string) (all []string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "docker", "image", "inspect", "--format", "{{json .RootFS.Layers}}", ref).Output()
	must(t, err)
	must(t, json.Unmarshal(out, &all))
	return all
}

// The built-in Dockerfile becomes an image with what it promises, on the base that is named, by the builder and with the
// network that a launch has. It downloads what a first start does, which takes most of a minute; the engine keeps what it
// built, so that the next time takes 3 s.
func TestTheImageIsBuilt(t *testing.T) {
	t.Parallel()
	base, err := ci.Run("node-base")
	must(t, err)
	engine, err := docker.Open(t.Context())
	must(t, err)
	t.Cleanup(func() { _ = engine.Close() })
	ref := "bottle-tui-test-image:" + strings.ToLower(rand.Text())
	t.Cleanup(func() { _ = exec.Command("docker", "image", "rm", ref).Run() })
	var log []string
	image, err := engine.Build(t.Context(), bottles.BuildSpec{Dockerfile: claudecode.Dockerfile(base), Tag: ref, Network: "default"},
		func(p bottles.BuildProgress) { log = append(log, p.Line) })
	if err != nil {
		t.Fatalf("%v\n%s", err, strings.Join(log, "\n"))
	}
	if on := layers(t, base); !slices.Equal(layers(t, ref)[:len(on)], on) || image.User != "1000:1000" {
		t.Errorf("it is not on its base, or runs as %q", image.User)
	}
	said, err := inImage(t, ref, `id; pwd; stat --format '%n %u:%g' ~ ~/.claude /workspace
touch ~/.npmrc ~/.claude/x /workspace/x && echo written
getent passwd node || echo there is no node
echo updater $DISABLE_AUTOUPDATER, $(ls /etc/ssl/certs/ca-certificates.crt)
node --version; npm --version; git --version; rg --version; claude --version`)
	for _, want := range []string{
		"uid=1000(agent) gid=1000(agent) groups=1000(agent)\n/workspace\n/home/agent 1000:1000\n/home/agent/.claude 1000:1000\n/workspace 1000:1000\nwritten\n",
		"there is no node\nupdater 1, /etc/ssl/certs/ca-certificates.crt\nv22.", "\n11.", "\ngit version ", "\nripgrep ", "\n" + claudecode.Version + " (Claude Code)",
	} {
		if err != nil || !strings.Contains(said, want) {
			t.Errorf("there is no %q in (%v)\n%s", want, err, said)
		}
	}
}

// Whatever users a base has, the agent's is 1000, and what the Dockerfile can't do fails the build.
func TestTheAgentsUserOnAnyBase(t *testing.T) {
	t.Parallel()
	base, err := ci.Run("debian-base", "bookworm")
	must(t, err)
	_, block, found := strings.Cut(string(claudecode.Dockerfile("")), "\nRUN set ")
	block, _, ended := strings.Cut(block, "\n\n")
	if !found || !ended {
		t.Fatal("the Dockerfile makes the user elsewhere")
	}
	const right = "uid=1000(agent) gid=1000(agent)\n/home/agent:/bin/bash\n1000:1000 1000:1000 1000:1000\n"
	for _, c := range []struct{ name, before, want string }{
		{"none", "", right},
		{"node", "groupadd --gid 1000 node; useradd --uid 1000 --gid node --create-home node", right},
		{"one without a home", "useradd --uid 1000 --home-dir /nowhere somebody", right},
		{"an agent with another id", "useradd --uid 1001 --user-group --create-home agent; useradd --uid 1000 node", right},
		{"an agent and a group with other ids", "groupadd --gid 777 agent; useradd --uid 777 --gid agent --home-dir /var/agent agent", right},
		{"it is there", "groupadd --gid 1000 agent; useradd --uid 1000 --gid agent --create-home --shell /bin/sh agent", right},
		{"a group of another name", "groupadd --gid 1000 staff2", strings.Replace(right, "(agent)\n", "(staff2)\n", 1)},
		{"no useradd", "ln -s /bin/false /usr/local/sbin/useradd", ""},
		{"no groupadd", "ln -s /bin/false /usr/local/sbin/groupadd", ""},
	} {
		said, err := inImage(t, base, "set -e\n"+c.before+"\ncat >/block <<'END'\nset "+block+"\nEND\nsh /block\n"+
			`echo "== $(id --user --name 1000) $(id agent | cut -d' ' -f1,2)"; getent passwd 1000 | cut -d: -f6,7; echo $(stat --format %u:%g /home/agent /home/agent/.claude /workspace)`)
		_, said, _ = strings.Cut(said, "== agent ")
		if (err == nil) != (c.want != "") || said != c.want {
			t.Errorf("%s: %v\n%s", c.name, err, said)
		}
	}
}
