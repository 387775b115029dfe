package egress

import "errors"

// Rule is one entry of the allowlist. A name without a port stands for the ports 443 and 80.
type Rule struct {
	Host string // lower case, ASCII, no trailing dot; an IP address in its canonical form
	Any  bool   // written "*.host": host itself and everything under it, at any depth
	Port int    // 0: 443 and 80
}

// ParseRule reads an entry as people write it: "example.com", "*.example.com", "example.com:8443",
// "203.0.113.7", "[2001:db8::1]:443". Names with other than ASCII letters are turned into their punycode.
func ParseRule(s string) (Rule, error) { return Rule{}, errors.New("not written yet") }

// String is the rule as ParseRule reads it.
func (r Rule) String() string { return "" }
