package docker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"path"
	"slices"
	"strings"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/versions"
	"github.com/docker/docker/client"

	"bottle-tui/bottles"
)

// A container's log is bounded: logFiles files of logSize.
const (
	logSize  = "8m"
	logFiles = "2"
)

// tidyTimeout bounds the removal of what a failed call has half made.
const tidyTimeout = 10 * time.Second

// CreateContainer makes a container without starting it.
func (e *Engine) CreateContainer(ctx context.Context, spec bottles.ContainerSpec) error {
	what := "create container " + spec.Name
	return e.call(ctx, what, func(c *client.Client) error {
		host, err := e.hostConfig(spec)
		if err != nil {
			return err
		}
		config := containerConfig(spec)
		i, err := c.ImageInspect(ctx, spec.Image)
		if err != nil {
			return err
		}
		host.Mounts = append(host.Mounts, volumesOf(i, spec)...)
		if len(spec.Before) > 0 {
			config.Entrypoint, config.Cmd = before(spec, i)
		}
		now, later := spec.Endpoints, []bottles.Endpoint(nil)
		if versions.LessThan(c.ClientVersion(), "1.44") && len(now) > 1 {
			// An older engine takes one network here; the others are connected before the start.
			now, later = now[:1], now[1:]
		}
		net := &network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{}}
		for _, p := range now {
			net.EndpointsConfig[p.Network] = endpoint(p)
		}
		made, err := c.ContainerCreate(ctx, config, host, net, nil, spec.Name)
		if err != nil {
			if cerrdefs.IsConflict(err) && says(err, "already in use", "is reserved") {
				return &failure{what: what, cause: err, kind: bottles.ErrNameInUse, hint: holder(ctx, c, spec.Name)}
			}
			return err
		}
		for _, p := range later {
			if err := c.NetworkConnect(ctx, p.Network, made.ID, endpoint(p)); err != nil {
				tidy, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidyTimeout)
				defer cancel()
				if tidyErr := remove(tidy, c, made.ID); tidyErr != nil {
					err = fmt.Errorf("%w; and it could not be removed again: %w", err, tidyErr)
				}
				return e.explain(ctx, what+": connect it to network "+p.Network, err)
			}
		}
		return nil
	})
}

// holder says who has the name of a container, and what to do.
func holder(ctx context.Context, c *client.Client, name string) string {
	i, err := inspect(ctx, c, name)
	if err != nil {
		return "remove the container that has the name, or rename it"
	}
	whose := "it does not belong to a bottle"
	if id := i.Config.Labels[bottles.LabelIdentity]; id != "" {
		whose = "it belongs to bottle " + id
	}
	return fmt.Sprintf("container %.12s has the name (%s, image %s, made %s): %s; remove it or rename it", i.ID, i.State.Status, i.Config.Image, i.Created, whose)
}

func endpoint(p bottles.Endpoint) *network.EndpointSettings {
	s := &network.EndpointSettings{Aliases: p.Aliases}
	if p.Address.IsValid() {
		s.IPAMConfig = &network.EndpointIPAMConfig{IPv4Address: p.Address.String()}
	}
	return s
}

func containerConfig(spec bottles.ContainerSpec) *container.Config {
	return &container.Config{
		Image: spec.Image, Labels: spec.Labels,
		Entrypoint: spec.Entrypoint, Cmd: spec.Cmd, Env: spec.Env, User: spec.User, WorkingDir: spec.WorkingDir,
		Tty: spec.Terminal, OpenStdin: spec.Terminal || spec.Stdin, AttachStdin: spec.Terminal, AttachStdout: true, AttachStderr: true,
		StopSignal: "SIGTERM", // whatever the image says
		// Nobody asks for an image's own check of health, which would start a program in the bottle again and again.
		Healthcheck: &container.HealthConfig{Test: []string{"NONE"}},
	}
}

// before is the entrypoint and the command of a container that has something before both.
func before(spec bottles.ContainerSpec, image image.InspectResponse) (entrypoint, cmd []string) {
	entrypoint, cmd = spec.Entrypoint, spec.Cmd
	if len(entrypoint) == 0 && image.Config != nil { // as the engine does it
		entrypoint = image.Config.Entrypoint
		if len(cmd) == 0 {
			cmd = image.Config.Cmd
		}
	}
	return append(slices.Clone(spec.Before), entrypoint...), cmd
}

