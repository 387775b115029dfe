package docker

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/client"

	"bottle-tui/bottles"
)

// Observe lists every container, network and volume whose LabelRoot is root; "": of every root. Of the anonymous volumes it
// lists those that no container has.
func (e *Engine) Observe(ctx context.Context, root string) (bottles.Observed, error) {
	var seen bottles.Observed
	mine := filters.NewArgs(labelled(root))
	err := e.call(ctx, "list the containers, networks and volumes of state root "+root, func(c *client.Client) error {
		containers, err := c.ContainerList(ctx, container.ListOptions{All: true, Filters: mine})
		if err != nil {
			return err
		}
		networks, err := c.NetworkList(ctx, network.ListOptions{Filters: mine})
		if err != nil {
			return err
		}
		volumes, err := c.VolumeList(ctx, volume.ListOptions{Filters: mine})
		if err != nil {
			return err
		}
		used := map[string]bool{}
		for _, l := range containers {
			for _, m := range l.Mounts {
				used[m.Name] = true
			}
			seen.Containers = append(seen.Containers, bottles.Container{
				ID: l.ID, Name: ownName(l.Names), Labels: l.Labels, State: bottles.ContainerState(l.State),
				Image: l.Image, ImageID: l.ImageID, CreatedAt: time.Unix(l.Created, 0),
			})
		}
		for _, n := range networks {
			seen.Networks = append(seen.Networks, bottles.Network{Name: n.Name, Labels: n.Labels, Subnet: firstSubnet(n.IPAM)})
		}
		for _, v := range volumes.Volumes {
			if used[v.Name] && v.Labels[bottles.LabelRole] == string(bottles.RoleAnonymous) {
				continue
			}
			seen.Volumes = append(seen.Volumes, bottles.Volume{Name: v.Name, Labels: v.Labels})
		}
		return nil
	})
	if err != nil {
		return bottles.Observed{}, err
	}
	return seen, nil
}

// labelled filters by LabelRoot: those of one root, or with "" all that have one.
func labelled(root string) filters.KeyValuePair {
	if root == "" {
		return filters.Arg("label", bottles.LabelRoot)
	}
	return filters.Arg("label", bottles.LabelRoot+"="+root)
}

// Holders finds who has any of these names.
func (e *Engine) Holders(ctx context.Context, containers, networks, volumes []string) ([]bottles.Holder, error) {
	var out []bottles.Holder
	err := e.call(ctx, "look who has the names of a bottle", func(c *client.Client) error {
		for _, name := range containers {
			i, err := c.ContainerInspect(ctx, name)
			switch {
			case cerrdefs.IsNotFound(err):
			case err != nil:
				return err
			case i.ContainerJSONBase != nil && i.Config != nil && strings.TrimPrefix(i.Name, "/") == name: // not one whose ID begins so
				out = append(out, bottles.Holder{Kind: "container", Name: name, Labels: i.Config.Labels})
			}
		}
		if len(networks) > 0 {
			// Networks are found by a part of their name, and may share one.
			all, err := c.NetworkList(ctx, network.ListOptions{})
			if err != nil {
				return err
			}
			for _, n := range all {
				if slices.Contains(networks, n.Name) {
					out = append(out, bottles.Holder{Kind: "network", Name: n.Name, Labels: n.Labels})
				}
			}
		}
		for _, name := range volumes {
			v, err := c.VolumeInspect(ctx, name)
			switch {
			case cerrdefs.IsNotFound(err):
			case err != nil:
				return err
			default:
				out = append(out, bottles.Holder{Kind: "volume", Name: name, Labels: v.Labels})
			}
		}
		return nil
	})
	return out, err
}

// Container looks at one container.
func (e *Engine) Container(ctx context.Context, name string) (bottles.Container, error) {
	var out bottles.Container
	err := e.within(ctx, e.patience, "look at container "+name, func(ctx context.Context, c *client.Client) error {
		i, err := inspect(ctx, c, name)
		if err != nil {
			return err
		}
		out = bottles.Container{
			ID: i.ID, Name: strings.TrimPrefix(i.Name, "/"), Labels: i.Config.Labels,
			State: bottles.ContainerState(i.State.Status), ExitCode: i.State.ExitCode, Error: i.State.Error,
			Image: i.Config.Image, ImageID: i.Image, CreatedAt: when(i.Created), StartedAt: when(i.State.StartedAt),
			EndedAt: when(i.State.FinishedAt), OutOfMemory: i.State.OOMKilled,
		}
		return nil
	})
	return out, err
}

// inspect looks at a container; what it returns has all its parts.
func inspect(ctx context.Context, c *client.Client, name string) (container.InspectResponse, error) {
	i, err := c.ContainerInspect(ctx, name)
	if err != nil {
		return i, err
	}
	if i.ContainerJSONBase == nil || i.State == nil || i.HostConfig == nil || i.Config == nil {
		return i, errors.New("the engine's answer leaves out the state or the configuration")
	}
	return i, nil
}

// ownName is a container's own name among those it is listed under: links give it others, with a
// second slash.
func ownName(names []string) string {
	for _, n := range names {
		if n = strings.TrimPrefix(n, "/"); !strings.Contains(n, "/") {
			return n
		}
	}
	return ""
}

// firstSubnet is the first IPv4 subnet of a network, or the zero Prefix.
func firstSubnet(ipam network.IPAM) netip.Prefix {
	for _, p := range subnets(ipam) {
		if p.Addr().Is4() {
			return p
		}
	}
	return netip.Prefix{}
}

// subnets are the address ranges of a network.
func subnets(ipam network.IPAM) []netip.Prefix {
	var out []netip.Prefix
	for _, c := range ipam.Config {
		if p, err := netip.ParsePrefix(c.Subnet); err == nil {
			out = append(out, p.Masked())
		}
	}
	return out
}

// when reads a time of the engine; the zero time where it has none (it writes the year 1).
func when(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || t.Year() <= 1 {
		return time.Time{}
	}
	return t
}
