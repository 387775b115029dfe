package docker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"

	"bottle-tui/bottles"
)

func TestPermissionDeniedTellsOfTheGroup(t *testing.T) {
	e := &Engine{host: "unix:///var/run/docker.sock", local: true}
	dial := &net.OpError{Op: "dial", Net: "unix", Err: os.NewSyscallError("connect", syscall.EACCES)}
	err := e.explain(context.Background(), "ask", fmt.Errorf("permission denied while trying to connect: %w", &url.Error{Op: "Get", URL: "http://x", Err: dial}))
	if !errors.Is(err, bottles.ErrUnavailable) || !strings.Contains(err.Error(), "usermod -aG docker") || !strings.Contains(err.Error(), "/var/run/docker.sock") {
		t.Error(err)
	}
}
