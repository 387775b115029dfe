package docker_test

import (
	"context"
	"strings"
	"testing"

	"bottle-tui/bottles"
)

// What is fed arrives, one time after another, and the engine keeps it nowhere.
func TestFeedReachesTheInputAndNothingElse(t *testing.T) {
	r := newRig(t)
	spec := r.spec("feed", "shout")
	spec.Stdin = true
	r.start(spec)
	for _, line := range []string{"first-thing", "second-thing"} {
		r.ok(r.Feed(t.Context(), spec.Name, []byte(line+"\n")))
		r.until("the line is echoed", func() bool { return strings.Contains(r.log(spec.Name), "got "+strings.ToUpper(line)) })
		if strings.Contains(r.log(spec.Name), line) {
			t.Errorf("the log has what was fed:\n%s", r.log(spec.Name))
		}
	}
}

func TestFeedNeedsAnOpenInput(t *testing.T) {
	r := newRig(t)
	spec := r.spec("feed-none", "wait")
	r.start(spec)
	wantErr(t, r.Feed(t.Context(), spec.Name, []byte("x")), nil, "standard input")
	wantErr(t, r.Feed(t.Context(), r.name("nobody"), []byte("x")), bottles.ErrNotFound)
}

func TestHoldersFindStrangers(t *testing.T) {
	r := newRig(t)
	spec := r.spec("held", "wait")
	spec.Labels = nil // a stranger's
	r.ok(r.CreateContainer(t.Context(), spec))
	t.Cleanup(func() { _ = r.RemoveContainer(context.Background(), spec.Name) })
	net := r.network("held-net", false)
	r.ok(r.CreateVolume(t.Context(), r.name("held-vol"), r.labels()))
	got, err := r.Holders(t.Context(), []string{spec.Name, r.name("free")}, []string{net.Name, "nobody"}, []string{r.name("held-vol"), "nobody"})
	r.ok(err)
	var kinds []string
	for _, h := range got {
		kinds = append(kinds, h.Kind+" "+h.Name+" "+h.Labels[bottles.LabelRoot])
	}
	want := "container " + spec.Name + " ,network " + net.Name + " " + r.root + ",volume " + r.name("held-vol") + " " + r.root
	if strings.Join(kinds, ",") != want {
		t.Errorf("held: %s\nwant: %s", strings.Join(kinds, ","), want)
	}
}
