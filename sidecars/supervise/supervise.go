// Package supervise is the MCP server through which an agent asks its operator: it turns a tool call into a
// request file in the queue, keeps the call open, and turns the operator's answer file into the call's result.
//
// The queue is its only memory, so it may be restarted at any time: a call that comes again finds the request
// that it made before. It decides nothing, and must not import bottles or ui.
package supervise

import (
	"context"
	"errors"
	"io"
	"time"

	"bottle-tui/sidecars"
)

// Config is supervise's configuration file, as JSON. Unknown fields are refused.
type Config struct {
	Identity   string `json:"identity"`        // the bottle
	Queue      string `json:"queue,omitempty"` // default sidecars.QueueDir
	Dockerfile string `json:"dockerfile"`      // the one in force, whole
}

// Encode is the configuration as the file that Run reads.
func (c Config) Encode() ([]byte, error) { return nil, errors.New("not written yet") }

// Options say where to serve.
type Options struct {
	ConfigFile string        // default sidecars.ConfigFile
	Listen     string        // default ":9100"
	Progress   time.Duration // between two signs of life of a call that waits; default 25 s
	Voice      *sidecars.Voice
}

// Path is where the MCP endpoint is: http://supervise:9100/mcp.
const Path = "/mcp"

// Run is `bottle-tui sidecar supervise`: it serves until ctx ends or the process is told to stop (SIGTERM,
// SIGINT), and speaks on stdout. args are the flags -config and -listen.
func Run(ctx context.Context, args []string, stdout io.Writer) error {
	return errors.New("not written yet")
}

// Serve serves until ctx ends, and ends within 0.3 s after. Calls that wait are told to call again.
func Serve(ctx context.Context, o Options) error { return errors.New("not written yet") }
