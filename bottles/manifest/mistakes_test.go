package manifest_test

import (
	"fmt"
	"strings"

	"bottle-tui/sidecars/gitgate"
)

// mistakes are more of them: what people write who think of another program, what must not be repeated, and too much.
var mistakes = []faulty{
	{"hexadecimal token",
		`{"bottles": {"dev": {"cred_proxy": {"routes": [
  {"path": "/api/", "upstream": "https://api.example.com", "auth_scheme": "bearer", "token_ref": "b0f7c2e1a9d84c3f6e5d4b3a2c1d0e9f8a7b6c5d"}
]}}}}`,
		`2:98: bottles.dev.cred_proxy.routes[0].token_ref: this looks like a token itself, which must not stand in a manifest; write the name of an environment variable, file:PATH, or cmd:COMMAND`},
	{"token of capitals",
		`{"bottles": {"dev": {"cred_proxy": {"routes": [
  {"path": "/api/", "upstream": "https://api.example.com", "auth_scheme": "bearer", "token_ref": "B0F7C2E1A9D84C3F6E5D4B3A2C1D0E9F8A7B6C5D"}
]}}}}`,
		`2:98: bottles.dev.cred_proxy.routes[0].token_ref: this looks like a token itself, which must not stand in a manifest; write the name of an environment variable, file:PATH, or cmd:COMMAND`},
	{"token of small letters and digits",
		`{"bottles": {"dev": {"cred_proxy": {"routes": [
  {"path": "/api/", "upstream": "https://api.example.com", "auth_scheme": "bearer", "token_ref": "k3x9q7w2cek3x9q7w2cek3x9q7w2ce99"}
]}}}}`,
		`2:98: bottles.dev.cred_proxy.routes[0].token_ref: this looks like a token itself, which must not stand in a manifest; write the name of an environment variable, file:PATH, or cmd:COMMAND`},
	{"token without quotes",
		`{"bottles": {"dev": {"cred_proxy": {"routes": [
  {"path": "/api/", "upstream": "https://api.example.com", "auth_scheme": "bearer", "token_ref": sk-ant-api03-secret}
]}}}}`,
		`2:98: not JSON: this is a word without quotes; write it in quotes`},
	{"token without quotes that looks like a word",
		`{"bottles": {"dev": {"cred_proxy": {"routes": [
  {"path": "/api/", "upstream": "https://api.example.com", "auth_scheme": "bearer", "token_ref": ghp_secret}
]}}}}`,
		`2:98: not JSON: this is a word without quotes; write it in quotes`},
	{"token with a backslash",
		`{"bottles": {"dev": {"cred_proxy": {"routes": [
  {"path": "/api/", "upstream": "https://api.example.com", "auth_scheme": "bearer", "token_ref": "sk\ant"}
]}}}}`,
		`2:98: not JSON: this text can't be read; a backslash in a text is written \\`},
	{"token_ref as a number",
		`{"bottles": {"dev": {"cred_proxy": {"routes": [
  {"path": "/api/", "upstream": "https://api.example.com", "auth_scheme": "bearer", "token_ref": 12345678}
]}}}}`,
		`2:98: bottles.dev.cred_proxy.routes[0].token_ref: want a text in quotes: the name of an environment variable, file:PATH, or cmd:COMMAND`},
	{"token_ref as a list",
		`{"bottles": {"dev": {"cred_proxy": {"routes": [
  {"path": "/api/", "upstream": "https://api.example.com", "auth_scheme": "bearer", "token_ref": ["API_TOKEN"]}
]}}}}`,
		`2:98: bottles.dev.cred_proxy.routes[0].token_ref: want a text in quotes: the name of an environment variable, file:PATH, or cmd:COMMAND`},
	{"token in a variable",
		`{"bottles": {"dev": {
  "env": {"GH": "ghp_abcdefghijklmnopqrstuvwxyz0123456789"}
}}}`,
		`2:17: bottles.dev.env.GH: this looks like a token, which the agent would read; take it out, and let the agent use it without having it: cred_proxy.routes`},
	{"another token in a variable",
		`{"bottles": {"dev": {
  "env": {"OK": "a-b", "KEY": "sk-ant-api03-abcdefghijklmnopqrst"}
}}}`,
		`2:31: bottles.dev.env.KEY: this looks like a token, which the agent would read; take it out, and let the agent use it without having it: cred_proxy.routes`},
	{"password without a scheme",
		`{"bottles": {"dev": {"cred_proxy": {"routes": [
  {"path": "/api/", "upstream": "me:hunter2@x.example.com", "auth_scheme": "bearer", "token_ref": "API_TOKEN"}
]}}}}`,
		`2:33: bottles.dev.cred_proxy.routes[0].upstream: an upstream must not hold a user or password, they belong into token_ref; write "https://x.example.com"`},
	{"password with a blank",
		`{"bottles": {"dev": {"cred_proxy": {"routes": [
  {"path": "/api/", "upstream": "https://me:hunt er2@x.example.com", "auth_scheme": "bearer", "token_ref": "API_TOKEN"}
]}}}}`,
		`2:33: bottles.dev.cred_proxy.routes[0].upstream: an upstream must not hold a user or password, they belong into token_ref; write "https://x.example.com"`},
	{"password with a slash",
		`{"bottles": {"dev": {"cred_proxy": {"routes": [
  {"path": "/api/", "upstream": "https://me:hun/ter2@x.example.com", "auth_scheme": "bearer", "token_ref": "API_TOKEN"}
]}}}}`,
		`2:33: bottles.dev.cred_proxy.routes[0].upstream: an upstream must not hold a user or password, they belong into token_ref; write "https://x.example.com"`},
	{"password in the clear",
		`{"bottles": {"dev": {"cred_proxy": {"routes": [
  {"path": "/api/", "upstream": "http://me:hunter2@x.example.com/base", "auth_scheme": "bearer", "token_ref": "API_TOKEN"}
]}}}}`,
		`2:33: bottles.dev.cred_proxy.routes[0].upstream: an upstream must not hold a user or password, they belong into token_ref; write "https://x.example.com/base"`},
	{"token as the user of an upstream",
		`{"bottles": {"dev": {"cred_proxy": {"routes": [
  {"path": "/api/", "upstream": "https://s3cret@x.example.com", "auth_scheme": "bearer", "token_ref": "API_TOKEN"}
]}}}}`,
		`2:33: bottles.dev.cred_proxy.routes[0].upstream: an upstream must not hold a user or password, they belong into token_ref; write "https://x.example.com"`},
	{"query in the clear",
		`{"bottles": {"dev": {"cred_proxy": {"routes": [
  {"path": "/api/", "upstream": "http://api.example.com/v1?key=hunter2", "auth_scheme": "bearer", "token_ref": "API_TOKEN"}
]}}}}`,
		`2:33: bottles.dev.cred_proxy.routes[0].upstream: an upstream has no query or fragment; write "https://api.example.com/v1"`},
	{"query of what is no URL",
		`{"bottles": {"dev": {"cred_proxy": {"routes": [
  {"path": "/api/", "upstream": "https://api example.com/v1?key=hunter2", "auth_scheme": "bearer", "token_ref": "API_TOKEN"}
]}}}}`,
		`2:33: bottles.dev.cred_proxy.routes[0].upstream: "https://api example.com/v1?…" is not a URL; write it as in "https://host/base"`},
	{"query behind a host",
		`{"bottles": {"dev": {
  "egress": {"allow": ["https://a.example.com/?key=hunter2"]}
}}}`,
		`2:24: bottles.dev.egress.allow[0]: "https://a.example.com/?…" is not a host; write "a.example.com"`},
	{"query of a remote in the clear",
		`{"bottles": {"dev": {
  "git": [{"name": "api", "upstream": "http://git.example.com/a.git?private_token=hunter2"}]
}}}`,
		`2:39: bottles.dev.git[0].upstream: the address of a repository has no query or fragment; take it off`},
	{"upstream that is not a URL",
		`{"bottles": {"dev": {"cred_proxy": {"routes": [
  {"path": "/api/", "upstream": "https://x example.com", "auth_scheme": "bearer", "token_ref": "API_TOKEN"}
]}}}}`,
		`2:33: bottles.dev.cred_proxy.routes[0].upstream: "https://x example.com" is not a URL; write it as in "https://host/base"`},
	{"scheme in capitals",
		`{"bottles": {"dev": {"cred_proxy": {"routes": [
  {"path": "/api/", "upstream": "HTTPS://api.example.com", "auth_scheme": "bearer", "token_ref": "API_TOKEN"}
]}}}}`,
		`2:33: bottles.dev.cred_proxy.routes[0].upstream: write the scheme of "HTTPS://api.example.com" in small letters`},
	{"scheme alone",
		`{"bottles": {"dev": {"cred_proxy": {"routes": [
  {"path": "/api/", "upstream": "localhost:8080", "auth_scheme": "bearer", "token_ref": "API_TOKEN"}
]}}}}`,
		`2:33: bottles.dev.cred_proxy.routes[0].upstream: "localhost:8080" has no scheme; write "https://localhost:8080"`},
	{"upstream that is a wildcard",
		`{"bottles": {"dev": {"cred_proxy": {"routes": [
  {"path": "/api/", "upstream": "https://*.example.com", "auth_scheme": "bearer", "token_ref": "API_TOKEN"}
]}}}}`,
		`2:33: bottles.dev.cred_proxy.routes[0].upstream: "*.example.com" is not a host; write the upstream as in "https://host/base"`},
	{"password of a remote in the clear",
		`{"bottles": {"dev": {
  "git": [{"name": "api", "upstream": "http://me:hunter2@git.example.com/a.git"}]
}}}`,
		`2:39: bottles.dev.git[0].upstream: a credential must not stand in the manifest; write "https://git.example.com/a.git"`},
	{"password of a remote over ssh",
		`{"bottles": {"dev": {
  "git": [{"name": "api", "upstream": "ssh://git:hunter2@git.example.com/a.git"}]
}}}`,
		`2:39: bottles.dev.git[0].upstream: a credential must not stand in the manifest; write "ssh://git@git.example.com/a.git"`},
	{"password of a remote as scp has it",
		`{"bottles": {"dev": {
  "git": [{"name": "api", "upstream": "git:hunter2@git.example.com:me/a.git"}]
}}}`,
		`2:39: bottles.dev.git[0].upstream: a credential must not stand in the manifest; write "git@git.example.com:me/a.git"`},
	{"password of a remote that can not be read",
		`{"bottles": {"dev": {
  "git": [{"name": "api", "upstream": "https://me:hunt er2@git.example.com/a.git"}]
}}}`,
		`2:39: bottles.dev.git[0].upstream: a credential must not stand in the manifest; write "https://git.example.com/a.git"`},
	{"remote that is no address",
		`{"bottles": {"dev": {
  "git": [{"name": "api", "upstream": "api"}]
}}}`,
		`2:39: bottles.dev.git[0].upstream: "api" is not the address of a repository; write it as in ssh://git@host/owner/name.git or https://host/owner/name.git`},
	{"remote without a path",
		`{"bottles": {"dev": {
  "git": [{"name": "api", "upstream": "ssh://git@git.example.com/"}]
}}}`,
		`2:39: bottles.dev.git[0].upstream: "ssh://git@git.example.com/" is not the address of a repository: it needs a host and a path`},
	{"remote with a blank",
		`{"bottles": {"dev": {
  "git": [{"name": "api", "upstream": "https://git.example.com/a b.git"}]
}}}`,
		`2:39: bottles.dev.git[0].upstream: "https://git.example.com/a b.git" is not the address of a repository; write it as in ssh://git@host/owner/name.git or https://host/owner/name.git`},
	{"scheme of a remote",
		`{"bottles": {"dev": {
  "git": [{"name": "api", "upstream": "ftp://git.example.com/a.git"}]
}}}`,
		`2:39: bottles.dev.git[0].upstream: the scheme "ftp" is not known; write ssh:// or https://`},
	{"scheme of a remote in capitals",
		`{"bottles": {"dev": {
  "git": [{"name": "api", "upstream": "HTTPS://git.example.com/a.git"}]
}}}`,
		`2:39: bottles.dev.git[0].upstream: write the scheme of "HTTPS://git.example.com/a.git" in small letters`},
	{"query of a remote",
		`{"bottles": {"dev": {
  "git": [{"name": "api", "upstream": "https://git.example.com/a.git?x=1"}]
}}}`,
		`2:39: bottles.dev.git[0].upstream: the address of a repository has no query or fragment; take it off`},
	{"name of a remote",
		`{"bottles": {"dev": {
  "git": [{"name": "my api", "upstream": "https://git.example.com/a.git"}]
}}}`,
		`2:20: bottles.dev.git[0].name: "my api" is no name of a remote: write letters, digits, dots, dashes and underscores, beginning with a letter or digit`},
	{"ref that is none",
		`{"bottles": {"dev": {
  "git": [{"name": "api", "upstream": "https://git.example.com/a.git", "allow_refs": ["a b"]}]
}}}`,
		`2:87: bottles.dev.git[0].allow_refs[0]: "a b" is not a ref; write it as in "refs/heads/agent/*"`},
	{"empty ref",
		`{"bottles": {"dev": {
  "git": [{"name": "api", "upstream": "https://git.example.com/a.git", "allow_refs": [""]}]
}}}`,
		`2:87: bottles.dev.git[0].allow_refs[0]: "" is not a ref; write it as in "refs/heads/agent/*"`},
	{"push option without a name",
		`{"bottles": {"dev": {
  "git": [{"name": "api", "upstream": "https://git.example.com/a.git", "allow_push_options": ["=x"]}]
}}}`,
		`2:95: bottles.dev.git[0].allow_push_options[0]: "=x" is no pattern of push options: write it as in "ci.skip" or "ci.variable=*"`},
	{"host with blanks around it",
		`{"bottles": {"dev": {
  "egress": {"allow": [" example.com "]}
}}}`,
		`2:24: bottles.dev.egress.allow[0]: " example.com " has blanks around it; write "example.com"`},
	{"host that begins with a dash",
		`{"bottles": {"dev": {
  "egress": {"allow": ["-x.example.com"]}
}}}`,
		`2:24: bottles.dev.egress.allow[0]: "-x.example.com" is not a host: no part of a name begins or ends with a dash`},
	{"password in front of a host",
		`{"bottles": {"dev": {
  "egress": {"allow": ["me:hunter2@example.com", "https://me:hunter2@example.com/"]}
}}}`,
		`2:24: bottles.dev.egress.allow[0]: "…@example.com" is not a host: write the host alone, without scheme, user or path
2:50: bottles.dev.egress.allow[1]: "https://…@example.com/" is not a host; write "example.com"`},
	{"NUL in a prompt",
		`{"bottles": {"dev": {}}, "agents": {"a": {
  "bottle": "dev", "prompt": "a\u0000b"
}}}`,
		`2:30: agents.a.prompt: a NUL character can't be handed to a program; take it out`},
	{"NUL in a variable",
		`{"bottles": {"dev": {
  "env": {"A": "\u0000"}
}}}`,
		`2:16: bottles.dev.env.A: a NUL character can't be handed to a program; take it out`},
	{"control character in a path",
		`{"bottles": {"dev": {
  "image": {"dockerfile": "a\nb"}
}}}`,
		`2:27: bottles.dev.image.dockerfile: "a␊b" is not the path of a file`},
	{"path that is no file",
		`{"bottles": {"dev": {
  "image": {"dockerfile": "./"}
}}}`,
		`2:27: bottles.dev.image.dockerfile: "./" is not the path of a file`},
	{"skill that is no directory",
		`{"bottles": {"dev": {}}, "agents": {"a": {
  "bottle": "dev", "skills": ["../"]
}}}`,
		`2:31: agents.a.skills[0]: "../" is not the directory of a skill`},
	{"base image",
		`{"bottles": {"dev": {
  "image": {"base": "node:22 AS x"}
}}}`,
		`2:21: bottles.dev.image.base: "node:22 AS x" is not an image: invalid reference format; write it as in registry.example.com/name:tag or …/name@sha256:…`},
	{"base image that Docker takes and FROM does not",
		`{"bottles": {"dev": {
  "image": {"base": "node:22@sha512:00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"}
}}}`,
		`2:21: bottles.dev.image.base: "node:22@sha512:00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000" is not the reference of an image: write name:tag, or name@sha256: and 64 hexadecimal digits`},
	{"role of another kind in a list",
		`{"bottles": {"dev": {"cred_proxy": {"routes": [
  {"path": "/api/", "upstream": "https://api.example.com", "auth_scheme": "bearer", "token_ref": "API_TOKEN", "role": [1]}
]}}}}`,
		`2:120: bottles.dev.cred_proxy.routes[0].role[0]: want a text, found the number 1; write "1"`},
	{"role of nothing",
		`{"bottles": {"dev": {"cred_proxy": {"routes": [
  {"path": "/api/", "upstream": "https://api.example.com", "auth_scheme": "bearer", "token_ref": "API_TOKEN", "role": null}
]}}}}`,
		`2:119: bottles.dev.cred_proxy.routes[0].role: want a text or a list of texts, found null; leave the key out instead`},
	{"truth in capitals",
		`{"bottles": {"dev": {
  "supervise": True
}}}`,
		`2:16: not JSON: invalid literal: True; write it in small letters`},
	{"nothing in capitals",
		`{"bottles": {"dev": {
  "supervise": NULL
}}}`,
		`2:16: not JSON: invalid literal: NULL; write it in small letters`},
	{"missing colon",
		`{"bottles": {"dev": {
  "supervise" true
}}}`,
		`2:15: not JSON: invalid character 't' after object name; is a colon missing before it?`},
	{"number with a zero in front",
		`{"bottles": {"dev": {
  "limits": {"pids": 0100}
}}}`,
		`2:22: not JSON: invalid number: 0100; write 100`},
	{"number with a plus",
		`{"bottles": {"dev": {
  "limits": {"pids": +100}
}}}`,
		`2:22: not JSON: invalid number: +100; write 100`},
	{"wrong closing bracket of an object",
		`{"bottles": {"dev": {]}}`,
		`1:22: not JSON: invalid character ']' at start of value; is a value missing before it, or is it the wrong bracket?`},
	{"wrong closing bracket behind a member",
		`{"bottles": {"dev": {"supervise": true]}}`,
		`1:39: not JSON: invalid character ']' after object value (expecting ',' or '}'); an object ends with }`},
	{"wrong closing bracket of a list",
		`{"bottles": {"dev": {
  "egress": {"allow": ["a.example.com"}
}}}`,
		`2:39: not JSON: invalid character '}' after array value (expecting ',' or ']'); a list ends with ]`},
	{"curly quotes",
		`{“bottles”: {}}`,
		`1:2: not JSON: invalid character '“' at start of value; write double quotes: "`},
	{"curly quotes around a value",
		`{"bottles": {"dev": {
  "build_network": “none”
}}}`,
		`2:20: not JSON: invalid character '“' at start of value; write double quotes: "`},
	{"comment of a shell",
		`{
  # the profiles
  "bottles": {}
}`,
		`2:3: not JSON: invalid character '#' at start of value; a comment begins with //`},
	{"comment of a shell behind a value",
		`{
  "bottles": {} # none yet
}`,
		`2:17: not JSON: invalid character '#' after object value (expecting ',' or '}'); a comment begins with //`},
	{"semicolon",
		`{"bottles": {}; "agents": {}}`,
		`1:15: not JSON: invalid character ';' after object value (expecting ',' or '}'); write a comma`},
	{"missing value",
		`{"bottles": }`,
		`1:13: not JSON: invalid character '}' at start of value; is a value missing before it, or is it the wrong bracket?`},
	{"tab in a text",
		`{"bottles": {"dev": {
  "env": {"A": "x	y"}
}}}`,
		`2:16: not JSON: a text has no control character in it; a tab is written \t`},
	{"backslash",
		`{"bottles": {"dev": {
  "image": {"dockerfile": "C:\users"}
}}}`,
		`2:27: not JSON: this text can't be read; a backslash in a text is written \\`},
	{"profile of an agent",
		`{"bottles": {"dev": {}}, "agents": {"a": {"profile": "dev"}}}`,
		`1:43: agents.a: unknown key "profile"; here it is called "bottle"`},
	{"cmd of an agent",
		`{"bottles": {"dev": {}}, "agents": {"a": {
  "bottle": "dev", "cmd": ["x"]
}}}`,
		`2:20: agents.a: unknown key "cmd"; here it is called "command"`},
	{"url of a route",
		`{"bottles": {"dev": {"cred_proxy": {"routes": [
  {"path": "/api/", "url": "https://api.example.com", "auth_scheme": "bearer", "token_ref": "API_TOKEN"}
]}}}}`,
		`2:21: bottles.dev.cred_proxy.routes[0]: unknown key "url"; here it is called "upstream"`},
	{"key one level too high",
		`{"bottles": {"dev": {
  "dockerfile": "Dockerfile", "allow": [], "memory": "4g"
}}}`,
		`2:3: bottles.dev: unknown key "dockerfile"; it belongs into bottles.NAME.image
2:31: bottles.dev: unknown key "allow"; it belongs into bottles.NAME.egress
2:44: bottles.dev: unknown key "memory"; it belongs into bottles.NAME.limits`},
	{"key one level too low",
		`{"bottles": {"dev": {
  "egress": {"supervise": true}
}}}`,
		`2:14: bottles.dev.egress: unknown key "supervise"; it belongs into bottles.NAME`},
	{"key of a profile at an agent",
		`{"bottles": {"dev": {}}, "agents": {"a": {
  "bottle": "dev", "env": {}
}}}`,
		`2:20: agents.a: unknown key "env"; it belongs into bottles.NAME`},
	{"empty program",
		`{"bottles": {"dev": {}}, "agents": {"a": {
  "bottle": "dev", "command": [""]
}}}`,
		`2:32: agents.a.command[0]: the command names no program; write it, or leave the key out for Claude Code`},
	{"arguments that are passed anyway",
		`{"bottles": {"dev": {}}, "agents": {"a": {"bottle": "dev", "model": "opus",
  "args": ["--verbose", "--settings=x.json", "--model", "opus"]
}}}`,
		`2:25: agents.a.args[1]: --settings: bottle-tui passes it with settings of its own, and only one of them holds; write what it should say under the agent's "settings"
2:46: agents.a.args[2]: --model: bottle-tui passes it with the agent's "model"; keep one of them`},
	{"settings that are bottle-tui's",
		`{"bottles": {"dev": {}}, "agents": {"a": {"bottle": "dev", "settings": {
  "cleanupPeriodDays": 1, "permissions": {"defaultMode": "plan"},

  "note": "ghp_0123456789abcdefghijABCDEFGHIJ012345", "note": 1, "much": 1e999
}}}}`,
		`2:3: agents.a.settings.cleanupPeriodDays: bottle-tui sets it, so that a bottle can come back after a long time; take it out
2:43: agents.a.settings.permissions.defaultMode: the bottle is the boundary, so Claude Code is run without questions of its own; take it out, and narrow the profile instead
4:11: agents.a.settings.note: this looks like a token, which the agent would read; take it out, and let the agent use it without having it: cred_proxy.routes
4:55: agents.a.settings: the key "note" is here twice, first at 4:3; keep one
4:74: agents.a.settings.much: the number 1e999 is no number that a program can keep; write a smaller one`},
	{"settings of another type",
		`{"bottles": {"dev": {}}, "agents": {"a": {"bottle": "dev", "settings": "x.json", "model": "a b"}}}`,
		`1:72: agents.a.settings: want an object, found the text "x.json"
1:91: agents.a.model: "a b" is no name of a model; write it as Claude Code's --model takes it, such as "opus"`},
	{"MCP servers",
		`{"bottles": {"dev": {}}, "agents": {"a": {"bottle": "dev", "mcp_servers": {
  "supervise": {"command": "x"},
  "notes": {"url": "https://notes.example.com"}
}}, "b": {"bottle": "dev", "mcpServers": {}}}}`,
		`2:3: agents.a.mcp_servers: supervise is bottle-tui's own server, by which the agent asks you; write another name
3:12: agents.a.mcp_servers.notes: a server with a "url" needs its "type": "http" or "sse"
4:28: agents.b: unknown key "mcpServers"; here it is called "mcp_servers"`},
	{"Claude Code's keys for another program",
		`{"bottles": {"dev": {"env": {"CLAUDE_CONFIG_DIR": "/x"}}}, "agents": {"a": {"bottle": "dev", "command": ["codex"], "args": ["--resume"],
  "model": "opus", "mcp_servers": {}
}}}`,
		`1:30: bottles.dev.env: with "CLAUDE_CONFIG_DIR" Claude Code would not use what bottle-tui gives it and keeps for it (its settings, the conversation); take it out
2:3: agents.a.model: "model" is for Claude Code, and another program is run in its place; take it out, and give the program its own arguments in args
2:20: agents.a.mcp_servers: "mcp_servers" is for Claude Code, and another program is run in its place; take it out, and give the program its own arguments in args`},
	{"another program's keys for Claude Code, and two ways to go on",
		`{"bottles": {"dev": {}}, "agents": {"a": {"bottle": "dev",
  "resume_args": ["x"], "session": "claude-code"
}, "b": {"bottle": "dev", "command": ["wrap"], "resume_args": [], "session": "claude-code"}, "c": {"bottle": "dev", "command": ["wrap"], "session": "codex"}}}`,
		`2:3: agents.a.resume_args: "resume_args" is for a program in the place of Claude Code, which is given its flags for a session anyway; take it out, or name the program in command
2:25: agents.a.session: "session" is for a program in the place of Claude Code, which is given its flags for a session anyway; take it out, or name the program in command
3:48: agents.b.resume_args: a program with the session "claude-code" goes on by Claude Code's flags; take one of the two out
3:149: agents.c.session: "codex" is not known; write one of "claude-code"`},
	{"old tokens of unknown kinds",
		`{"bottles": {"dev": {
  "tokens": [{"Kind": "jira", "TokenRef": "JIRA_TOKEN", "Host": "jira.example.com"}, {"Kind": "../x", "TokenRef": "b0f7c2e1a9d84c3f6e5d4b3a2c1d0e9f8a7b6c5d", "Host": "http://me:hunter2@x.example.com/y"}, {"Kind": "", "Host": "what ever"}]
}}}`,
		`2:3: bottles.dev: tokens is the old form; write instead: "cred_proxy": {"routes":[{"path":"/jira/","upstream":"https://jira.example.com","auth_scheme":"bearer","token_ref":"JIRA_TOKEN"},{"path":"/service/","upstream":"https://x.example.com/y","auth_scheme":"bearer","token_ref":"YOUR_TOKEN"},{"path":"/service-2/","upstream":"https://YOUR-HOST","auth_scheme":"bearer","token_ref":"YOUR_TOKEN"}]}`},
	{"old tokens of one kind",
		`{"bottles": {"dev": {
  "tokens": [{"Kind": "gitea", "TokenRef": "A", "Host": "a.example.com"}, {"Kind": "gitea", "TokenRef": "B", "Host": "a.example.com"}, {"Kind": "anthropic", "TokenRef": "C"}, {"Kind": "anthropic", "TokenRef": "D"}]
}}}`,
		`2:3: bottles.dev: tokens is the old form; write instead: "cred_proxy": {"routes":[{"path":"/gitea/","upstream":"https://a.example.com","auth_scheme":"token","token_ref":"A","role":["git-insteadof","tea-login"]},{"path":"/gitea-2/","upstream":"https://a.example.com","auth_scheme":"token","token_ref":"B","role":["tea-login"]},{"path":"/anthropic/","upstream":"https://api.anthropic.com","auth_scheme":"anthropic-oauth","token_ref":"C","role":["anthropic-base-url"]},{"path":"/anthropic-2/","upstream":"https://api.anthropic.com","auth_scheme":"anthropic-oauth","token_ref":"D"}]}`},
	{"old tokens beside routes",
		`{"bottles": {"dev": {
  "cred_proxy": {"routes": [{"path": "/anthropic/", "upstream": "https://api.anthropic.com", "auth_scheme": "x-api-key", "token_ref": "KEY", "role": ["anthropic-base-url"]}]},
  "tokens": [{"Kind": "anthropic", "TokenRef": "C"}]
}}}`,
		`3:3: bottles.dev: tokens is the old form; add to "routes" of "cred_proxy" instead: {"path":"/anthropic-2/","upstream":"https://api.anthropic.com","auth_scheme":"anthropic-oauth","token_ref":"C"}`},
	{"old ssh of one host",
		`{"bottles": {"dev": {
  "ssh": [{"Host": "forge", "User": "git:hunter2"}, {"Host": "forge", "User": "me", "Port": "x"}, {"Host": "a b", "IdentityFile": ""}]
}}}`,
		`2:3: bottles.dev: ssh is the old form; write instead: "git": [{"name":"forge","upstream":"ssh://git@forge/OWNER/NAME.git","identity_file":"~/.ssh/YOUR-KEY","known_host":"ssh-ed25519 AAAA…"},{"name":"forge-2","upstream":"ssh://me@forge/OWNER/NAME.git","identity_file":"~/.ssh/YOUR-KEY","known_host":"ssh-ed25519 AAAA…"},{"name":"remote","upstream":"ssh://git@YOUR-HOST/OWNER/NAME.git","identity_file":"~/.ssh/YOUR-KEY","known_host":"ssh-ed25519 AAAA…"}]`},
	{"old ssh beside git",
		`{"bottles": {"dev": {
  "git": [{"name": "forge", "upstream": "https://git.example.com/a.git"}],
  "ssh": [{"Host": "forge", "Hostname": "git.example.com"}]
}}}`,
		`3:3: bottles.dev: ssh is the old form; add to "git" instead: {"name":"forge-2","upstream":"ssh://git@git.example.com/OWNER/NAME.git","identity_file":"~/.ssh/YOUR-KEY","known_host":"ssh-ed25519 AAAA…"}`},
	{"old ssh of another shape",
		`{"bottles": {"dev": {
  "ssh": true
}}}`,
		`2:3: bottles.dev: ssh is the old form; write instead: "git": [{"name":"YOUR-NAME","upstream":"ssh://git@YOUR-HOST/OWNER/NAME.git","identity_file":"~/.ssh/YOUR-KEY","known_host":"ssh-ed25519 AAAA…"}]`},
	{"too many hosts",
		`{"bottles": {"dev": {"egress": {"allow": [` + many(10_001, `"h%d.example.com"`) + `]}}}}`,
		`1:42: bottles.dev.egress.allow: there are 10001 hosts; an allowlist has 10000 at most`},
	{"too many routes",
		`{"bottles": {"dev": {"cred_proxy": {"routes": [` + many(257, `{"path": "/p%d/", "upstream": "https://api.example.com", "auth_scheme": "bearer", "token_ref": "API_TOKEN"}`) + `]}}}}`,
		`1:47: bottles.dev.cred_proxy.routes: there are 257 routes; a profile has 256 at most`},
	{"too many remotes",
		`{"bottles": {"dev": {"git": [` + many(gitgate.MaxRemotes+1, `{"name": "r%d", "upstream": "https://git.example.com/a.git"}`) + `]}}}`,
		fmt.Sprintf(`1:29: bottles.dev.git: there are %d remotes; a profile has %d at most`, gitgate.MaxRemotes+1, gitgate.MaxRemotes)},
	{"too many refs",
		`{"bottles": {"dev": {"git": [{"name": "a", "upstream": "https://git.example.com/a.git", "allow_refs": [` + many(gitgate.MaxRefs+1, `"refs/heads/b%d"`) + `]}]}}}`,
		fmt.Sprintf(`1:103: bottles.dev.git[0].allow_refs: there are %d patterns of refs; a remote has %d at most`, gitgate.MaxRefs+1, gitgate.MaxRefs)},
	{"too many push options",
		`{"bottles": {"dev": {"git": [{"name": "a", "upstream": "https://git.example.com/a.git", "allow_push_options": [` + many(gitgate.MaxOptions+1, `"o%d"`) + `]}]}}}`,
		fmt.Sprintf(`1:111: bottles.dev.git[0].allow_push_options: there are %d patterns of push options; a remote has %d at most`, gitgate.MaxOptions+1, gitgate.MaxOptions)},
}

// many are n values of a list, each with its number.
func many(n int, format string) string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf(format, i))
	}
	return strings.Join(all, ", ")
}
