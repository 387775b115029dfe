// Package sidecars is what all sidecars of a bottle share, on both sides of the container's wall: their
// addresses, the image they run from, how their configuration is delivered, and the voice in which they
// confirm what is in force.
//
// The servers themselves are in the folders below, one each. They run inside containers: nothing here and
// below may import bottles or ui, and nothing may offer the agent a way to control a sidecar. A sidecar takes
// orders from one place only, its configuration file, and speaks in one place only, its standard output.
package sidecars

// The ports on which sidecars listen. The pod shares one network namespace, so they are distinct.
const (
	PortEgress      = 8888 // HTTP proxy
	PortCredProxy   = 8080
	PortGitGate     = 9418 // git protocol, for ssh upstreams
	PortGitGateHTTP = 8081 // smart HTTP, for https upstreams
	PortSupervise   = 9100 // MCP, path /mcp
	PortDNS         = 53   // egress's resolver, udp and tcp
)

// UID is the user, and the group, that sidecars run as when the operator is root; else they run as the
// operator's own, because the queue directory belongs to that one.
const UID = 65532

// Where a sidecar finds its configuration: ConfigDir is an anonymous volume, so that it can be written from
// outside although the root file system is read-only.
const (
	ConfigDir  = "/config"
	ConfigFile = ConfigDir + "/config.json"
)

// QueueDir is where a bottle's queue directory is mounted in the supervise container.
const QueueDir = "/queue"

// CurrentConfigDir is where the agent reads the three files in force: Dockerfile, allowlist, routes.json.
const CurrentConfigDir = "/etc/claude-bottle/current-config"
