package gitrepo

import (
	"net/url"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// hostSections are the sections of a git configuration that hold for the host alone: its programs, its files, its
// network, its credentials.
var hostSections = []string{
	"include", "includeif", "credential", "gpg", "http", "https", "url", "filter", "difftool", "mergetool", "pager", "sendemail",
	"imap", "gui", "guitool", "browser", "instaweb", "maintenance", "safe", "trace2", "github", "gitlab", "hub",
}

// hostKeys are the same by section and key.
var hostKeys = []string{
	"commit.gpgsign", "commit.template", "tag.gpgsign", "tag.forcesignannotated", "push.gpgsign", "user.signingkey", "rebase.gpgsign", "log.showsignature",
	"core.fsmonitor", "core.fsmonitorhookversion", "core.sshcommand", "core.excludesfile", "core.attributesfile", "core.editor", "core.pager", "core.askpass",
	"core.gitproxy", "core.alternaterefscommand", "core.untrackedcache", "core.usebuiltinfsmonitor", "sequence.editor", "interactive.difffilter",
	"diff.external", "diff.command", "diff.textconv", "merge.driver", "uploadpack.packobjectshook", "gc.recentobjectshook", "receive.procreceiverefs",
	"remote.proxy", "remote.proxyauthmethod", "remote.uploadpack", "remote.receivepack", "remote.vcs", "trailer.command", "trailer.cmd",
	"extensions.worktreeconfig", "extensions.partialclone", "extensions.relativeworktrees", "extensions.preciousobjects",
}

// derived are the settings that are written anew for the bottle, without a word to the operator.
var derived = []string{"core.worktree", "core.bare", "core.checkstat", "core.trustctime", "extensions.worktreeconfig", "extensions.relativeworktrees", "init.defaultbranch"}

// sanitizeConfig gives what of a repository's configuration goes into a bottle, and the names of what can't work there
// and is left out. inside are the settings that are the copy's own.
func sanitizeConfig(settings []setting, inside ...setting) (kept []setting, removed []string) {
	drop := func(s setting, note string) {
		if name := s.name() + note; !slices.Contains(removed, name) {
			removed = append(removed, name)
		}
	}
	active := map[string]bool{}
	for _, s := range settings {
		key := s.section + "." + s.key
		switch {
		case slices.Contains(derived, key):
		case hostOnly(s, key):
			drop(s, "")
		case pathOfHost(s):
			drop(s, "")
			if s.section == "submodule" && s.key == "url" {
				active[s.sub] = true // git takes a submodule with an address for an active one
			}
		default:
			if bare, had := withoutCredentials(s.value); had {
				drop(s, " (the credentials in it)")
				s.value = bare
			}
			kept = append(kept, s)
		}
	}
	for _, s := range kept {
		if s.section == "submodule" && s.key == "active" {
			delete(active, s.sub)
		}
	}
	for _, s := range settings {
		if active[s.sub] && s.section == "submodule" && s.key == "url" {
			kept = append(kept, setting{section: s.section, sub: s.sub, key: "active", value: "true"})
			delete(active, s.sub)
		}
	}
	return append(kept, inside...), removed
}

// hostOnly says whether a setting can do nothing in a bottle but fail, or tells what is none of the agent's business.
func hostOnly(s setting, key string) bool {
	switch {
	case slices.Contains(hostSections, s.section), slices.Contains(hostKeys, key):
		return true
	case s.section == "remote" && (s.key == "promisor" || s.key == "partialclonefilter"):
		return true
	case (s.section == "alias" || s.section == "submodule" && s.key == "update") && strings.HasPrefix(s.value, "!"):
		return true
	case s.key == "hookspath": // a directory of the repository itself is copied with it
		return strings.HasPrefix(s.value, "~") || !filepath.IsLocal(path.Clean(s.value))
	}
	for _, word := range []string{"token", "password", "passwd", "secret", "apikey"} {
		if strings.Contains(s.key, word) {
			return true
		}
	}
	return false
}

// pathOfHost says whether a setting's name or value is a path that is the host's.
func pathOfHost(s setting) bool {
	if s.section == "remote" && (s.key == "url" || s.key == "pushurl") || s.section == "submodule" && s.key == "url" || s.section == "branch" && s.key == "remote" {
		if strings.HasPrefix(s.value, "./") || strings.HasPrefix(s.value, "../") {
			return true
		}
	}
	for _, text := range []string{s.sub, s.value} {
		if strings.HasPrefix(text, "/") || strings.HasPrefix(text, "~") || strings.HasPrefix(strings.ToLower(text), "file:/") {
			return true
		}
		if strings.Contains(text, "=/") || strings.Contains(text, " /") {
			return true
		}
	}
	return false
}

// withoutCredentials takes the user and password out of an http address.
func withoutCredentials(value string) (string, bool) {
	if !strings.HasPrefix(value, "http://") && !strings.HasPrefix(value, "https://") {
		return value, false
	}
	u, err := url.Parse(value)
	if err != nil || u.User == nil {
		return value, false
	}
	u.User = nil
	return u.String(), true
}
