package gitrepo

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// setting is one line of a git configuration: section.sub.key = value. Section and key are in lower case.
type setting struct {
	section, sub, key string
	value             string
	bare              bool // a key without "=", which is true
}

// name is how git config names a setting.
func (s setting) name() string {
	if s.sub == "" {
		return s.section + "." + s.key
	}
	return s.section + "." + s.sub + "." + s.key
}

// yes says whether the setting is a boolean that is true.
func (s setting) yes() bool {
	switch strings.ToLower(s.value) {
	case "true", "yes", "on", "1":
		return true
	}
	return s.bare
}

var errSyntax = errors.New("its syntax is not git's")

// parseConfig reads a file in the syntax of git-config(1), without following its includes.
func parseConfig(text []byte) ([]setting, error) {
	p := &configParser{text: bytes.TrimPrefix(text, []byte("\ufeff")), line: 1}
	var out []setting
	var section, sub string
	for {
		c, ok := p.next()
		switch {
		case !ok:
			return out, nil
		case c == '#' || c == ';':
			p.skipLine()
		case c == '[':
			var err error
			if section, sub, err = p.header(); err != nil {
				return nil, err
			}
		case isLetter(c) && section != "":
			s := setting{section: section, sub: sub}
			if err := p.setting(c, &s); err != nil {
				return nil, err
			}
			out = append(out, s)
		case c != ' ' && c != '\t' && c != '\n':
			return nil, p.wrong()
		}
	}
}

type configParser struct {
	text []byte
	at   int
	line int
}

func (p *configParser) wrong() error { return fmt.Errorf("line %d: %w", p.line, errSyntax) }

// next gives the next byte; a CR before a LF is dropped.
func (p *configParser) next() (byte, bool) {
	if p.at >= len(p.text) {
		return 0, false
	}
	c := p.text[p.at]
	p.at++
	if c == '\r' && p.at < len(p.text) && p.text[p.at] == '\n' {
		c = '\n'
		p.at++
	}
	if c == '\n' {
		p.line++
	}
	return c, true
}

func (p *configParser) skipLine() {
	for {
		if c, ok := p.next(); !ok || c == '\n' {
			return
		}
	}
}

// header reads a section's name, behind its bracket.
func (p *configParser) header() (section, sub string, err error) {
	var name strings.Builder
	for {
		c, ok := p.next()
		switch {
		case !ok || c == '\n':
			return "", "", p.wrong()
		case c == ']':
			section, sub, _ = strings.Cut(strings.ToLower(name.String()), ".")
			if section == "" {
				return "", "", p.wrong()
			}
			return section, sub, nil
		case c == ' ' || c == '\t':
			if sub, err = p.subsection(); err != nil || name.Len() == 0 {
				return "", "", p.wrong()
			}
			return strings.ToLower(name.String()), sub, nil
		case !isLetter(c) && !isDigit(c) && c != '-' && c != '.':
			return "", "", p.wrong()
		}
		name.WriteByte(c)
	}
}

// subsection reads a name in quotes and the bracket behind it.
func (p *configParser) subsection() (string, error) {
	c, ok := p.next()
	for ok && (c == ' ' || c == '\t') {
		c, ok = p.next()
	}
	if !ok || c != '"' {
		return "", p.wrong()
	}
	var sub strings.Builder
	for {
		c, ok := p.next()
		if ok && c == '\\' {
			if c, ok = p.next(); ok {
				sub.WriteByte(c)
				continue
			}
		}
		switch {
		case !ok || c == '\n':
			return "", p.wrong()
		case c == '"':
			if c, ok := p.next(); !ok || c != ']' {
				return "", p.wrong()
			}
			return sub.String(), nil
		}
		sub.WriteByte(c)
	}
}

// setting reads a key, of which c is the first byte, and its value.
func (p *configParser) setting(c byte, s *setting) error {
	var key strings.Builder
	ok := true
	for ok && (isLetter(c) || isDigit(c) || c == '-') {
		key.WriteByte(c)
		c, ok = p.next()
	}
	s.key = strings.ToLower(key.String())
	for ok && (c == ' ' || c == '\t') {
		c, ok = p.next()
	}
	switch {
	case !ok || c == '\n':
		s.bare = true
		return nil
	case c == '#' || c == ';':
		s.bare = true
		p.skipLine()
		return nil
	case c != '=':
		return p.wrong()
	}
	value, err := p.value()
	s.value = value
	return err
}

// value reads what is behind an equals sign to the end of its line.
func (p *configParser) value() (string, error) {
	var out []byte
	quoted, solid := false, 0 // solid: the length without the blanks at the end
	for {
		c, ok := p.next()
		switch {
		case !ok || c == '\n':
			if quoted {
				return "", p.wrong()
			}
			return string(out[:solid]), nil
		case (c == ' ' || c == '\t') && !quoted:
			if solid > 0 {
				out = append(out, c)
			}
			continue
		case (c == '#' || c == ';') && !quoted:
			p.skipLine()
			return string(out[:solid]), nil
		case c == '"':
			quoted = !quoted
			solid = len(out)
			continue
		case c == '\\':
			c, ok = p.next()
			if ok && c == '\n' {
				continue
			}
			i := strings.IndexByte(`ntb"\`, c)
			if !ok || i < 0 {
				return "", p.wrong()
			}
			c = "\n\t\b\"\\"[i]
		}
		out = append(out, c)
		solid = len(out)
	}
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
func isDigit(c byte) bool  { return '0' <= c && c <= '9' }

// formatConfig writes settings as a file that git reads.
func formatConfig(settings []setting) []byte {
	var b bytes.Buffer
	for i, s := range settings {
		if i == 0 || s.section != settings[i-1].section || s.sub != settings[i-1].sub {
			b.WriteString("[" + s.section)
			if s.sub != "" {
				b.WriteString(` "` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s.sub) + `"`)
			}
			b.WriteString("]\n")
		}
		if s.bare {
			b.WriteString("\t" + s.key + "\n")
			continue
		}
		b.WriteString("\t" + s.key + ` = "` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\t", `\t`, "\b", `\b`).Replace(s.value) + "\"\n")
	}
	return b.Bytes()
}
