package docker_test

import (
	"net/http"
	"strings"
	"testing"
)

// The sizes of bottles' volumes are read, and of the build cache what no image is made of. What the engine did not measure
// is not nothing.
func TestDiskUsage(t *testing.T) {
	noLeaks(t)
	size := "12"
	path := serveSocket(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Api-Version", "1.47")
		if !strings.HasSuffix(req.URL.Path, "/system/df") {
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"Volumes":[
			{"Name":"mine","Labels":{"claude-bottle.root":"r"},"UsageData":{"Size":` + size + `,"RefCount":1}},
			{"Name":"somebody's","UsageData":{"Size":-1,"RefCount":1}}],
			"BuildCache":[{"Size":5},{"Size":7,"InUse":true},{"Size":9,"Shared":true},{"Size":6}]}`))
	}), func() {})
	e, ctx := engineAt(t, "unix://"+path)
	defer e.Close()
	used, err := e.DiskUsage(ctx)
	if err != nil || len(used.Volumes) != 1 || used.Volumes[0].Name != "mine" || used.Volumes[0].Size != 12 || used.BuildCache != 11 {
		t.Errorf("%+v, %v", used, err)
	}
	size = "-1"
	if used, err := e.DiskUsage(ctx); err == nil || !strings.Contains(err.Error(), "volume mine") {
		t.Errorf("%+v, %v", used, err)
	}
}
