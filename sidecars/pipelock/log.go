package pipelock

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"bottle-tui/sidecars"
	"bottle-tui/sidecars/internal/plain"
)

// maxLine bounds what is read of a log's line, in bytes. An agent chooses much of it.
const maxLine = 64 << 10

// reloading is the method that pipelock names in what it says of a reload by itself. An agent may send a request with
// such a method, which then has a client.
const reloading = "CONFIG_RELOAD"

// entry is one JSON line of pipelock's log, as far as it matters here. Source: pipelock's internal/audit.
type entry struct {
	Time       time.Time       `json:"-"`
	RawTime    json.RawMessage `json:"time"`
	Event      string          `json:"event"`
	Method     string          `json:"method"`
	Target     string          `json:"target"`       // host:port of a tunnel
	URL        string          `json:"url"`          // of a plain request
	Resource   string          `json:"resource"`     // of what no client asked for, such as a reload: the file
	Connect    string          `json:"connect_host"` // of a tunnel whose TLS names another host
	Action     string          `json:"action"`       // of a scan
	ClientIP   string          `json:"client_ip"`
	Scanner    string          `json:"scanner"`
	Reason     string          `json:"reason"`
	Error      string          `json:"error"`
	Listen     string          `json:"listen"`
	Status     string          `json:"status"` // of a reload
	Detail     string          `json:"detail"`
	ConfigHash string          `json:"config_hash"` // hex of the file's SHA-256
	StatusCode int             `json:"status_code"`
	TotalBytes int64           `json:"total_bytes"` // of a tunnel, both ways
	SizeBytes  int64           `json:"size_bytes"`  // of an answer
	DurationMS float64         `json:"duration_ms"`
}

// Lines reads one line of pipelock's output, of either stream, as what the sidecars would have said; none for what is
// not of interest. As with sidecars.ParseLine what came from an agent is hostile text, bounded in length.
//
// pipelock counts the bytes of a tunnel both ways together: they stand in Received.
func Lines(b []byte) []sidecars.Line {
	b = bytes.TrimSpace(b)
	if len(b) < 2 || len(b) > maxLine {
		return nil
	}
	if b[0] != '{' {
		return text(string(b))
	}
	var e entry
	if json.Unmarshal(b, &e) != nil {
		return nil
	}
	_ = json.Unmarshal(e.RawTime, &e.Time) // a line without its time is told when it is read
	l := sidecars.Line{At: e.Time}
	switch e.Event {
	case "startup":
		l.Event, l.Config, l.Address = sidecars.EventReady, hash(e.ConfigHash), plain.Bounded(e.Listen)
	case "config_reload":
		switch e.Status {
		case "success":
			l.Event, l.Config = sidecars.EventConfig, hash(e.ConfigHash)
		case "ignored": // a part of it; the rest follows
			l.Event, l.Reason = sidecars.EventError, plain.Bounded("pipelock ignored a part of its configuration: "+e.Detail)
		default:
			l.Event, l.Reason = sidecars.EventConfigError, plain.Bounded("pipelock refused its configuration: "+e.Detail)
		}
	case "tunnel_open":
		l.Event = sidecars.EventAllow
		e.whom(&l)
	case "tunnel_close":
		l.Event, l.Received, l.Millis = sidecars.EventTunnelEnd, max(0, e.TotalBytes), int64(max(0, e.DurationMS))
		e.whom(&l)
	case "forward_http", "allowed": // the latter of its own way to fetch a page, /fetch
		e.whom(&l)
		end := l
		l.Event, l.Status = sidecars.EventAllow, e.StatusCode
		end.Event, end.Received, end.Millis = sidecars.EventTunnelEnd, max(0, e.SizeBytes), int64(max(0, e.DurationMS))
		return []sidecars.Line{l, end}
	case "blocked":
		l.Event = sidecars.EventRefuse
		e.whom(&l)
		l.Reason = plain.Bounded(e.because(e.Reason))
		if e.Scanner == "allowlist" && l.Host != "" {
			l.Cause = sidecars.CauseUnlisted
		}
	case "sni_mismatch", "kill_switch_deny", "body_dlp", "header_dlp":
		if e.Action != "" && e.Action != "block" {
			return nil // it only warns
		}
		l.Event = sidecars.EventRefuse
		e.whom(&l)
		l.Reason = plain.Bounded(e.because(strings.ReplaceAll(e.Event, "_", " ")))
	case "error":
		if e.Method == reloading && e.Resource == ConfigFile && e.ClientIP == "" {
			l.Event, l.Reason = sidecars.EventConfigError, plain.Bounded("pipelock refused its configuration: "+e.Error)
			break
		}
		l.Event, l.Reason = sidecars.EventError, plain.Bounded(e.Error)
		e.whom(&l)
	default:
		return nil
	}
	return []sidecars.Line{l}
}

// because is the reason, behind the name of the scanner that gave it.
func (e entry) because(reason string) string {
	if e.Scanner == "" {
		return reason
	}
	return e.Scanner + ": " + reason
}

// whom fills in who wanted where.
func (e entry) whom(l *sidecars.Line) {
	l.Via = "http"
	host, port := "", ""
	usual := 80
	if e.Target != "" || e.Connect != "" || e.Method == "CONNECT" {
		l.Via, usual = "connect", 443
		where := e.Target
		if where == "" {
			where = e.Connect
		}
		if where == "" {
			where = e.URL
		}
		var err error
		if host, port, err = net.SplitHostPort(where); err != nil {
			host = where
		}
	} else if u, err := url.Parse(e.URL); err == nil {
		host, port = u.Hostname(), u.Port()
		if u.Scheme == "https" {
			usual = 443
		}
	}
	if len(host) > 300 {
		host = host[:300]
	}
	l.Host, l.Port = strings.ToLower(strings.TrimSuffix(host, ".")), usual
	if n, err := strconv.ParseUint(port, 10, 16); err == nil {
		l.Port = int(n)
	}
	if l.Host == "" {
		l.Port = 0
	}
}

// hash is a configuration's hash as sidecars.Hash writes it; "" when it is none.
func hash(s string) string {
	s = strings.ToLower(strings.TrimPrefix(s, "sha256:"))
	if b, err := hex.DecodeString(s); err != nil || len(b) != 32 {
		return ""
	}
	return "sha256:" + s
}

// text reads what pipelock says in plain words, on its standard error: that a file can't be read is said nowhere else.
func text(s string) []sidecars.Line {
	low := strings.ToLower(s)
	if !strings.HasPrefix(strings.TrimPrefix(strings.TrimPrefix(low, "pipelock: "), "warning: "), "config reload") {
		return nil
	}
	for _, word := range []string{"error", "fail", "invalid", "reject", "refus"} {
		if strings.Contains(low, word) {
			return []sidecars.Line{{Event: sidecars.EventConfigError, Reason: plain.Bounded(s)}}
		}
	}
	return nil
}
