package docker_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"bottle-tui/bottles"
)

// archive is a tar of files with an owner.
func archive(files map[string]string, uid, gid int) *bytes.Reader {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, content := range files {
		check(w.WriteHeader(&tar.Header{Name: name, Mode: 0o640, Size: int64(len(content)), Uid: uid, Gid: gid, Uname: "nobody-knows", Gname: "them"}))
		_, err := w.Write([]byte(content))
		check(err)
	}
	check(w.Close())
	return bytes.NewReader(b.Bytes())
}

func TestCopyInAndOutKeepOwners(t *testing.T) {
	r := newRig(t)
	spec := r.spec("c", "list", "/data")
	spec.Mounts = []bottles.Mount{{Target: "/data"}}
	r.ok(r.CreateContainer(r.ctx, spec))
	r.ok(r.CopyIn(r.ctx, spec.Name, "/data", archive(map[string]string{"sub/file": "content"}, 4321, 1234)))
	r.ok(r.CopyIn(r.ctx, spec.Name, "/", archive(map[string]string{"tmp/other": "x"}, 0, 0)))
	r.ok(r.StartContainer(r.ctx, spec.Name))
	r.ended(spec.Name)
	if out := r.log(spec.Name); !strings.Contains(out, "/data/sub/file 4321:1234 -rw-r----- 7\n") || !strings.Contains(out, "/data 1234:1234 drwxr-xr-x") {
		t.Errorf("the container sees %q", out)
	}
	out, err := r.CopyOut(r.ctx, spec.Name, "/data/sub")
	r.ok(err)
	defer out.Close()
	var got []string
	for tr := tar.NewReader(out); ; {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		r.ok(err)
		content, err := io.ReadAll(tr)
		r.ok(err)
		got = append(got, fmt.Sprintf("%s %d:%d %s", h.Name, h.Uid, h.Gid, content))
	}
	if len(got) != 2 || !strings.HasPrefix(got[0], "sub/ ") || got[1] != "sub/file 4321:1234 content" {
		t.Errorf("copied out %q", got)
	}
	file, err := r.Stat(r.ctx, spec.Name, "/data/sub/file")
	if err != nil || file.Size != 7 {
		t.Errorf("%+v, %v", file, err)
	}
	file, err = r.Stat(r.ctx, spec.Name, "/probe")
	if err != nil || file.Size != int64(len(probeBinary)) {
		t.Errorf("of a running container's file: %+v, %v", file, err)
	}
	written := time.Unix(1_700_000_000, 123_456_789)
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	check(w.WriteHeader(&tar.Header{Name: "dated", Mode: 0o644, ModTime: written, Format: tar.FormatPAX}))
	check(w.Close())
	r.ok(r.CopyIn(r.ctx, spec.Name, "/data", &b))
	file, err = r.Stat(r.ctx, spec.Name, "/data/dated")
	if err != nil || !file.ModTime.Equal(written) {
		t.Errorf("a file that was written at %v: %+v, %v", written, file, err)
	}
}

func TestCopyIntoAReadOnlyContainer(t *testing.T) {
	r := newRig(t)
	spec := r.spec("c", "wait")
	spec.ReadOnly = true
	spec.Mounts = []bottles.Mount{{Target: "/data"}}
	r.ok(r.CreateContainer(r.ctx, spec))
	for _, state := range []string{"created", "running"} {
		r.ok(r.CopyIn(r.ctx, spec.Name, "/data", archive(map[string]string{state: "1"}, 65532, 65532)))
		big := map[string]string{"big": strings.Repeat("x", 8<<20)}
		wantErr(t, r.CopyIn(r.ctx, spec.Name, "/tmp", archive(big, 0, 0)), nil, "read-only", "copy into a volume", "/tmp")
		file, err := r.Stat(r.ctx, spec.Name, "/data/"+state)
		if err != nil || file.Size != 1 {
			t.Errorf("%s: %+v, %v", state, file, err)
		}
		r.ok(r.StartContainer(r.ctx, spec.Name))
	}
}

func TestCopyErrors(t *testing.T) {
	r := newRig(t)
	r.start(r.spec("c", "wait"))
	name := r.name("c")
	_, err := r.CopyOut(r.ctx, name, "/missing")
	wantErr(t, err, bottles.ErrNotFound, name, "/missing")
	_, err = r.CopyOut(r.ctx, r.name("none"), "/data")
	wantErr(t, err, bottles.ErrNotFound, r.name("none"))
	_, err = r.Stat(r.ctx, name, "/missing")
	wantErr(t, err, bottles.ErrNotFound, name, "/missing")
	_, err = r.Stat(r.ctx, name, "/data")
	wantErr(t, err, nil, "/data", "no regular file")
	for _, content := range []int{10, 8 << 20} {
		files := map[string]string{"f": strings.Repeat("x", content)}
		wantErr(t, r.CopyIn(r.ctx, name, "/missing", archive(files, 0, 0)), bottles.ErrNotFound, name, "/missing")
		wantErr(t, r.CopyIn(r.ctx, r.name("none"), "/data", archive(files, 0, 0)), bottles.ErrNotFound, r.name("none"))
	}
	broken := errors.New("the disk is on fire")
	err = r.CopyIn(r.ctx, name, "/data", io.MultiReader(io.LimitReader(archive(map[string]string{"f": "x"}, 0, 0), 100), iotest.ErrReader(broken)))
	wantErr(t, err, broken, "reading the archive")
	if errors.Is(err, bottles.ErrUnavailable) {
		t.Errorf("%v blames the engine", err)
	}
	wantErr(t, r.CopyIn(r.ctx, name, "/data", strings.NewReader(strings.Repeat("no tar ", 1000))), nil, "tar")
	ctx, cancel := context.WithCancel(r.ctx)
	cancel()
	wantErr(t, r.CopyIn(ctx, name, "/data", archive(nil, 0, 0)), context.Canceled)
}

func TestStatFollowsLinks(t *testing.T) {
	r := newRig(t)
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	check(w.WriteHeader(&tar.Header{Name: "one", Typeflag: tar.TypeSymlink, Linkname: "two"}))
	check(w.WriteHeader(&tar.Header{Name: "two", Typeflag: tar.TypeSymlink, Linkname: "../../../../data/three"}))
	check(w.WriteHeader(&tar.Header{Name: "three", Mode: 0o644, Size: 3}))
	_, err := w.Write([]byte("abc"))
	check(err)
	check(w.WriteHeader(&tar.Header{Name: "round", Typeflag: tar.TypeSymlink, Linkname: "round"}))
	check(w.Close())
	r.ok(r.CreateContainer(r.ctx, r.spec("c", "wait")))
	r.ok(r.CopyIn(r.ctx, r.name("c"), "/data", &b))
	file, err := r.Stat(r.ctx, r.name("c"), "/data/one")
	if err != nil || file.Size != 3 {
		t.Errorf("%+v, %v", file, err)
	}
	_, err = r.Stat(r.ctx, r.name("c"), "/data/round")
	wantErr(t, err, nil, "/data/round")
}
