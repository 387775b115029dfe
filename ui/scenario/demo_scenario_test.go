package scenario_test

import (
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var pictures = flag.String("pictures", "", "write pictures of the demo's screen into this directory")

// What the README promises of the demo: four bottles, three that ask, one that works; and the pictures of its
// screen that the README shows.
func TestDemo(t *testing.T) {
	s := newStage(t)
	op := s.opensAt(size{132, 38}, "demo")
	op.sees(" 4 live")
	op.sees("3 wait for you")
	op.WaitText(regexp.MustCompile(`counter-\S+ +⚑1`), patience)
	op.WaitText(regexp.MustCompile(`reckless-\S+ +⚑1`), patience)
	op.WaitText(regexp.MustCompile(`scout-\S+ +⚑1`), patience)
	picture(t, op, "screen")

	// One asks for what deserves every warning.
	op.reviewsThatOf(s.identities("reckless")[0])
	for _, want := range []string{"reckless-", "the base image becomes", "DEPLOY_TOKEN", "the last USER is root", "a download is run as a program"} {
		op.sees(want)
	}
	op.seesNoMore("y is off")
	picture(t, op, "request")
	op.denies("One thing at a time, on the base that we have.")
	op.Press("1")
	op.sees("One thing at a time, on the base that we have.")
	op.sees("I accept that and do without")

	// The third asks for a host, gets it for an hour, and goes on at once; the tab Egress tells how long.
	scout := s.identities("scout")[0]
	op.reviewsThatOf(scout)
	for _, want := range []string{scout + " asks for a way out", "+ example.com", "For 1 h"} {
		op.sees(want)
	}
	op.seesNoMore("y is off")
	picture(t, op, "way-out")
	op.approves()
	op.Press("1")
	op.sees(words("Egress lets me go to example.com now"))
	op.Press("3")
	for _, want := range []string{"Granted beyond the profile", "left"} {
		op.sees(want)
	}
	picture(t, op, "egress")
	op.Press("1")

	// The fourth just works, on the wall of all terminals, too.
	op.Press("g")
	op.sees(regexp.MustCompile(`\d\d:\d\d:\d\d  package \d`))
	picture(t, op, "wall")
}

// picture draws the screen, and keeps the picture where -pictures asks for it.
func picture(t *testing.T, op *operator, name string) {
	t.Helper()
	svg := op.StyledSVG()
	for d := xml.NewDecoder(strings.NewReader(svg)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("the picture %s is no XML: %v", name, err)
		}
	}
	if *pictures == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(*pictures, name+".svg"), []byte(svg), 0o644); err != nil {
		t.Fatal(err)
	}
}
