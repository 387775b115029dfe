// Package themes turns a palette, which is data, into the styles that the screen draws with. It
// knows nothing of what is drawn, and never asks the terminal anything.
package themes

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// Default is the name of the theme that is used when none is asked for.
const Default = "dark"

//go:embed *.toml
var files embed.FS

// Palette is a theme as it is written down: colours as #rrggbb, by what they are for.
type Palette struct {
	Name    string `toml:"name"`
	Text    string `toml:"text"`
	Muted   string `toml:"muted"`
	Faint   string `toml:"faint"`
	Accent  string `toml:"accent"`
	Typing  string `toml:"typing"`
	Waiting string `toml:"waiting"`
	Good    string `toml:"good"`
	Busy    string `toml:"busy"`
	Bad     string `toml:"bad"`
	Danger  string `toml:"danger"`

	Added     string `toml:"added"`
	AddedBG   string `toml:"added_bg"`
	Removed   string `toml:"removed"`
	RemovedBG string `toml:"removed_bg"`
}

// Names lists the themes that are built in, in order.
func Names() []string {
	matches, err := fs.Glob(files, "*.toml")
	if err != nil {
		return nil // the pattern is constant and well formed
	}
	names := make([]string, len(matches))
	for i, m := range matches {
		names[i] = strings.TrimSuffix(path.Base(m), ".toml")
	}
	slices.Sort(names)
	return names
}

// Load returns the palette of a built-in theme; "" means Default.
func Load(name string) (Palette, error) {
	if name == "" {
		name = Default
	}
	if !slices.Contains(Names(), name) {
		return Palette{}, fmt.Errorf("theme %q: there is none of that name; there are: %s", name, strings.Join(Names(), ", "))
	}
	content, err := files.ReadFile(name + ".toml")
	if err != nil {
		return Palette{}, fmt.Errorf("theme %q: %w", name, err)
	}
	p, err := Parse(content)
	if err != nil {
		return Palette{}, fmt.Errorf("theme %q: %w", name, err)
	}
	return p, nil
}

var hex = regexp.MustCompile(`^#[0-9a-fA-F]{6}$`)

// Parse reads a palette and checks that every colour is there and nothing else is.
func Parse(content []byte) (Palette, error) {
	var p Palette
	meta, err := toml.Decode(string(content), &p)
	if err != nil {
		return Palette{}, fmt.Errorf("reading the palette: %w", err)
	}
	if extra := meta.Undecoded(); len(extra) > 0 {
		return Palette{}, fmt.Errorf("the palette has a key that means nothing here: %s", extra[0])
	}
	if p.Name == "" {
		return Palette{}, fmt.Errorf("the palette lacks its name")
	}
	for _, c := range p.colours() {
		if !hex.MatchString(c.value) {
			return Palette{}, fmt.Errorf("the palette's %s is %q; a colour is written as #rrggbb", c.key, c.value)
		}
	}
	return p, nil
}

type colour struct{ key, value string }

func (p Palette) colours() []colour {
	return []colour{
		{"text", p.Text}, {"muted", p.Muted}, {"faint", p.Faint}, {"accent", p.Accent},
		{"typing", p.Typing}, {"waiting", p.Waiting}, {"good", p.Good}, {"busy", p.Busy},
		{"bad", p.Bad}, {"danger", p.Danger}, {"added", p.Added}, {"added_bg", p.AddedBG},
		{"removed", p.Removed}, {"removed_bg", p.RemovedBG},
	}
}
