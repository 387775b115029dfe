package supervise

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"bottle-tui/queue"
	"bottle-tui/sidecars"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// capability asks for another image.
var capability = &tool{
	name: queue.ToolCapability, file: "Dockerfile", argument: "dockerfile", noun: "Dockerfile",
	description: capabilityText,
	form:        "Give justification and dockerfile as strings, and optionally current_hash.",
	schema: map[string]any{
		"type":        "string",
		"description": "The whole new Dockerfile, not a part or a diff: take " + sidecars.CurrentConfigDir + "/Dockerfile and change what is needed.",
	},
	inForce: func(c *Config) string { return c.Dockerfile },
	read:    readDockerfile,
	same:    func(a, b string) bool { return a == b },
	settled: sameDockerfile,
	pointless: "This is the Dockerfile that is in force already: there is nothing to ask for. If a tool is missing all the same, look at " +
		sidecars.CurrentConfigDir + "/Dockerfile, change it, and call with the whole changed file.",
	denied: "Go on without it, or, where the reason leaves room, call again with a Dockerfile or a justification that meets it.",
}

func readDockerfile(raw json.RawMessage, _ string) (string, error) {
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return "", err
	}
	switch {
	case strings.TrimSpace(text) == "":
		return "", problemf("The dockerfile is empty. Give the whole new Dockerfile: read %s/Dockerfile, change what is needed, and call again.", sidecars.CurrentConfigDir)
	case len(text) > queue.MaxFile:
		return "", problemf("The dockerfile has %d bytes; at most 256 KiB are allowed. Fetch large content in a RUN instruction instead of writing it into the Dockerfile.", len(text))
	}
	return text, checkDockerfile(text)
}

// sameDockerfile says whether two Dockerfiles differ in nothing but line ends and what follows the last line.
func sameDockerfile(a, b string) bool {
	plain := func(s string) string { return strings.TrimRight(strings.ReplaceAll(s, "\r\n", "\n"), "\n\t ") }
	return plain(a) == plain(b)
}

// checkDockerfile refuses what can't be built or shown.
func checkDockerfile(text string) error {
	line := 1
	for i, c := range text {
		switch {
		case c == '\n':
			line++
		case c == utf8.RuneError:
			if _, n := utf8.DecodeRuneInString(text[i:]); n == 1 {
				return problemf("Line %d of the dockerfile is not UTF-8. Write it as plain text and call again.", line)
			}
		case c < ' ' && c != '\t' && c != '\r' || c == 0x7f:
			return problemf("Line %d of the dockerfile holds the control character U+%04X. Write it as an escape of the shell (as in printf '\\033'), and call again.", line, c)
		}
	}
	var stages []instructions.Stage
	tree, err := parser.Parse(strings.NewReader(text))
	if err == nil {
		stages, _, err = instructions.Parse(tree.AST, nil)
	}
	if err == nil && len(stages) == 0 {
		err = errors.New("it has no FROM instruction")
	}
	if err != nil {
		return problemf("The dockerfile can't be built%s: %v. Correct it and call again with the whole file.", where(err), err)
	}
	return nil
}

// where is the line that a parser's error is about, in words.
func where(err error) string {
	var at *parser.LocationError
	if errors.As(err, &at) {
		for _, ranges := range at.Locations {
			for _, r := range ranges {
				if r.Start.Line > 0 {
					return fmt.Sprintf(" (line %d)", r.Start.Line)
				}
			}
		}
	}
	return ""
}
