package queue_test

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"bottle-tui/queue"
)

func TestVisible(t *testing.T) {
	for in, want := range map[string]string{
		"":                                "",
		"plain text, é ☃ 日本 😀":            "plain text, é ☃ 日本 😀",
		"a\tb\nc\r\x00\x7f":               "a␉b␊c␍␀␡",
		"\x1b[31mred\x1b]0;t\x07":         "␛[31mred␛]0;t␇",
		"\u0085\u009b31m":                 "⟨U+0085⟩⟨U+009B⟩31m",
		"a\u202eb\u2066c\u200bd\ufeff":    "a⟨U+202E⟩b⟨U+2066⟩c⟨U+200B⟩d⟨U+FEFF⟩",
		"\U000e0041\u00ad\u2028":          "⟨U+E0041⟩⟨U+00AD⟩⟨U+2028⟩",
		"a\u00a0b\u3000c":                 "a⟨U+00A0⟩b⟨U+3000⟩c",
		"\u3164\u115f\u2800\ue000":        "⟨U+3164⟩⟨U+115F⟩⟨U+2800⟩⟨U+E000⟩",
		"x\ufe0f":                         "x⟨U+FE0F⟩",
		"\xff\xc3(\xed\xa0\x80":           "⟨0xFF⟩⟨0xC3⟩(⟨0xED⟩⟨0xA0⟩⟨0x80⟩",
		"\ufffd":                          "\ufffd",
		"e\u0301":                         "e\u0301",
		"\u0301e":                         "⟨U+0301⟩e",
		"e" + strings.Repeat("\u0301", 6): "e" + strings.Repeat("\u0301", 4) + strings.Repeat("⟨U+0301⟩", 2),
	} {
		if got := queue.Visible(in); got != want {
			t.Errorf("Visible(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestVisibleText(t *testing.T) {
	for _, test := range []struct {
		in   string
		max  int
		want string
	}{
		{"a\nb\n", 0, "a\nb\n"},
		{"a\r\n\x1b", 0, "a␍\n␛"},
		{"\tx\nab\tc\t\td", 0, "        x\nab      c               d"},
		{"日\tx", 0, "日       x"},
		{"\u0301a\n\u0301b", 0, "⟨U+0301⟩a\n⟨U+0301⟩b"},
		{"abcdef", 6, "abcdef"},
		{"abcdef", 4, "abcd\n… 2 bytes more"},
		{"abc\ndef", 4, "abc\n… 3 bytes more"},
		{"ab日", 3, "ab\n… 3 bytes more"},
		{"日", 1, "… 3 bytes more"},
	} {
		if got := queue.VisibleText(test.in, test.max); got != test.want {
			t.Errorf("VisibleText(%q, %d) = %q, want %q", test.in, test.max, got, test.want)
		}
	}
}

// hostile finds what no terminal should get.
func hostile(s string) (rune, bool) {
	for _, r := range s {
		if unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Zl, unicode.Zp, unicode.Bidi_Control,
			unicode.Join_Control, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point) {
			return r, true
		}
	}
	return 0, !utf8.ValidString(s)
}

func FuzzVisible(f *testing.F) {
	for _, s := range []string{"", "a\tb", "\x1b[2J", "\u202e\u200b\ufeff", "\xff\xfe", "e\u0301\u0301", "\U000e0001", "日本\n\r", "👩\u200d💻", "\u009b0m"} {
		f.Add(s, 3)
	}
	f.Fuzz(func(t *testing.T, s string, max int) {
		one := queue.Visible(s)
		if r, bad := hostile(one); bad {
			t.Errorf("Visible(%q) = %q holds %U", s, one, r)
		}
		if again := queue.Visible(one); again != one {
			t.Errorf("Visible(%q) = %q, and of that %q", s, one, again)
		}
		if s != "" && one == "" {
			t.Errorf("Visible(%q) hides it", s)
		}
		text := queue.VisibleText(s, max)
		if r, bad := hostile(strings.ReplaceAll(text, "\n", "")); bad {
			t.Errorf("VisibleText(%q, %d) = %q holds %U", s, max, text, r)
		}
		if len(text) > 10*len(s)+64 {
			t.Errorf("VisibleText of %d bytes has %d", len(s), len(text))
		}
	})
}
