package themes_test

import (
	"reflect"
	"strings"
	"testing"

	"charm.land/lipgloss/v2"

	"bottle-tui/themes"
)

func TestEveryThemeLoadsUnderItsName(t *testing.T) {
	if len(themes.Names()) == 0 {
		t.Fatal("no theme is built in")
	}
	for _, name := range themes.Names() {
		p, err := themes.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		if p.Name != name {
			t.Errorf("%s.toml calls itself %q", name, p.Name)
		}
	}
	if p, err := themes.Load(""); err != nil || p.Name != themes.Default {
		t.Errorf("without a name: %q, %v", p.Name, err)
	}
}

func TestUnknownThemeNamesThoseThereAre(t *testing.T) {
	_, err := themes.Load("../dark")
	if err == nil || !strings.Contains(err.Error(), themes.Default) {
		t.Errorf("error %v does not name what there is", err)
	}
}

func TestParseRefuses(t *testing.T) {
	for what, content := range map[string]string{
		"not TOML":       "name = ",
		"unknown key":    "name = \"x\"\nblink = true",
		"missing colour": "name = \"x\"",
		"no name":        "text = \"#ffffff\"",
	} {
		if _, err := themes.Parse([]byte(content)); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
}

// Without colour no style may carry a colour, and what matters must still look different.
func TestWithoutColour(t *testing.T) {
	p, err := themes.Load("")
	if err != nil {
		t.Fatal(err)
	}
	s := themes.Build(p, false)
	v := reflect.ValueOf(*s)
	for i := range v.NumField() {
		style, ok := v.Field(i).Interface().(lipgloss.Style)
		if !ok {
			continue
		}
		out := style.Render("x")
		if strings.Contains(out, "38;") || strings.Contains(out, "48;") {
			t.Errorf("%s has a colour: %q", v.Type().Field(i).Name, out)
		}
	}
	for what, pair := range map[string][2]lipgloss.Style{
		"added and removed":      {s.Added, s.Removed},
		"selected and other":     {s.Selected, s.Text},
		"tab in front or not":    {s.TabOn, s.TabOff},
		"key usable or not":      {s.Key, s.KeyOff},
		"danger and plain text":  {s.Danger, s.Text},
		"border focused or not":  {s.BorderFocus, s.Border},
		"alert and plain header": {s.Alert, s.Muted},
	} {
		if pair[0].Render("x") == pair[1].Render("x") {
			t.Errorf("%s look the same", what)
		}
	}
}
