package docker_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"bottle-tui/bottles/workspace"
)

// BenchmarkCopyRepository copies a git repository of 5,000 files, with an object each, into a container: as a bottle gets
// it, its look at the directory included, and by the engine's call alone, with the same bytes from memory. "ratio" is of
// the medians; the two take turns.
func BenchmarkCopyRepository(b *testing.B) {
	r := newRig(b)
	dir := b.TempDir()
	for i := range 5000 {
		name := filepath.Join(dir, fmt.Sprintf("d%d/f%d", i%50, i))
		r.ok(os.MkdirAll(filepath.Dir(name), 0o755))
		r.ok(os.WriteFile(name, []byte(fmt.Sprintf("content %d\n", i)), 0o644))
	}
	for _, args := range [][]string{{"init", "-q"}, {"add", "."}, {"-c", "user.name=a", "-c", "user.email=a", "commit", "-qm", "one"}} {
		if out, err := exec.Command("git", append([]string{"-C", dir}, args...)...).CombinedOutput(); err != nil {
			b.Fatalf("git %q: %v\n%s", args, err, out)
		}
	}
	archive := func(w io.Writer) error {
		tree, err := workspace.Scan(b.Context(), dir, workspace.Options{})
		if err != nil {
			return err
		}
		return tree.Archive(b.Context(), w, 1000, 1000, nil)
	}
	var bytesOf bytes.Buffer
	r.ok(archive(&bytesOf))
	n := 0
	into := func(from io.Reader) float64 {
		n++
		spec := r.spec(fmt.Sprint("copy", n), "wait")
		r.ok(r.CreateContainer(r.ctx, spec))
		began := time.Now()
		r.ok(r.CopyIn(r.ctx, spec.Name, "/", from))
		took := time.Since(began).Seconds()
		r.ok(r.RemoveContainer(r.ctx, spec.Name))
		return took
	}
	into(bytes.NewReader(bytesOf.Bytes())) // the files were just made, and the disk is busy with them
	var ours, engine []float64
	for b.Loop() {
		engine = append(engine, into(bytes.NewReader(bytesOf.Bytes())))
		from, to := io.Pipe()
		go func() { _ = to.CloseWithError(archive(to)) }()
		ours = append(ours, into(from))
	}
	slices.Sort(ours)
	slices.Sort(engine)
	b.ReportMetric(ours[len(ours)/2], "s/copy")
	b.ReportMetric(engine[len(engine)/2], "s/engine")
	b.ReportMetric(ours[len(ours)/2]/engine[len(engine)/2], "ratio")
}
