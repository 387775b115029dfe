//go:build !linux

package docker

import "net/netip"

// hostRoutes is empty where engines run in a virtual machine with routes of its own.
func hostRoutes() []netip.Prefix { return nil }
