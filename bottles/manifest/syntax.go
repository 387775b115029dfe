package manifest

import (
	"errors"
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"bottle-tui/queue"
)

var (
	// bareWord may be repeated where it stands without quotes: it is too short for a credential.
	bareWord = regexp.MustCompile(`^[A-Za-z0-9_]{1,20}$`)
	// bareNumber is what somebody takes for a number, and JSON does not.
	bareNumber = regexp.MustCompile(`^[-+.]?[0-9][0-9.]{0,20}$`)
	// behindRef is a text that ends where the value of a token_ref begins.
	behindRef = regexp.MustCompile(`(?i)"token[_-]?ref"\s*:\s*$`)
)

// syntaxText is the parser's words with what to do about it. What could be a credential is not repeated.
func (s *source) syntaxText(err error, offset int) string {
	cause := errors.Unwrap(err)
	if cause == nil {
		cause = err
	}
	text := cause.Error()
	if errors.Is(cause, io.ErrUnexpectedEOF) {
		return "the file ends too early; is a closing quote, bracket or */ missing?"
	}
	if word, isWord := strings.CutPrefix(text, "invalid literal: "); isWord {
		return s.literalText(word, offset)
	}
	char, _ := utf8.DecodeRune(s.text[min(offset, len(s.text)):])
	inObject, inList := strings.Contains(text, "after object value"), strings.Contains(text, "after array value")
	hint := ""
	switch {
	case strings.ContainsRune("'“”„‟‘’‚«»", char):
		hint = `; write double quotes: "`
	case char == '#':
		hint = "; a comment begins with //"
	case strings.Contains(text, "after top-level value"):
		hint = "; a manifest is one object, and nothing follows it"
	case char == ',':
		hint = "; take one comma out"
	case inObject && char == ']':
		hint = "; an object ends with }"
	case inList && char == '}':
		hint = "; a list ends with ]"
	case (inObject || inList) && char == ';':
		hint = "; write a comma"
	case inObject || inList:
		hint = "; is a comma missing before it?"
	case strings.Contains(text, "after object name"):
		hint = "; is a colon missing before it?"
	case char == '}' || char == ']':
		hint = "; is a value missing before it, or is it the wrong bracket?"
	}
	if len(text) > 2*maxQuoted {
		text = strings.ToValidUTF8(text[:2*maxQuoted], "") + "…"
	}
	return queue.Visible(text) + hint
}

// literalText says what is wrong with a text, number or word that is none.
func (s *source) literalText(word string, offset int) string {
	const quotes = "; write it in quotes"
	switch {
	case strings.HasPrefix(word, `"`) && strings.Contains(word, "\n"):
		return "a text must end on its line; is a closing quote missing?"
	case strings.HasPrefix(word, `"`) && hasControl(word):
		return `a text has no control character in it; a tab is written \t`
	case strings.HasPrefix(word, `"`):
		return `this text can't be read; a backslash in a text is written \\`
	case behindRef.Match(s.text[:offset]), !bareWord.MatchString(word) && !bareNumber.MatchString(word):
		return "this is a word without quotes" + quotes
	case slices.Contains([]string{"true", "false", "null"}, strings.ToLower(word)):
		return "invalid literal: " + word + "; write it in small letters"
	case bareNumber.MatchString(word):
		if plain := strings.TrimLeft(word, "+0"); strings.Trim(plain, "0123456789") == "" && plain != "" {
			return "invalid number: " + word + "; write " + plain
		}
		return "invalid number: " + word + "; write a plain one, such as 100"
	}
	return "invalid literal: " + word + quotes
}
