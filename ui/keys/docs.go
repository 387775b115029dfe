package keys

import (
	"fmt"
	"strings"
)

// Markdown is the table as docs/keys.md shows it.
func Markdown() string {
	var b strings.Builder
	b.WriteString("# Keys\n\nMade from the program's own table; `go test ./ui/keys -update` writes it again.\nThe same table opens with `?`.\n\n" +
		"A key that starts, ends, approves or removes something is taken only after the keyboard was quiet for 0.4 s, with what it is\n" +
		"about on the screen; keys that only move don't count. When an agent goes away while you type to it, what you type goes\n" +
		"nowhere until the keyboard was quiet.\n")
	for _, place := range Places {
		fmt.Fprintf(&b, "\n## %s\n\n| Keys | What they do | When |\n| --- | --- | --- |\n", place)
		for i := range Table {
			t := &Table[i]
			if t.Place != place {
				continue
			}
			when := t.When
			if when == "" {
				when = "always"
			}
			var names []string
			for _, k := range t.Keys {
				names = append(names, "`"+strings.ReplaceAll(k, "|", `\|`)+"`")
			}
			fmt.Fprintf(&b, "| %s | %s | %s |\n", strings.Join(names, " "), t.Help, when)
		}
	}
	return b.String()
}
