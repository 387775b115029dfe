package outward

import (
	"crypto/x509"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// In an image without certificates, which is what sidecars run from, the public authorities are known even so.
func TestRootsWithoutASystem(t *testing.T) {
	if os.Getenv("OUTWARD_TEST_ROOTS") == "1" {
		if PublicRoots().Equal(x509.NewCertPool()) {
			t.Fatal("no authority is known")
		}
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run", "^TestRootsWithoutASystem$", "-test.v")
	cmd.Env = append(os.Environ(), "OUTWARD_TEST_ROOTS=1", "SSL_CERT_FILE=/nonexistent", "SSL_CERT_DIR=/nonexistent")
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS") {
		t.Errorf("%v\n%s", err, out)
	}
}
