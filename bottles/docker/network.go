package docker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/client"

	"bottle-tui/bottles"
)

// inhibitIPv4 keeps the host from having an address on a network: by that address, and so by every
// other of the host's, a container reached what listens there, even from an internal network.
const inhibitIPv4 = "com.docker.network.bridge.inhibit_ipv4"

// createAttempts bounds how often another subnet is tried when somebody else took the first one.
const createAttempts = 64

// CreateNetwork makes a bridge network with a subnet of its own and says which.
func (e *Engine) CreateNetwork(ctx context.Context, spec bottles.NetworkSpec) (bottles.Network, error) {
	what := "create network " + spec.Name
	var out bottles.Network
	err := e.call(ctx, what, func(c *client.Client) error {
		options := network.CreateOptions{Driver: "bridge", Internal: spec.Internal, Labels: maps.Clone(spec.Labels)}
		if spec.Internal {
			options.Options = map[string]string{inhibitIPv4: "true"}
		}
		var refused []netip.Prefix
		for range createAttempts {
			taken, err := engineSubnets(ctx, c)
			if err != nil {
				return err
			}
			held := taken
			if e.local {
				held.fixed = append(held.fixed, hostAddresses()...)
				held.routes = hostRoutes()
			}
			held.fixed = append(held.fixed, refused...)
			subnet, ok := chooseSubnet(held)
			if !ok {
				return &failure{what: what, cause: fmt.Errorf("no free /%d is left in %v: %d networks and addresses are in the way", subnetBits, ranges, len(held.fixed)),
					hint: "remove networks that nobody uses (bottle-tui cleanup, docker network prune)"}
			}
			options.IPAM = &network.IPAM{Driver: "default", Config: []network.IPAMConfig{{Subnet: subnet.String()}}}
			_, err = c.NetworkCreate(ctx, spec.Name, options)
			switch {
			case err == nil:
				out = bottles.Network{Name: spec.Name, Labels: spec.Labels, Subnet: subnet}
				return nil
			case says(err, "overlap"):
				// Another process was faster, or the engine knows of a route that is not to be seen from here.
				refused = append(refused, subnet)
			case cerrdefs.IsConflict(err):
				return &failure{what: what, cause: err, kind: bottles.ErrNameInUse,
					hint: "look at it (docker network inspect " + spec.Name + ") and remove it if nobody needs it"}
			default:
				return err
			}
		}
		return errors.New("each of the subnets tried was taken by another network meanwhile")
	})
	return out, err
}

// engineSubnets are the address ranges of all networks of the engine.
func engineSubnets(ctx context.Context, c *client.Client) (inUse, error) {
	list, err := c.NetworkList(ctx, network.ListOptions{})
	if err != nil {
		return inUse{}, err
	}
	var out inUse
	for _, n := range list {
		out.fixed = append(out.fixed, subnets(n.IPAM)...)
	}
	return out, nil
}

// RemoveNetwork removes a network; nil when there is none.
func (e *Engine) RemoveNetwork(ctx context.Context, name string) error {
	what := "remove network " + name
	return e.call(ctx, what, func(c *client.Client) error {
		err := c.NetworkRemove(ctx, name)
		if err == nil || cerrdefs.IsNotFound(err) {
			return nil
		}
		// Two removals at once: the one that came second may be told of the first one's doings.
		if _, inspectErr := c.NetworkInspect(ctx, name, network.InspectOptions{}); cerrdefs.IsNotFound(inspectErr) {
			return nil
		}
		if says(err, "active endpoints") {
			return &failure{what: what, cause: err, hint: "remove the containers on it first"}
		}
		return err
	})
}
