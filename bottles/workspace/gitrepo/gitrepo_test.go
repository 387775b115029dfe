package gitrepo

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
)

// FuzzConfig reads any configuration: what is written of it reads the same, and none of what is left out is in it.
func FuzzConfig(f *testing.F) {
	for _, s := range []string{
		"[core]\n\tbare = false\n", "[a \"b\\\"c\\\\d\"]x=\"y z\" ; c\n", "[a.B]\nk\n", "[a]k = one \\\n two\n", "\ufeff[a]\r\nb=1\r\n",
		"[remote \"o\"]\nurl = https://u:p@h/x\nurl = /home/op/x\n", "[include]\npath=x\n", "[a", "[a]\n1", "[a]\nb = \"", "[a]b=\\q",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		settings, err := parseConfig(text)
		if err != nil {
			return
		}
		kept, _ := sanitizeConfig(settings)
		again, err := parseConfig(formatConfig(kept))
		if err != nil || len(again) != len(kept) {
			t.Fatalf("%q became %q: %v", text, formatConfig(kept), err)
		}
		for i, s := range kept {
			if !reflect.DeepEqual(s, again[i]) {
				t.Errorf("%+v became %+v", s, again[i])
			}
			if strings.HasPrefix(s.value, "/") || s.section == "include" || s.section == "credential" {
				t.Errorf("kept: %+v", s)
			}
		}
	})
}

// FuzzIndex reads any index, and what is made of one can be made of that again.
func FuzzIndex(f *testing.F) {
	empty := append([]byte("DIRC\x00\x00\x00\x02\x00\x00\x00\x00"), make([]byte, 20)...)
	f.Add(empty)
	one := append([]byte("DIRC\x00\x00\x00\x02\x00\x00\x00\x01"), make([]byte, 60)...)
	one = append(one, "\x00\x01a\x00\x00\x00\x00\x00\x00\x00\x00\x00UNTR\x00\x00\x00\x04/hom"...)
	f.Add(append(one, make([]byte, 20)...))
	four := append([]byte("DIRC\x00\x00\x00\x04\x00\x00\x00\x01"), make([]byte, 60)...)
	f.Add(append(append(four, "\x00\x01\x00b/c\x00TREE\x00\x00\x00\x00"...), make([]byte, 20)...))
	f.Fuzz(func(t *testing.T, index []byte) {
		for _, below := range []string{"", "b/"} {
			out, err := portableIndex(index, 20, below)
			if err != nil {
				continue
			}
			again, err := portableIndex(out, 20, below)
			if err != nil || !bytes.Equal(again, out) {
				t.Fatalf("%q became %q, and that %q: %v", index, out, again, err)
			}
		}
	})
}
