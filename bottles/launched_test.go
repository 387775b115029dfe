package bottles_test

import (
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"bottle-tui/bottles"
	"bottle-tui/bottles/dockerfile"
)

// What a profile says after a launch changes nothing for the bottle that runs: its requests are compared with what it
// runs on, can be approved, and say that the profile has moved on. A resume shows what the profile would change, and asks.
func TestABottleIsComparedWithWhatItRunsOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var edited atomic.Bool
	w.cat.tune = func(p *bottles.Profile) {
		p.Egress = []string{"kept.example.com"}
		if edited.Load() {
			p.Dockerfile = append(p.Dockerfile, "LABEL moved=\"on\"\n"...)
			p.Egress = []string{"other.example.com"}
		}
	}
	w.run(nil)
	id := w.launch("")
	edited.Store(true)

	req := w.request(id, w.change("one"))
	if string(req.Current) != w.cat.dockerfile || req.Stale {
		t.Errorf("shown against %q, stale %v", req.Current, req.Stale)
	}
	if !slices.ContainsFunc(req.Findings, func(f dockerfile.Finding) bool {
		return f.Rule == "profile-changed" && strings.Contains(f.Text, `+LABEL moved="on"`)
	}) {
		t.Errorf("the findings are %+v", req.Findings)
	}
	w.must(bottles.Approve{Identity: id, Request: req.ID, Shown: req.Hash})
	w.awaitStatus(id, bottles.Live)
	if got := w.dockerfile(id); got != w.change("one") {
		t.Errorf("it runs on %q", got)
	}
	w.must(bottles.Allow{Identity: id, Rules: []string{"new.example.com"}, Scope: bottles.Scope{}})
	b, err := w.root.Bottle(id)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := b.Config("allowlist"); err != nil || string(got) != "kept.example.com\nnew.example.com\n" {
		t.Errorf("open is %q, %v", got, err)
	}

	w.must(bottles.TearDown{Identity: id})
	p, err := w.sup.Preflight(t.Context(), bottles.Resume{Identity: id})
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, n := range p.Notices {
		said = append(said, n.What)
	}
	if all := strings.Join(said, "\n"); !strings.Contains(all, "+other.example.com, -kept.example.com") || !strings.Contains(all, "the bottle keeps the Dockerfile") || p.Asks() == "" {
		t.Errorf("the plan says %s and asks %q", all, p.Asks())
	}
	if err := w.do(bottles.Resume{Identity: id}); !errors.Is(err, bottles.ErrRefused) || !strings.Contains(err.Error(), "other.example.com") {
		t.Errorf("resumed without a yes: %v", err)
	}
	w.must(bottles.Resume{Identity: id, Agreed: p.Asks()})
	if again, err := w.sup.Preflight(t.Context(), bottles.Resume{Identity: id}); err != nil || again.Asks() != "" {
		t.Errorf("it asks again: %q, %v", again.Asks(), err)
	}
}
