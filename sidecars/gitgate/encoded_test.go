package gitgate

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
)

// notAToken looks like a personal access token.
const notAToken = "gh" + "p_" + "Zk3vQ8rTw2Lm5Np7Xs9Yb1Cd4Ef6Gh0JkAqV"

func scannerOf(t testing.TB) *scanner {
	t.Helper()
	s, err := newScanner()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// found are the findings in a file, as "rule:line".
func found(t testing.TB, s *scanner, text string) string {
	t.Helper()
	c := s.start(context.Background())
	if err := c.text(finding{kind: kindBlob, path: "f"}, where{path: "f"}, []byte(text)); err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, f := range c.end() {
		all = append(all, fmt.Sprintf("%s:%d", f.rule, f.line))
	}
	slices.Sort(all)
	return strings.Join(slices.Compact(all), " ")
}

func base64Of(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// wrapped cuts s into lines of n bytes, each with what is before and after it.
func wrapped(s string, n int, before, after string) string {
	var b strings.Builder
	for line := range slices.Chunk([]byte(s), n) {
		b.WriteString(before + string(line) + after + "\n")
	}
	return b.String()
}

func wide(s string) string {
	var b []byte
	for _, c := range utf16.Encode([]rune(s)) {
		b = binary.LittleEndian.AppendUint16(b, c)
	}
	return string(b)
}

// What a file holds encoded is found in every shape in which programs write it, wherever the secret is in that.
func TestEncodedSecrets(t *testing.T) {
	s := scannerOf(t)
	words := strings.Repeat("some words ", 40)
	for name, encode := range map[string]func(text string) string{
		"in lines of 76":           func(text string) string { return wrapped(base64Of(text), 76, "", "") },
		"in lines of 64, CR LF":    func(text string) string { return wrapped(base64Of(text), 64, "", "\r") },
		"in lines of 20":           func(text string) string { return wrapped(base64Of(text), 20, "", "") },
		"indented":                 func(text string) string { return "data: |\n" + wrapped(base64Of(text), 76, "    ", "") },
		"quoted":                   func(text string) string { return "x = (\n" + wrapped(base64Of(text), 60, `  "`, `"`) + ")\n" },
		"commented":                func(text string) string { return wrapped(base64Of(text), 70, "// ", "") },
		"with written line ends":   func(text string) string { return strings.ReplaceAll(wrapped(base64Of(text), 76, "", ""), "\n", `\n`) },
		"behind letters":           func(text string) string { return "data_" + base64Of(text) + "\n" },
		"for URLs":                 func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) },
		"of UTF-16":                func(text string) string { return base64Of(wide(text)) },
		"of UTF-16, in lines":      func(text string) string { return wrapped(base64Of(wide(text)), 76, "", "") },
		"of what is not all ASCII": func(text string) string { return base64Of("é" + text + "\x00\x01\xff") },
		"twice, in lines":          func(text string) string { return wrapped(base64Of(wrapped(base64Of(text), 76, "", "")), 76, "", "") },
		"hexadecimal, in lines":    func(text string) string { return wrapped(hex.EncodeToString([]byte(text)), 60, "", "") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for offset := range 57 {
				text := encode(words[:100+offset] + " " + notAToken + " and more words after it\n")
				if got := found(t, s, text); !strings.Contains(got, "github-pat:") {
					t.Errorf("at %d: found %q in\n%s", offset, got, text)
				}
			}
		})
	}
}

// Nor does it matter where a long text is cut.
func TestEncodedSecretsInLongTexts(t *testing.T) {
	s := scannerOf(t)
	for _, length := range []int{0, 76} {
		t.Run(fmt.Sprint("lines of ", length), func(t *testing.T) {
			t.Parallel()
			for offset, before := range []string{"", "x", "x y", "key: "} {
				text := base64Of(strings.Repeat("\x00\xff\x80\x90", 60_000/4) + strings.Repeat("\xff", offset) + notAToken + "\xff")
				if length > 0 {
					text = wrapped(text, length, "", "")
				}
				if got := found(t, s, before+text); !strings.Contains(got, "github-pat:") {
					t.Errorf("%q: found %q", before, got)
				}
			}
		})
	}
}

// The line is the one in which the letters begin.
func TestTheLineOfAnEncodedSecret(t *testing.T) {
	s := scannerOf(t)
	text := "one\n\n" + wrapped(base64Of("the first: nothing at all, in some lines\n\n\nof text, as long as it is"), 30, "", "") + "\n" +
		"and: \n" + wrapped(base64Of("a\nb\n"+strings.Repeat("c ", 30)+notAToken), 30, "", "")
	if got := found(t, s, text); got != "github-pat:9" {
		t.Error(got)
	}
}

