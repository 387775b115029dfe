package gitgate

import "context"

// Scanner finds secrets in texts by the rules that pushes are held to. It is safe for use by many.
type Scanner struct{ rules *scanner }

// NewScanner reads the rules, which takes some 40 ms of a processor.
func NewScanner() (*Scanner, error) {
	rules, err := newScanner()
	if err != nil {
		return nil, err
	}
	return &Scanner{rules}, nil
}

// Rule names the first rule that the text of a file meets, "" for none. The rule that goes by the look of a value alone
// is left out: it is for what leaves a bottle, where a false alarm costs less than a secret. Where ctx ends, what was
// not looked at meets none.
func (s *Scanner) Rule(ctx context.Context, path string, text []byte) string {
	for _, h := range s.rules.look(ctx, text, where{path: path}) {
		if h.rule != guessRule {
			return h.rule
		}
	}
	return ""
}
