package state

import (
	"crypto/rand"
	"regexp"
	"strings"
)

const (
	maxSlug     = 40  // characters of an agent's name that an identity keeps
	maxIdentity = 128 // longest identity that is read; minted ones have at most maxSlug+6
	suffixLen   = 5
	base36      = "0123456789abcdefghijklmnopqrstuvwxyz"
)

var (
	identityForm = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*-[a-z0-9]{5}$`)
	requestForm  = regexp.MustCompile(`^[a-z0-9-]{1,64}$`)
	configForm   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
)

// ValidIdentity says whether s has the form of an identity: a slug of lower-case letters, digits and
// dashes, a dash, and five characters of base 36. Such a name is safe as a file name and as
// part of a container's name.
func ValidIdentity(s string) bool {
	return len(s) <= maxIdentity && identityForm.MatchString(s)
}

// Slug is an agent's name as it stands in identities: lower case, each run of other characters one
// dash, at most 40 characters; "agent" when nothing is left.
func Slug(agent string) string {
	var out strings.Builder
	dash := false
	for _, r := range strings.ToLower(agent) {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			if dash && out.Len() > 0 {
				out.WriteByte('-')
			}
			dash = false
			out.WriteRune(r)
			continue
		}
		dash = true
	}
	s := out.String()
	if len(s) > maxSlug {
		s = strings.TrimRight(s[:maxSlug], "-")
	}
	if s == "" {
		return "agent"
	}
	return s
}

// mint makes a new identity; whether it is taken is the caller's to see.
func mint(agent string) string {
	return Slug(agent) + "-" + RandomBase36(suffixLen)
}

// RandomBase36 is n random characters of base 36, each equally likely.
func RandomBase36(n int) string {
	out := make([]byte, 0, n)
	var raw [16]byte
	for len(out) < n {
		_, _ = rand.Read(raw[:]) // never fails: it ends the program instead
		for _, b := range raw {
			// 252 is the largest multiple of 36 in a byte: above it some would come more often.
			if b < 252 && len(out) < n {
				out = append(out, base36[b%36])
			}
		}
	}
	return string(out)
}
