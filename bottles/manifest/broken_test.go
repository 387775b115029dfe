package manifest_test

import (
	"slices"
	"strings"
	"testing"

	"bottle-tui/bottles/manifest"
)

// faulty is a manifest with everything that its errors say, without the name of the file.
type faulty struct{ name, text, want string }

var broken = slices.Concat(basics, mistakes)

var basics = []faulty{
	{"empty file",
		``,
		`1:1: the file is empty; write {"bottles": {…}, "agents": {…}}`},
	{"blanks only",
		` 

`,
		`1:1: the file is empty; write {"bottles": {…}, "agents": {…}}`},
	{"a comment only",
		`// nothing yet
`,
		`1:1: there is nothing but comments in the file; write {"bottles": {…}, "agents": {…}}`},
	{"byte order mark",
		"\ufeff{}",
		`1:1: the file begins with a byte order mark; save it as UTF-8 without one`},
	{"a list at the top",
		`[]`,
		`1:1: want an object, found a list; write {"bottles": {…}, "agents": {…}}`},
	{"a text at the top",
		`"bottles"`,
		`1:1: want an object, found the text "bottles"; write {"bottles": {…}, "agents": {…}}`},
	{"missing comma",
		`{
  "bottles": {}
  "agents": {}
}`,
		`3:3: not JSON: invalid character '"' after object value (expecting ',' or '}'); is a comma missing before it?`},
	{"missing brace",
		`{
  "bottles": {
`,
		`3:1: not JSON: the file ends too early; is a closing quote, bracket or */ missing?`},
	{"unclosed text",
		`{
  "bottles: {},
  "agents": {}
}`,
		`2:3: not JSON: a text must end on its line; is a closing quote missing?`},
	{"unclosed comment",
		`{
  /* why
  "bottles": {}
}`,
		`2:3: not JSON: the file ends too early; is a closing quote, bracket or */ missing?`},
	{"single quotes",
		`{'bottles': {}}`,
		`1:2: not JSON: invalid character '\'' at start of value; write double quotes: "`},
	{"bare key",
		`{bottles: {}}`,
		`1:2: not JSON: invalid literal: bottles; write it in quotes`},
	{"bare word",
		`{"bottles": {"dev": {"supervise": yes}}}`,
		`1:35: not JSON: invalid literal: yes; write it in quotes`},
	{"something behind the end",
		`{}
{}`,
		`2:1: not JSON: invalid character '{' after top-level value; a manifest is one object, and nothing follows it`},
	{"two commas",
		`{"bottles": {},, "agents": {}}`,
		`1:16: not JSON: invalid character ',' at start of value; take one comma out`},
	{"unknown key at the top",
		`{"profiles": {}}`,
		`1:2: unknown key "profiles"; here it is called "bottles"`},
	{"misspelt key at the top",
		`{"botles": {}}`,
		`1:2: unknown key "botles"; did you mean "bottles"?`},
	{"misspelt key of a profile",
		`{"bottles": {"dev": {
  "supervize": true
}}}`,
		`2:3: bottles.dev: unknown key "supervize"; did you mean "supervise"?`},
	{"key of the predecessor's spelling",
		`{"bottles": {"dev": {"cred_proxy": {"routes": [
  {"path": "/api/", "upstream": "https://api.example.com", "auth_scheme": "bearer", "TokenRef": "API_TOKEN"}
]}}}}`,
		`2:85: bottles.dev.cred_proxy.routes[0]: unknown key "TokenRef"; did you mean "token_ref"?`},
	{"key that nothing is near to",
		`{"bottles": {"dev": {
  "network": "none"
}}}`,
		`2:3: bottles.dev: unknown key "network"; the keys here are "supervise", "egress", "cred_proxy", "git", "git_user", "env", "image", "build_network", "copy", "limits"`},
	{"duplicate key",
		`{"bottles": {"dev": {
  "supervise": true,
  "supervise": false
}}}`,
		`3:3: bottles.dev: the key "supervise" is here twice, first at 2:3; keep one`},
	{"duplicate profile",
		`{"bottles": {
  "dev": {},
  "dev": {"supervise": true}
}}`,
		`3:3: bottles: the key "dev" is here twice, first at 2:3; keep one`},
	{"duplicate agent",
		`{"bottles": {"dev": {}}, "agents": {
  "a": {"bottle": "dev"},
  "a": {"bottle": "dev"}
}}`,
		`3:3: agents: the key "a" is here twice, first at 2:3; keep one`},
	{"bottles as a list",
		`{"bottles": []}`,
		`1:13: bottles: want an object, found a list`},
	{"profile as a text",
		`{"bottles": {"dev": "strict"}}`,
		`1:21: bottles.dev: want an object, found the text "strict"`},
	{"null",
		`{"bottles": {"dev": {
  "supervise": null
}}}`,
		`2:16: bottles.dev.supervise: want true or false, found null; leave the key out instead`},
	{"flag as a text",
		`{"bottles": {"dev": {
  "supervise": "true"
}}}`,
		`2:16: bottles.dev.supervise: want true or false, found the text "true"; write true without quotes`},
	{"flag as a number",
		`{"bottles": {"dev": {
  "supervise": 1
}}}`,
		`2:16: bottles.dev.supervise: want true or false, found the number 1`},
	{"list as a text",
		`{"bottles": {"dev": {
  "egress": {"allow": "example.com"}
}}}`,
		`2:23: bottles.dev.egress.allow: want a list, found the text "example.com"; write ["example.com"]`},
	{"text as a number",
		`{"bottles": {"dev": {
  "env": {"RETRIES": 3}
}}}`,
		`2:22: bottles.dev.env.RETRIES: want a text, found the number 3; write "3"`},
	{"number as a text",
		`{"bottles": {"dev": {
  "limits": {"pids": "many"}
}}}`,
		`2:22: bottles.dev.limits.pids: want a whole number, found the text "many"`},
	{"fraction of a process",
		`{"bottles": {"dev": {
  "limits": {"pids": 12.5}
}}}`,
		`2:22: bottles.dev.limits.pids: want a whole number, found the number 12.5`},
	{"env as a list",
		`{"bottles": {"dev": {
  "env": ["A=b"]
}}}`,
		`2:10: bottles.dev.env: want an object, found a list`},
	{"agent without a profile",
		`{"bottles": {"dev": {}}, "agents": {"coder": {"prompt": "Write."}}}`,
		`1:46: agents.coder: "bottle" is missing: the profile it runs in`},
	{"agent of a missing profile",
		`{"bottles": {"development": {}}, "agents": {
  "coder": {"bottle": "developement"}
}}`,
		`2:23: agents.coder.bottle: there is no profile "developement"; did you mean "development"?`},
	{"agent of a profile that nothing is near to",
		`{"bottles": {"dev": {}, "web": {}}, "agents": {"coder": {"bottle": "production"}}}`,
		`1:68: agents.coder.bottle: there is no profile "production"; the profiles are "dev", "web"`},
	{"agent and no profiles",
		`{"agents": {"coder": {"bottle": "dev"}}}`,
		`1:33: agents.coder.bottle: there is no profile "dev", nor any other; declare it under "bottles"`},
	{"name of an agent",
		`{"bottles": {"dev": {}}, "agents": {"My Coder": {"bottle": "dev"}}}`,
		`1:37: agents: the name "My Coder" is not one: write up to 40 letters, digits, dots, dashes and underscores, beginning with a letter or digit, such as "my-coder"`},
	{"name of a profile",
		`{"bottles": {"../dev": {}}}`,
		`1:14: bottles: the name "../dev" is not one: write up to 40 letters, digits, dots, dashes and underscores, beginning with a letter or digit, such as "dev"`},
	{"skill twice",
		`{"bottles": {"dev": {}}, "agents": {"a": {"bottle": "dev", "skills": [
  "review",
  "./skills/review"
]}}}`,
		`3:3: agents.a.skills[1]: another skill is called "review"; keep one`},
	{"name of a skill",
		`{"bottles": {"dev": {}}, "agents": {"a": {"bottle": "dev", "skills": [".."]}}}`,
		`1:71: agents.a.skills[0]: ".." is no name of a skill: write the name of a directory in ~/.claude/skills, or a path with a slash`},
	{"empty command",
		`{"bottles": {"dev": {}}, "agents": {"a": {"bottle": "dev", "command": []}}}`,
		`1:71: agents.a.command: an empty command can't be run; leave the key out for Claude Code`},
	{"command as a text",
		`{"bottles": {"dev": {}}, "agents": {"a": {"bottle": "dev", "command": "claude --verbose"}}}`,
		`1:71: agents.a.command: want a list, found the text "claude --verbose"; write ["claude", "--verbose"]`},
	{"URL as a host",
		`{"bottles": {"dev": {
  "egress": {"allow": ["https://api.example.com/v1"]}
}}}`,
		`2:24: bottles.dev.egress.allow[0]: "https://api.example.com/v1" is not a host; write "api.example.com"`},
	{"wildcard inside a host",
		`{"bottles": {"dev": {
  "egress": {"allow": ["api.*.example.com"]}
}}}`,
		`2:24: bottles.dev.egress.allow[0]: "api.*.example.com" is not a host: a wildcard stands only in front: *.example.com`},
	{"port of a host",
		`{"bottles": {"dev": {
  "egress": {"allow": ["example.com:99999"]}
}}}`,
		`2:24: bottles.dev.egress.allow[0]: "example.com:99999" is not a host: its port is not a number from 1 to 65535`},
	{"odd address",
		`{"bottles": {"dev": {
  "egress": {"allow": ["010.0.0.1"]}
}}}`,
		`2:24: bottles.dev.egress.allow[0]: "010.0.0.1" is not a host: it ends in a number but is not a plain IP address; write four decimal numbers`},
	{"two bad hosts",
		`{"bottles": {"dev": {
  "egress": {"allow": [
    "ok.example.com",
    "me@example.com",
    "exa mple.com"
  ]}
}}}`,
		`4:5: bottles.dev.egress.allow[1]: "me@example.com" is not a host: write the host alone, without scheme, user or path
5:5: bottles.dev.egress.allow[2]: "exa mple.com" is not a host: it is not a host name: letters, digits, - and _ between dots`},
	{"engine",
		`{"bottles": {"dev": {
  "egress": {"engine": "pipelok"}
}}}`,
		`2:24: bottles.dev.egress.engine: "pipelok" is not known; did you mean "pipelock"?`},
	{"engine that nothing is near to",
		`{"bottles": {"dev": {
  "egress": {"engine": "squid"}
}}}`,
		`2:24: bottles.dev.egress.engine: "squid" is not known; write one of "builtin", "pipelock"`},
	{"pipelock without an image",
		`{"bottles": {"dev": {
  "egress": {"engine": "pipelock"}
}}}`,
		`2:24: bottles.dev.egress.engine: pipelock needs the key "image" beside it: the image that it runs from`},
	{"image without pipelock",
		`{"bottles": {"dev": {
  "egress": {"image": "registry.example.com/pipelock:2"}
}}}`,
		`2:14: bottles.dev.egress.image: only the engine pipelock has an image; take it out, or add "engine": "pipelock"`},
	{"image of the engine",
		`{"bottles": {"dev": {
  "egress": {"engine": "pipelock", "image": "Pipelock:2"}
}}}`,
		`2:45: bottles.dev.egress.image: "Pipelock:2" is not an image: invalid reference format: repository name (library/Pipelock) must be lowercase; write it as in registry.example.com/name:tag or …/name@sha256:…`},
	{"hosts that pipelock can't keep",
		`{"bottles": {"dev": {
  "egress": {"engine": "pipelock", "image": "registry.example.com/pipelock:2", "allow": [
    "example.com",
    "example.com:8443",
    "192.0.2.7",
    "[2001:db8::1]:443"
]}}}}`,
		`4:5: bottles.dev.egress.allow[1]: pipelock knows no ports of hosts; write "example.com", which allows them all
5:5: bottles.dev.egress.allow[2]: pipelock's allowlist is of names; write the name of "192.0.2.7", or take "engine" and "image" out for the built-in egress
6:5: bottles.dev.egress.allow[3]: pipelock's allowlist is of names; write the name of "[2001:db8::1]:443", or take "engine" and "image" out for the built-in egress`},
	{"route without anything",
		`{"bottles": {"dev": {"cred_proxy": {"routes": [
  {}
]}}}}`,
		`2:3: bottles.dev.cred_proxy.routes[0]: "path" is missing: where the agent finds it under http://cred-proxy:8080, such as /npm/
2:3: bottles.dev.cred_proxy.routes[0]: "upstream" is missing: where it leads to, such as https://host/base
2:3: bottles.dev.cred_proxy.routes[0]: "auth_scheme" is missing: how the credential is given to the upstream
2:3: bottles.dev.cred_proxy.routes[0]: "token_ref" is missing: where the credential comes from when a bottle is launched`},
	{"path without slashes",
		`{"bottles": {"dev": {"cred_proxy": {"routes": [
  {"path": "api", "upstream": "https://api.example.com", "auth_scheme": "bearer", "token_ref": "API_TOKEN"}
]}}}}`,
		`2:12: bottles.dev.cred_proxy.routes[0].path: "api" must begin and end with one slash; write "/api/"`},
	{"path with a bad segment",
		`{"bottles": {"dev": {"cred_proxy": {"routes": [
  {"path": "/a/../b/", "upstream": "https://api.example.com", "auth_scheme": "bearer", "token_ref": "API_TOKEN"}
]}}}}`,
		`2:12: bottles.dev.cred_proxy.routes[0].path: "/a/../b/" is not a path of a route: write segments of letters, digits, dots, dashes and underscores between slashes, such as "/npm/"`},
	{"path of a query",
		`{"bottles": {"dev": {"cred_proxy": {"routes": [
  {"path": "/api?x=/", "upstream": "https://api.example.com", "auth_scheme": "bearer", "token_ref": "API_TOKEN"}
]}}}}`,
		`2:12: bottles.dev.cred_proxy.routes[0].path: "/api?x=/" is not a path of a route: write segments of letters, digits, dots, dashes and underscores between slashes, such as "/npm/"`},
	{"the root as a path",
		`{"bottles": {"dev": {"cred_proxy": {"routes": [
  {"path": "/", "upstream": "https://api.example.com", "auth_scheme": "bearer", "token_ref": "API_TOKEN"}
]}}}}`,
		`2:12: bottles.dev.cred_proxy.routes[0].path: "/" is not a path of a route: write segments of letters, digits, dots, dashes and underscores between slashes, such as "/npm/"`},
	{"same path twice",
		`{"bottles": {"dev": {"cred_proxy": {"routes": [
  {"path": "/api/", "upstream": "https://api.example.com", "auth_scheme": "bearer", "token_ref": "API_TOKEN"},
  {"path": "/api/", "upstream": "https://api.example.com", "auth_scheme": "bearer", "token_ref": "OTHER"}
]}}}}`,
		`3:12: bottles.dev.cred_proxy.routes[1].path: the path "/api/" is that of another route, at 2:12; write a different one`},
	{"overlapping paths",
		`{"bottles": {"dev": {"cred_proxy": {"routes": [
  {"path": "/api/v1/", "upstream": "https://api.example.com", "auth_scheme": "bearer", "token_ref": "API_TOKEN"},
  {"path": "/api/", "upstream": "https://api.example.com", "auth_scheme": "bearer", "token_ref": "API_TOKEN"}
]}}}}`,
		`3:12: bottles.dev.cred_proxy.routes[1].path: the path "/api/" overlaps with "/api/v1/" at 2:12; write paths of which none lies within another`},
	{"plain http",
		`{"bottles": {"dev": {"cred_proxy": {"routes": [
  {"path": "/api/", "upstream": "http://api.example.com/v1", "auth_scheme": "bearer", "token_ref": "API_TOKEN"}
]}}}}`,
		`2:33: bottles.dev.cred_proxy.routes[0].upstream: "http://api.example.com/v1" would send the credential in the clear; write "https://api.example.com/v1" (http:// is for loopback addresses alone)`},
	{"upstream without a scheme",
		`{"bottles": {"dev": {"cred_proxy": {"routes": [
  {"path": "/api/", "upstream": "api.example.com/v1", "auth_scheme": "bearer", "token_ref": "API_TOKEN"}
]}}}}`,
		`2:33: bottles.dev.cred_proxy.routes[0].upstream: "api.example.com/v1" has no scheme; write "https://api.example.com/v1"`},
	{"upstream with a user",
		`{"bottles": {"dev": {"cred_proxy": {"routes": [
  {"path": "/api/", "upstream": "https://me:secret@api.example.com", "auth_scheme": "bearer", "token_ref": "API_TOKEN"}
]}}}}`,
		`2:33: bottles.dev.cred_proxy.routes[0].upstream: an upstream must not hold a user or password, they belong into token_ref; write "https://api.example.com"`},
	{"upstream with a query",
		`{"bottles": {"dev": {"cred_proxy": {"routes": [
  {"path": "/api/", "upstream": "https://api.example.com/v1?key=1", "auth_scheme": "bearer", "token_ref": "API_TOKEN"}
]}}}}`,
		`2:33: bottles.dev.cred_proxy.routes[0].upstream: an upstream has no query or fragment; write "https://api.example.com/v1"`},
	{"upstream with a fragment",
		`{"bottles": {"dev": {"cred_proxy": {"routes": [
  {"path": "/api/", "upstream": "https://api.example.com/#top", "auth_scheme": "bearer", "token_ref": "API_TOKEN"}
]}}}}`,
		`2:33: bottles.dev.cred_proxy.routes[0].upstream: an upstream has no query or fragment; write "https://api.example.com/"`},
	{"upstream of another scheme",
		`{"bottles": {"dev": {"cred_proxy": {"routes": [
  {"path": "/api/", "upstream": "ftp://api.example.com", "auth_scheme": "bearer", "token_ref": "API_TOKEN"}
]}}}}`,
		`2:33: bottles.dev.cred_proxy.routes[0].upstream: the scheme "ftp" is not known; write it as in "https://host/base"`},
	{"upstream without a host",
		`{"bottles": {"dev": {"cred_proxy": {"routes": [
  {"path": "/api/", "upstream": "https:///v1", "auth_scheme": "bearer", "token_ref": "API_TOKEN"}
]}}}}`,
		`2:33: bottles.dev.cred_proxy.routes[0].upstream: "https:///v1" has no host; write it as in "https://host/base"`},
	{"upstream that climbs",
		`{"bottles": {"dev": {"cred_proxy": {"routes": [
  {"path": "/api/", "upstream": "https://api.example.com/a/%2e%2e/b", "auth_scheme": "bearer", "token_ref": "API_TOKEN"}
]}}}}`,
		`2:33: bottles.dev.cred_proxy.routes[0].upstream: the path "/a/../b" of the upstream has a part that leads elsewhere; write it plainly`},
	{"auth scheme",
		`{"bottles": {"dev": {"cred_proxy": {"routes": [
  {"path": "/api/", "upstream": "https://api.example.com", "auth_scheme": "Bearer", "token_ref": "API_TOKEN"}
]}}}}`,
		`2:75: bottles.dev.cred_proxy.routes[0].auth_scheme: "Bearer" is not known; did you mean "bearer"?`},
	{"auth scheme that nothing is near to",
		`{"bottles": {"dev": {"cred_proxy": {"routes": [
  {"path": "/api/", "upstream": "https://api.example.com", "auth_scheme": "digest", "token_ref": "API_TOKEN"}
]}}}}`,
		`2:75: bottles.dev.cred_proxy.routes[0].auth_scheme: "digest" is not known; write one of "bearer", "token", "basic", "x-api-key", "anthropic-oauth"`},
	{"role",
		`{"bottles": {"dev": {"cred_proxy": {"routes": [
  {"path": "/api/", "upstream": "https://api.example.com", "auth_scheme": "bearer", "token_ref": "API_TOKEN", "role": "npm"}
]}}}}`,
		`2:119: bottles.dev.cred_proxy.routes[0].role: "npm" is not known; did you mean "npm-registry"?`},
	{"role in a list",
		`{"bottles": {"dev": {"cred_proxy": {"routes": [
  {"path": "/api/", "upstream": "https://api.example.com", "auth_scheme": "bearer", "token_ref": "API_TOKEN", "role": ["git-insteadof", "tea_login"]}
]}}}}`,
		`2:137: bottles.dev.cred_proxy.routes[0].role[1]: "tea_login" is not known; did you mean "tea-login"?`},
	{"role twice",
		`{"bottles": {"dev": {"cred_proxy": {"routes": [
  {"path": "/api/", "upstream": "https://api.example.com", "auth_scheme": "bearer", "token_ref": "API_TOKEN", "role": ["tea-login", "tea-login"]}
]}}}}`,
		`2:133: bottles.dev.cred_proxy.routes[0].role[1]: the role "tea-login" is here twice; keep one`},
	{"role as an object",
		`{"bottles": {"dev": {"cred_proxy": {"routes": [
  {"path": "/api/", "upstream": "https://api.example.com", "auth_scheme": "bearer", "token_ref": "API_TOKEN", "role": {}}
]}}}}`,
		`2:119: bottles.dev.cred_proxy.routes[0].role: want a text or a list of texts, found an object`},
	{"singleton role on two routes",
		`{"bottles": {"dev": {"cred_proxy": {"routes": [
  {"path": "/api/", "upstream": "https://api.example.com", "auth_scheme": "bearer", "token_ref": "API_TOKEN", "role": "npm-registry"},
  {"path": "/b/", "upstream": "https://api.example.com", "auth_scheme": "bearer", "token_ref": "API_TOKEN", "role": ["npm-registry"]}
]}}}}`,
		`3:117: bottles.dev.cred_proxy.routes[1].role: the role "npm-registry" is on the route "/api/" already; one route has it at most`},
	{"the other singleton role on two routes",
		`{"bottles": {"dev": {"cred_proxy": {"routes": [
  {"path": "/api/", "upstream": "https://api.example.com", "auth_scheme": "bearer", "token_ref": "API_TOKEN", "role": "anthropic-base-url"},
  {"path": "/b/", "upstream": "https://api.example.com", "auth_scheme": "bearer", "token_ref": "API_TOKEN", "role": "anthropic-base-url"}
]}}}}`,
		`3:117: bottles.dev.cred_proxy.routes[1].role: the role "anthropic-base-url" is on the route "/api/" already; one route has it at most`},
	{"scheme that Claude does not speak",
		`{"bottles": {"dev": {"cred_proxy": {"routes": [
  {"path": "/api/", "upstream": "https://api.example.com", "auth_scheme": "basic", "token_ref": "API_TOKEN", "role": "anthropic-base-url"}
]}}}}`,
		`2:75: bottles.dev.cred_proxy.routes[0].auth_scheme: the role "anthropic-base-url" goes with "x-api-key" for an API key, "anthropic-oauth" for an OAuth token, or "bearer"; not with "basic"`},
	{"two routes for one git host",
		`{"bottles": {"dev": {"cred_proxy": {"routes": [
  {"path": "/api/", "upstream": "https://api.example.com", "auth_scheme": "bearer", "token_ref": "API_TOKEN", "role": "git-insteadof"},
  {"path": "/b/", "upstream": "https://API.example.com/", "auth_scheme": "bearer", "token_ref": "API_TOKEN", "role": "git-insteadof"}
]}}}}`,
		`3:118: bottles.dev.cred_proxy.routes[1].role: git can put one route in the place of "https://API.example.com/", and "/api/" is that already; keep one git-insteadof`},
	{"token itself",
		`{"bottles": {"dev": {"cred_proxy": {"routes": [
  {"path": "/api/", "upstream": "https://api.example.com", "auth_scheme": "bearer", "token_ref": "sk-ant-api03-secret"}
]}}}}`,
		`2:98: bottles.dev.cred_proxy.routes[0].token_ref: this is not a token_ref (a token itself must not stand here); write the name of an environment variable, file:PATH, or cmd:COMMAND`},
	{"token that looks like a name",
		`{"bottles": {"dev": {"cred_proxy": {"routes": [
  {"path": "/api/", "upstream": "https://api.example.com", "auth_scheme": "bearer", "token_ref": "ghp_abcdefghijklmnopqrstuvwxyz0123456789"}
]}}}}`,
		`2:98: bottles.dev.cred_proxy.routes[0].token_ref: this looks like a token itself, which must not stand in a manifest; write the name of an environment variable, file:PATH, or cmd:COMMAND`},
	{"relative file of a token",
		`{"bottles": {"dev": {"cred_proxy": {"routes": [
  {"path": "/api/", "upstream": "https://api.example.com", "auth_scheme": "bearer", "token_ref": "file:token.txt"}
]}}}}`,
		`2:98: bottles.dev.cred_proxy.routes[0].token_ref: the path behind file: must begin with / or ~/`},
	{"empty command of a token",
		`{"bottles": {"dev": {"cred_proxy": {"routes": [
  {"path": "/api/", "upstream": "https://api.example.com", "auth_scheme": "bearer", "token_ref": "cmd: "}
]}}}}`,
		`2:98: bottles.dev.cred_proxy.routes[0].token_ref: there is no command behind cmd:; write it as in "cmd:pass show api-key"`},
	{"empty token_ref",
		`{"bottles": {"dev": {"cred_proxy": {"routes": [
  {"path": "/api/", "upstream": "https://api.example.com", "auth_scheme": "bearer", "token_ref": ""}
]}}}}`,
		`2:98: bottles.dev.cred_proxy.routes[0].token_ref: the token_ref is empty; write the name of an environment variable, file:PATH, or cmd:COMMAND`},
	{"name of a variable",
		`{"bottles": {"dev": {
  "env": {"MY-VAR": "1"}
}}}`,
		`2:11: bottles.dev.env: "MY-VAR" is no name of an environment variable: write letters, digits and underscores, not beginning with a digit`},
	{"variable of the proxy",
		`{"bottles": {"dev": {
  "env": {"https_proxy": "http://proxy.example.com"}
}}}`,
		`2:11: bottles.dev.env: "https_proxy" is set by bottle-tui in every bottle; take it out`},
	{"variable that holds a token",
		`{"bottles": {"dev": {
  "env": {"API_TOKEN": "x"},
  "cred_proxy": {"routes": [{"path": "/api/", "upstream": "https://api.example.com", "auth_scheme": "bearer", "token_ref": "API_TOKEN"}]}
}}}`,
		`2:11: bottles.dev.env: "API_TOKEN" holds the credential of the route "/api/"; here it would hand it to the agent, so take it out`},
	{"variable of the base URL",
		`{"bottles": {"dev": {
  "env": {"ANTHROPIC_BASE_URL": "https://api.example.com"},
  "cred_proxy": {"routes": [{"path": "/api/", "upstream": "https://api.example.com", "auth_scheme": "bearer", "token_ref": "API_TOKEN", "role": "anthropic-base-url"}]}
}}}`,
		`2:11: bottles.dev.env: "ANTHROPIC_BASE_URL" is set, or kept away, by the route with the role anthropic-base-url; take it out`},
	{"remote without anything",
		`{"bottles": {"dev": {
  "git": [{}]
}}}`,
		`2:11: bottles.dev.git[0]: "name" is missing: what the agent knows it by
2:11: bottles.dev.git[0]: "upstream" is missing: where it is, such as ssh://user@host/path, user@host:path, or https://host/path`},
	{"reserved name of a remote",
		`{"bottles": {"dev": {
  "git": [{"name": "HEAD", "upstream": "ssh://git@git.example.com/me/api.git", "identity_file": "~/.ssh/id", "known_host": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"}]
}}}`,
		`2:20: bottles.dev.git[0].name: "HEAD" is part of every repository's address and can't name a remote; write another, such as "my-head"`},
	{"name of a remote with an ending",
		`{"bottles": {"dev": {
  "git": [{"name": "api.git", "upstream": "ssh://git@git.example.com/me/api.git", "identity_file": "~/.ssh/id", "known_host": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"}]
}}}`,
		`2:20: bottles.dev.git[0].name: the name of a remote has no ending; write "api"`},
	{"two remotes of one name",
		`{"bottles": {"dev": {
  "git": [
    {"name": "api", "upstream": "ssh://git@git.example.com/me/api.git", "identity_file": "~/.ssh/id", "known_host": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"},
    {"name": "api", "upstream": "ssh://git@git.example.com/me/api.git", "identity_file": "~/.ssh/id", "known_host": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"}
  ]
}}}`,
		`4:14: bottles.dev.git[1].name: the name "api" is that of another remote, at 3:14; write a different one`},
	{"ssh without a key",
		`{"bottles": {"dev": {
  "git": [{"name": "api", "upstream": "git@git.example.com:me/api.git"}]
}}}`,
		`2:11: bottles.dev.git[0]: an ssh upstream needs "identity_file": the private key to log in with
2:11: bottles.dev.git[0]: an ssh upstream needs "known_host": what ssh-keyscan prints for the host, such as "ssh-ed25519 AAAA…"`},
	{"https with a key",
		`{"bottles": {"dev": {
  "git": [{"name": "api", "upstream": "https://git.example.com/me/api.git", "identity_file": "~/.ssh/id"}]
}}}`,
		`2:77: bottles.dev.git[0].identity_file: an https upstream has no use for "identity_file"; take it out, or write the upstream with ssh://`},
	{"ssh with a token",
		`{"bottles": {"dev": {
  "git": [{"name": "api", "upstream": "ssh://git@git.example.com/me/api.git", "identity_file": "~/.ssh/id", "known_host": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl", "token_ref": "GIT_TOKEN"}]
}}}`,
		`2:207: bottles.dev.git[0].token_ref: an ssh upstream has no use for "token_ref"; take it out, or write the upstream with https://`},
	{"a remote's credential in the environment",
		`{"bottles": {"dev": {
  "git": [{"name": "api", "upstream": "https://git.example.com/me/api.git", "token_ref": "GIT_TOKEN"}],
  "env": {"GIT_TOKEN": "x"}
}}}`,
		`3:11: bottles.dev.env: "GIT_TOKEN" holds the credential of the remote "api"; here it would hand it to the agent, so take it out`},
	{"upstream of a remote in the clear",
		`{"bottles": {"dev": {
  "git": [{"name": "api", "upstream": "git://git.example.com/me/api.git"}]
}}}`,
		`2:39: bottles.dev.git[0].upstream: "git://git.example.com/me/api.git" would be read and changed on its way; write "https://git.example.com/me/api.git"`},
	{"credential of a remote",
		`{"bottles": {"dev": {
  "git": [{"name": "api", "upstream": "https://me:secret@git.example.com/me/api.git"}]
}}}`,
		`2:39: bottles.dev.git[0].upstream: a credential must not stand in the manifest; write "https://git.example.com/me/api.git"`},
	{"host key",
		`{"bottles": {"dev": {
  "git": [{"name": "api", "upstream": "ssh://git@git.example.com/me/api.git", "identity_file": "~/.ssh/id", "known_host": "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"}]
}}}`,
		`2:123: bottles.dev.git[0].known_host: "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl" is not a host key; write what ssh-keyscan prints for the host, such as "ssh-ed25519 AAAA…"`},
	{"branch",
		`{"bottles": {"dev": {
  "git": [{"name": "api", "upstream": "ssh://git@git.example.com/me/api.git", "identity_file": "~/.ssh/id", "known_host": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl", "allow_refs": ["main"]}]
}}}`,
		`2:222: bottles.dev.git[0].allow_refs[0]: "main" does not say whether it is a branch or a tag; write "refs/heads/main"`},
	{"star inside a ref",
		`{"bottles": {"dev": {
  "git": [{"name": "api", "upstream": "ssh://git@git.example.com/me/api.git", "identity_file": "~/.ssh/id", "known_host": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl", "allow_refs": ["refs/*/agent"]}]
}}}`,
		`2:222: bottles.dev.git[0].allow_refs[0]: "refs/*/agent" has a * elsewhere than at its end; write it as in "refs/heads/agent/*"`},
	{"ref that git refuses",
		`{"bottles": {"dev": {
  "git": [{"name": "api", "upstream": "ssh://git@git.example.com/me/api.git", "identity_file": "~/.ssh/id", "known_host": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl", "allow_refs": ["refs/heads/a..b"]}]
}}}`,
		`2:222: bottles.dev.git[0].allow_refs[0]: "refs/heads/a..b" is not a ref that git accepts; write it as in "refs/heads/agent/*"`},
	{"push option with a * inside",
		`{"bottles": {"dev": {
  "git": [{"name": "api", "upstream": "https://git.example.com/me/api.git", "allow_push_options": ["ci.*=1"]}]
}}}`,
		`2:100: bottles.dev.git[0].allow_push_options[0]: "ci.*=1" is no pattern of push options: write it as in "ci.skip" or "ci.variable=*"`},
	{"size of a push",
		`{"bottles": {"dev": {
  "git": [{"name": "api", "upstream": "https://git.example.com/me/api.git", "max_push": "lots"}]
}}}`,
		`2:89: bottles.dev.git[0].max_push: "lots" is not an amount of bytes; write it as in "64m" or "1g"`},
	{"size of a push as a list",
		`{"bottles": {"dev": {
  "git": [{"name": "api", "upstream": "https://git.example.com/me/api.git", "max_push": [1]}]
}}}`,
		`2:89: bottles.dev.git[0].max_push: want a number of bytes or a text such as "4g", found a list`},
	{"a push too small for any",
		`{"bottles": {"dev": {
  "git": [{"name": "api", "upstream": "https://git.example.com/me/api.git", "max_push": 512}]
}}}`,
		`2:89: bottles.dev.git[0].max_push: "512" is too little: with less than 1m nothing could be pushed; write it as in "64m" or "1g"`},
	{"a push too large",
		`{"bottles": {"dev": {
  "git": [{"name": "api", "upstream": "https://git.example.com/me/api.git", "max_push": "4.5GiB"}]
}}}`,
		`2:89: bottles.dev.git[0].max_push: "4.5GiB" is too much: git-gate holds 4g of a push at most; write it as in "64m" or "1g"`},
	{"size of a file",
		`{"bottles": {"dev": {
  "git": [{"name": "api", "upstream": "https://git.example.com/me/api.git", "max_object": "16 megs"}]
}}}`,
		`2:91: bottles.dev.git[0].max_object: "16 megs" is not an amount of bytes; write it as in "500k" or "16m"`},
	{"a file too small for any",
		`{"bottles": {"dev": {
  "git": [{"name": "api", "upstream": "https://git.example.com/me/api.git", "max_object": 100}]
}}}`,
		`2:91: bottles.dev.git[0].max_object: "100" is too little: with less than 1k no file could be pushed; write it as in "500k" or "16m"`},
	{"a file too large",
		`{"bottles": {"dev": {
  "git": [{"name": "api", "upstream": "https://git.example.com/me/api.git", "max_object": "2g"}]
}}}`,
		`2:91: bottles.dev.git[0].max_object: "2g" is too much: git-gate looks at 1g of a file at most; write it as in "500k" or "16m"`},
	{"an upstream that git-gate would not take",
		`{"bottles": {"dev": {
  "git": [{"name": "api", "upstream": "https://git.example.com/me/../api.git"}]
}}}`,
		`2:39: bottles.dev.git[0].upstream: the upstream has a dot segment in its path`},
	{"two images",
		`{"bottles": {"dev": {
  "image": {"dockerfile": "Dockerfile", "base": "registry.example.com/node:22"}
}}}`,
		`2:12: bottles.dev.image: an image is made from one thing, and "dockerfile", "base" are given; keep one`},
	{"no image",
		`{"bottles": {"dev": {
  "image": {}
}}}`,
		`2:12: bottles.dev.image: an image needs one of "dockerfile", "reference", "base"; or leave the key out for the built-in Dockerfile`},
	{"image reference",
		`{"bottles": {"dev": {
  "image": {"reference": "https://registry.example.com/a"}
}}}`,
		`2:26: bottles.dev.image.reference: "https://registry.example.com/a" is not an image: invalid reference format; write it as in registry.example.com/name:tag or …/name@sha256:…`},
	{"image as a text",
		`{"bottles": {"dev": {
  "image": "node"
}}}`,
		`2:12: bottles.dev.image: want an object, found the text "node"`},
	{"build network",
		`{"bottles": {"dev": {
  "build_network": "bridge"
}}}`,
		`2:20: bottles.dev.build_network: "bridge" is not known; write one of "none", "default", "host"`},
	{"misspelt build network",
		`{"bottles": {"dev": {
  "build_network": "defualt"
}}}`,
		`2:20: bottles.dev.build_network: "defualt" is not known; did you mean "default"?`},
	{"memory",
		`{"bottles": {"dev": {
  "limits": {"memory": "lots"}
}}}`,
		`2:24: bottles.dev.limits.memory: "lots" is not an amount of memory; write it as in "512m" or "4g"`},
	{"too little memory",
		`{"bottles": {"dev": {
  "limits": {"memory": "4"}
}}}`,
		`2:24: bottles.dev.limits.memory: "4" is too little: an agent needs 64m at least; write it as in "512m" or "4g"`},
	{"too many processes",
		`{"bottles": {"dev": {
  "limits": {"pids": 2}
}}}`,
		`2:22: bottles.dev.limits.pids: 2 is out of range; write a number from 16 to 1048576`},
	{"old tokens",
		`{"bottles": {"dev": {
  "tokens": [
    {"Kind": "anthropic", "TokenRef": "CLAUDE_TOKEN"},
    {"Kind": "gitea", "TokenRef": "GITEA_TOKEN", "Host": "gitea.example.com"}
  ]
}}}`,
		`2:3: bottles.dev: tokens is the old form; write instead: "cred_proxy": {"routes":[{"path":"/anthropic/","upstream":"https://api.anthropic.com","auth_scheme":"anthropic-oauth","token_ref":"CLAUDE_TOKEN","role":["anthropic-base-url"]},{"path":"/gitea/","upstream":"https://gitea.example.com","auth_scheme":"token","token_ref":"GITEA_TOKEN","role":["git-insteadof","tea-login"]}]}`},
	{"old tokens of another shape",
		`{"bottles": {"dev": {
  "tokens": {}
}}}`,
		`2:3: bottles.dev: tokens is the old form; write instead: "cred_proxy": {"routes":[{"path":"/anthropic/","upstream":"https://api.anthropic.com","auth_scheme":"anthropic-oauth","token_ref":"YOUR_TOKEN","role":["anthropic-base-url"]}]}`},
	{"old ssh",
		`{"bottles": {"dev": {
  "ssh": [{"Host": "forge", "Hostname": "git.example.com", "Port": 2222, "User": "git", "IdentityFile": "~/.ssh/forge"}]
}}}`,
		`2:3: bottles.dev: ssh is the old form; write instead: "git": [{"name":"forge","upstream":"ssh://git@git.example.com:2222/OWNER/NAME.git","identity_file":"~/.ssh/forge","known_host":"ssh-ed25519 AAAA…"}]`},
	{"all at once",
		`{
  "bottles": {
    "dev": {
      "supervise": "yes", // a flag
      "egress": {"alow": ["example.com"]},
      "cred_proxy": {"routes": [
        {"path": "/npm", "upstream": "https://npm.example.com", "auth_scheme": "bearer"},
      ]},
    },
  },
  "agents": {
    "coder": {"bottle": "prod"},
  },
}`,
		`4:20: bottles.dev.supervise: want true or false, found the text "yes"
5:18: bottles.dev.egress: unknown key "alow"; did you mean "allow"?
7:9: bottles.dev.cred_proxy.routes[0]: "token_ref" is missing: where the credential comes from when a bottle is launched
7:18: bottles.dev.cred_proxy.routes[0].path: "/npm" must begin and end with one slash; write "/npm/"
12:25: agents.coder.bottle: there is no profile "prod"; the profiles are "dev"`},
	{"not UTF-8", "{\n  \"b\xFF\": {}\n}", `2:5: the byte 0xFF is not UTF-8; save the file as UTF-8`},
	{"UTF-16", "\xFF\xFE{\x00}\x00", `1:1: the file is UTF-16; save it as UTF-8`},
	{"too deep", "{\"bottles\": " + strings.Repeat("[", 1000) + "\n", `1:44: this is nested more than 32 deep; nothing in a manifest is`},
}

func TestBrokenManifests(t *testing.T) {
	if len(broken) < 150 {
		t.Errorf("%d broken manifests are too few", len(broken))
	}
	seen := map[string]bool{}
	for _, b := range broken {
		if seen[b.name] {
			t.Errorf("two are called %q", b.name)
		}
		seen[b.name] = true
		t.Run(b.name, func(t *testing.T) {
			m, err := manifest.Parse("/m.json", []byte(b.text))
			if err == nil || m != nil {
				t.Fatalf("it was read: %v, %v", m, err)
			}
			if got := strings.ReplaceAll(err.Error(), "/m.json:", ""); got != b.want {
				t.Errorf("got\n%s\nwant\n%s", got, b.want)
			}
		})
	}
}
