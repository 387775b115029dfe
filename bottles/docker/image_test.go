package docker_test

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"bottle-tui/bottles"
)

// ref is an image reference of the test's own, removed at its end.
func (r *rig) ref(tag string) string {
	ref := "bottle-tui-test-" + run + ":" + r.root + "-" + tag
	r.t.Cleanup(func() { r.ok(r.RemoveImage(r.ctx, ref)) })
	return ref
}

func TestImportKeepsEveryWordOfTheConfiguration(t *testing.T) {
	r := newRig(t)
	ref := r.ref("import")
	nasty := "a $HOME \"quoted\" 'single' \\n\nsecond line \u202e ünïcode"
	config := bottles.ImageConfig{Entrypoint: []string{"/probe", "status"}, Env: []string{"PROBE=" + nasty}, User: "4321:4321",
		WorkingDir: "/data", Labels: map[string]string{"plain": "1", "nasty": nasty, "key with spaces = x": "\"}"}}
	img, err := r.Import(r.ctx, ref, bytes.NewReader(rootfs(probeBinary)), config)
	r.ok(err)
	if !maps.Equal(img.Labels, config.Labels) || img.User != config.User || !strings.HasPrefix(img.ID, "sha256:") {
		t.Errorf("imported %+v", img)
	}
	spec := r.spec("c")
	spec.Image = ref
	out := r.output(spec)
	for _, want := range []string{"Uid: 4321 4321 4321 4321", "wd /data", "env " + nasty + "\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in %q", want, out)
		}
	}
	// Again, at once and from several sides: the same image.
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			again, err := r.Import(r.ctx, ref, bytes.NewReader(rootfs(probeBinary)), config)
			if err != nil || again.ID != img.ID {
				t.Errorf("again: %+v, %v", again, err)
			}
		})
	}
	group.Wait()
	byID, err := r.Image(r.ctx, img.ID)
	r.ok(err)
	if byID.ID != img.ID {
		t.Errorf("by ID: %+v", byID)
	}
	// Another content under the same reference takes its place.
	config.User = "1"
	other, err := r.Import(r.ctx, ref, bytes.NewReader(rootfs(probeBinary)), config)
	r.ok(err)
	if other.ID == img.ID || other.User != "1" {
		t.Errorf("changed: %+v", other)
	}
	t.Cleanup(func() { r.ok(r.RemoveImage(r.ctx, img.ID)) })
	wantErr(t, r.RemoveImage(r.ctx, img.ID), nil, img.ID, "remove the containers that use it first")
	r.ok(r.RemoveContainer(r.ctx, spec.Name))
}

func TestImagesOfAStateRoot(t *testing.T) {
	r := newRig(t)
	ref := r.ref("mine")
	_, err := r.Import(r.ctx, ref, bytes.NewReader(rootfs(nil)), bottles.ImageConfig{Labels: r.labels()})
	r.ok(err)
	images, err := r.Images(r.ctx, r.root)
	if err != nil || len(images) != 1 || !maps.Equal(images[ref], r.labels()) {
		t.Errorf("%v, %v", images, err)
	}
	images, err = r.Images(r.ctx, r.root+"x")
	if err != nil || len(images) != 0 {
		t.Errorf("another root sees %v, %v", images, err)
	}
}

func TestImportThatFails(t *testing.T) {
	r := newRig(t)
	ref := r.ref("import")
	broken := errors.New("the disk is on fire")
	_, err := r.Import(r.ctx, ref, io.MultiReader(strings.NewReader("x"), iotest.ErrReader(broken)), bottles.ImageConfig{})
	wantErr(t, err, broken, ref, "reading the archive")
	_, err = r.Import(r.ctx, ref, strings.NewReader(strings.Repeat("this is no tar archive ", 1000)), bottles.ImageConfig{})
	wantErr(t, err, nil, ref, "tar")
	_, err = r.Import(r.ctx, "Not A Reference", bytes.NewReader(rootfs(nil)), bottles.ImageConfig{})
	wantErr(t, err, nil, "Not A Reference")
	_, err = r.Image(r.ctx, ref)
	wantErr(t, err, bottles.ErrNotFound, ref)
	r.ok(r.RemoveImage(r.ctx, ref))
}

// An image whose reference went to another one is listed and removed by its ID.
func TestImagesWithoutAReference(t *testing.T) {
	r := newRig(t)
	ref := r.ref("moves")
	config := bottles.ImageConfig{Labels: map[string]string{bottles.LabelRoot: r.root, "n": "1"}}
	first, err := r.Import(r.ctx, ref, bytes.NewReader(rootfs(probeBinary)), config)
	r.ok(err)
	config.Labels["n"] = "2"
	_, err = r.Import(r.ctx, ref, bytes.NewReader(rootfs(probeBinary)), config)
	r.ok(err)
	all, err := r.Images(r.ctx, r.root)
	r.ok(err)
	if len(all) != 2 || all[first.ID]["n"] != "1" || all[ref]["n"] != "2" {
		t.Errorf("listed: %v", all)
	}
	for name := range all {
		r.ok(r.RemoveImage(r.ctx, name))
	}
	if all, err := r.Images(r.ctx, r.root); err != nil || len(all) > 0 {
		t.Errorf("left: %v, %v", all, err)
	}
}
