package manifest_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"bottle-tui/bottles/manifest"
)

// FuzzParse: nothing makes the reader panic, what it accepts the schema accepts, too, and written again it
// reads as the same.
func FuzzParse(f *testing.F) {
	f.Add([]byte(homeText))
	for _, b := range broken {
		f.Add([]byte(b.text))
	}
	s := validator(f)
	f.Setenv("HOME", "/home/me")
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := manifest.Parse("/dir/m.json", text)
		if err != nil {
			if m != nil || err.Error() == "" {
				t.Fatalf("a manifest beside the error %v", err)
			}
			return
		}
		if err := validate(s, text); err != nil {
			t.Fatalf("it is read, and the schema refuses it: %v", err)
		}
		again, err := json.Marshal(file(m))
		if err != nil {
			t.Fatal(err)
		}
		m2, err := manifest.Parse("/dir/m.json", again)
		if err != nil {
			t.Fatalf("written again as %s it is refused: %v", again, err)
		}
		if one, two := plain(m), plain(m2); !reflect.DeepEqual(one, two) {
			t.Fatalf("written again it reads as\n%+v\nnot\n%+v", two, one)
		}
	})
}

// file is what a manifest reads as, to be written.
func file(m *manifest.Manifest) manifest.File {
	var f manifest.File
	for _, p := range m.Profiles {
		f.Bottles = append(f.Bottles, manifest.Entry[manifest.Profile]{Name: p.Name, Value: p})
	}
	for _, a := range m.Agents {
		f.Agents = append(f.Agents, manifest.Entry[manifest.Agent]{Name: a.Name, Value: a})
	}
	return f
}

// plain is a manifest without its positions, as text.
func plain(m *manifest.Manifest) string {
	text, err := json.Marshal(file(m))
	if err != nil {
		return err.Error()
	}
	return string(text)
}