// keyStore is how a PKCS #12 file begins.
const keyStore = "\x30\x82\x09\xd7\x02\x01\x03\x30\x82\x09\x8d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01\xa0\x82\x09\x7e"

// A key store is one whatever its name is.
func TestKeyStores(t *testing.T) {
	s := scannerOf(t)
	noise := strings.Repeat("\x91\x00\xfe\x13", 600)
	for name, text := range map[string]string{
		"as it is":       keyStore + noise,
		"without length": "\x30\x80\x02\x01\x03\x30\x80" + keyStore[11:] + noise,
		"in base64":      wrapped(base64Of(keyStore+noise), 64, "", ""),
	} {
		if got := found(t, s, text); got != "pkcs12-file:1" {
			t.Errorf("%s: %q", name, got)
		}
	}
	if got := found(t, s, noise+keyStore+noise); got != "" {
		t.Errorf("within another file: %q", got)
	}
}

// pemKey is no key, in n lines.
func pemKey(n int) string {
	line := "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj\n"
	return "-----BEGIN " + "PRIVATE KEY-----\n" + strings.Repeat(line, n) + "-----END " + "PRIVATE KEY-----\n"
}

// A private key is found however far its end is from its beginning.
func TestLongPrivateKeys(t *testing.T) {
	s := scannerOf(t)
	begin, rest, _ := strings.Cut(pemKey(20), "\n")
	padding := func(n int) string { return strings.Repeat("# padding\n", n/10) }
	for name, text := range map[string]string{
		"padded":                 "\n" + begin + "\n" + padding(80_000) + rest,
		"padded behind":          "\n" + strings.Replace(pemKey(20), "-----END", padding(80_000)+"-----END", 1),
		"long, where it is cut":  "\n" + pemKey(1) + padding(50_000) + pemKey(400),
		"in a string of lines":   "\n" + strings.ReplaceAll(pemKey(1200), "\n", `\n`),
		"said to be false":       "\n" + begin + "\nfalse\n" + rest,
		"with a stop word in it": "\n" + begin + "\nabcdefghijklmnopqrstuvwxyz\n" + rest,
	} {
		if got := found(t, s, text); !strings.HasPrefix(got, "private-key:2") {
			t.Errorf("%s: %q", name, got)
		}
	}
	// Where it comes to lie does not matter either.
	for at := 56_000; at < 74_000; at += 8990 {
		if got := found(t, s, padding(at)+pemKey(150)); got != fmt.Sprint("private-key:", at/10+1) {
			t.Errorf("at %d: %q", at, got)
		}
	}
	for name, text := range map[string]string{
		"only its first line":   padding(70_000) + "A key begins with " + begin + ", and goes on.\n" + padding(70_000),
		"both, far apart":       begin + "\n" + padding(80_000) + "-----END " + "PRIVATE KEY-----\n",
		"and much of base64":    padding(60_000) + strings.SplitAfter(pemKey(1), "\n")[2] + strings.Repeat(base64Of("no key at all, only text; 1234567")+"\n", 300),
		"a public key after it": "see " + begin + " for more\n" + padding(80_000) + strings.ReplaceAll(pemKey(9), "PRIVATE", "PUBLIC"),
	} {
		if got := found(t, s, text); got != "" {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// What an agent writes beside a secret does not excuse it.
func TestNothingBesideASecretExcusesIt(t *testing.T) {
	s := scannerOf(t)
	guess := `api_key = "k3Jd8sLq0Zx9` + `T7vBn2MwP5yRf"`
	for _, line := range []string{
		"RUN --mount=type=secret, " + guess,
		`import { x } from "y"; ` + guess,
		"SRC_URI = \"x\" " + guess,
	} {
		if got := found(t, s, line+"\n"); got != "generic-api-key:1" {
			t.Errorf("%s: %q", line, got)
		}
	}
	for _, line := range []string{
		"RUN --mount=type=secret,id=npm_registry_xyz42 npm ci",
		"RUN --mount=type=secret,id=aws_v2,target=/root/.aws/credentials aws s3 ls",
		"RUN --mount=type=secret,id=GH_9Q_name,required=true gh release list",
		"import { chain_Anvil1_Key, chain_Anvil2_Key } from '../blockchain-tests/consts';",
		`const keyStr = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"`,
		`import { fetchAccessToken, credentialsOf2, apiKeyFor3rdParty } from "@scope/auth-token-2";`,
	} {
		if got := found(t, s, line+"\n"); got != "" {
			t.Errorf("%s: %q", line, got)
		}
	}
}