// hostConfig is the part of a container that is not in its image; first of all its hardening.
func (e *Engine) hostConfig(spec bottles.ContainerSpec) (*container.HostConfig, error) {
	h := &container.HostConfig{
		CapDrop:       []string{"ALL"},
		SecurityOpt:   []string{"no-new-privileges"},
		RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyDisabled},
		LogConfig:     container.LogConfig{Type: "json-file", Config: map[string]string{"max-size": logSize, "max-file": logFiles}},
		IpcMode:       container.IPCModePrivate,
		DNS:           spec.DNS, ReadonlyRootfs: spec.ReadOnly, Tmpfs: spec.Tmpfs, Sysctls: spec.Sysctls,
		ConsoleSize: [2]uint{uint(max(spec.Rows, 0)), uint(max(spec.Cols, 0))},
		Resources:   container.Resources{Memory: spec.Memory, MemorySwap: spec.Memory},
	}
	if spec.Init {
		h.Init = &spec.Init
	}
	if spec.Pids > 0 {
		h.PidsLimit = &spec.Pids
	}
	switch {
	case spec.JoinPod != "" && len(spec.Endpoints) > 0:
		return nil, fmt.Errorf("it can't both join the network namespace of %s and have networks of its own", spec.JoinPod)
	case spec.JoinPod != "":
		h.NetworkMode = container.NetworkMode("container:" + spec.JoinPod)
	case len(spec.Endpoints) > 0:
		h.NetworkMode = container.NetworkMode(spec.Endpoints[0].Network)
	default:
		h.NetworkMode = network.NetworkNone
	}
	for _, m := range spec.Mounts {
		out := mount.Mount{Type: mount.TypeVolume, Source: m.Volume, Target: m.Target, ReadOnly: m.ReadOnly}
		if m.Volume == "" && m.Host == "" {
			out.VolumeOptions = &mount.VolumeOptions{Labels: anonymousLabels(spec)}
		}
		if m.Host != "" {
			if m.Volume != "" {
				return nil, fmt.Errorf("the mount at %s names both volume %s and directory %s", m.Target, m.Volume, m.Host)
			}
			if !e.local {
				return nil, fmt.Errorf("directory %s of this machine can't be mounted at %s: the engine %s is elsewhere; use a volume and copy", m.Host, m.Target, e.host)
			}
			out.Type, out.Source = mount.TypeBind, m.Host
			out.BindOptions = &mount.BindOptions{Propagation: mount.PropagationRPrivate}
		}
		h.Mounts = append(h.Mounts, out)
	}
	return h, nil
}

// volumesOf are the volumes that an image asks for and a container would be given anyway, but without labels. What the
// specification mounts at such a place, or around it, is left as it is.
func volumesOf(i image.InspectResponse, spec bottles.ContainerSpec) (out []mount.Mount) {
	if i.Config == nil {
		return nil
	}
	for _, target := range slices.Sorted(maps.Keys(i.Config.Volumes)) {
		_, tmpfs := spec.Tmpfs[target]
		if tmpfs || slices.ContainsFunc(spec.Mounts, func(m bottles.Mount) bool { return path.Clean(m.Target) == path.Clean(target) }) {
			continue
		}
		out = append(out, mount.Mount{Type: mount.TypeVolume, Target: target, VolumeOptions: &mount.VolumeOptions{Labels: anonymousLabels(spec)}})
	}
	return out
}

// anonymousLabels are the labels of a container's anonymous volumes: by them one is known that is left behind.
func anonymousLabels(spec bottles.ContainerSpec) map[string]string {
	labels := maps.Clone(spec.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	delete(labels, bottles.LabelSpec)
	labels[bottles.LabelRole] = string(bottles.RoleAnonymous)
	return labels
}

// StartContainer starts a container; nil when it runs.
func (e *Engine) StartContainer(ctx context.Context, name string) error {
	return e.call(ctx, "start container "+name, func(c *client.Client) error {
		if err := c.ContainerStart(ctx, name, container.StartOptions{}); err != nil {
			return err
		}
		if versions.LessThan(c.ClientVersion(), "1.42") {
			// An older engine keeps the first size of the terminal and does not set it.
			i, err := inspect(ctx, c, name)
			if err == nil && i.Config.Tty && i.HostConfig.ConsoleSize[0] > 0 && i.HostConfig.ConsoleSize[1] > 0 {
				size := i.HostConfig.ConsoleSize
				// One that has ended by now has no terminal to set.
				_ = c.ContainerResize(ctx, name, container.ResizeOptions{Height: size[0], Width: size[1]})
			}
		}
		return nil
	})
}

// StopContainer sends SIGTERM, and SIGKILL after grace (whole seconds, rounded up); nil when it does
// not run or is not there. An engine that does not finish is given up after a while.
func (e *Engine) StopContainer(ctx context.Context, name string, grace time.Duration) error {
	return e.within(ctx, e.patience+max(grace, 0), "stop container "+name, func(ctx context.Context, c *client.Client) error {
		seconds := int(math.Ceil(max(grace, 0).Seconds()))
		err := c.ContainerStop(ctx, name, container.StopOptions{Timeout: &seconds})
		if cerrdefs.IsNotFound(err) {
			return nil
		}
		return err
	})
}

// RemoveContainer removes a container, running or not, and its anonymous volumes; nil when there is
// none. While another removal of it is under way, it waits for that one. An engine that does not finish is given up after
// a while.
func (e *Engine) RemoveContainer(ctx context.Context, name string) error {
	return e.within(ctx, e.patience, "remove container "+name, func(ctx context.Context, c *client.Client) error { return remove(ctx, c, name) })
}

func remove(ctx context.Context, c *client.Client, name string) error {
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, 200*time.Millisecond) {
		err := c.ContainerRemove(ctx, name, container.RemoveOptions{Force: true, RemoveVolumes: true})
		switch {
		case err == nil, cerrdefs.IsNotFound(err):
			return nil
		case says(err, "already in progress"), cerrdefs.IsConflict(err) && says(err, "is not running"):
		default:
			return err
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return errors.Join(ctx.Err(), fmt.Errorf("waiting for the removal that is under way: %s", strings.TrimSpace(err.Error())))
		}
	}
}
