package docker_test

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"

	"bottle-tui/bottles"
)

// A newer engine takes all networks and the terminal's size when a container is made; nothing is
// connected afterwards.
func TestNewerEngineIsToldEverythingAtOnce(t *testing.T) {
	noLeaks(t)
	var made container.CreateRequest
	var asked []string
	path := serveSocket(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Api-Version", "1.47")
		if req.URL.Path == "/_ping" {
			return
		}
		asked = append(asked, req.Method+" "+req.URL.Path)
		w.Header().Set("Content-Type", "application/json")
		if strings.HasSuffix(req.URL.Path, "/containers/create") {
			if err := json.NewDecoder(req.Body).Decode(&made); err != nil {
				t.Error(err)
			}
			w.WriteHeader(http.StatusCreated)
			_, _ = w.Write([]byte(`{"Id":"1"}`))
			return
		}
		if strings.Contains(req.URL.Path, "/images/") { // which volumes it declares
			_, _ = w.Write([]byte(`{"Id":"sha256:1","Config":{}}`))
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}), func() {})
	e, ctx := engineAt(t, "unix://"+path)
	err := e.CreateContainer(ctx, bottles.ContainerSpec{Name: "c", Image: "i", Terminal: true, Cols: 97, Rows: 31, Endpoints: []bottles.Endpoint{
		{Network: "in", Address: netip.MustParseAddr("10.0.0.2"), Aliases: []string{"egress"}}, {Network: "out"}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.StartContainer(ctx, "c"); err != nil {
		t.Fatal(err)
	}
	_ = e.Close()
	if want := "GET /v1.47/images/i/json POST /v1.47/containers/create POST /v1.47/containers/c/start"; strings.Join(asked, " ") != want {
		t.Errorf("asked %q, want %q", asked, want)
	}
	net := made.NetworkingConfig.EndpointsConfig
	if len(net) != 2 || net["in"].IPAMConfig.IPv4Address != "10.0.0.2" || made.HostConfig.NetworkMode != "in" || made.HostConfig.ConsoleSize != [2]uint{31, 97} {
		t.Errorf("made %+v, host %+v", net, made.HostConfig)
	}
}
