package credproxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strings"

	"bottle-tui/sidecars"
	"bottle-tui/sidecars/internal/outward"
	"bottle-tui/sidecars/internal/plain"
)

// ErrorHeader and ErrorMark are the header, and its value, of an answer that cred-proxy itself gave: its body is
// JSON with "error" and "hint". An answer without is the upstream's, whatever its status.
const (
	ErrorHeader = "X-Claude-Bottle-Error"
	ErrorMark   = "cred-proxy"
)

// ownAnswer is the body of an answer of cred-proxy's own.
type ownAnswer struct {
	Error string `json:"error"`
	Hint  string `json:"hint"`
}

func answerBytes(reason, hint string) []byte {
	b, err := json.Marshal(ownAnswer{"cred-proxy: " + reason + ".", hint})
	if err != nil { // of two strings
		return []byte("{}\n")
	}
	return append(b, '\n')
}

func answer(w http.ResponseWriter, status int, reason, hint string) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Set(ErrorHeader, ErrorMark)
	w.WriteHeader(status)
	w.Write(answerBytes(reason, hint)) //nolint:errcheck // the agent may have gone
}

func routesHint(paths []string) string {
	if len(paths) == 0 {
		return "This bottle has no routes. If the work needs one, ask for it with the cred-proxy-block tool of the supervise server."
	}
	return "The routes of this bottle are " + strings.Join(paths, ", ") +
		". If the work needs another, ask for it with the cred-proxy-block tool of the supervise server."
}

// refuse answers a request that goes nowhere, and says so.
func (s *server) refuse(w http.ResponseWriter, status int, route, reason, hint string) {
	s.voice.say(sidecars.Line{Event: sidecars.EventRefuse, Via: via, Route: route, Status: status, Reason: reason})
	answer(w, status, reason, hint)
}

// fail answers a request that was sent on, or should have been, and got no answer.
func (s *server) fail(w http.ResponseWriter, f *flight, err error) {
	var cut *errCut
	if errors.As(context.Cause(f.ctx), &cut) {
		answer(w, http.StatusServiceUnavailable, "this request was ended, because "+cut.reason, "Look at the routes in /etc/claude-bottle/current-config/routes.json.")
		return
	}
	if f.ctx.Err() != nil { // the agent has gone; returning would say 200 to whoever still listens
		panic(http.ErrAbortHandler)
	}
	if f.body != nil {
		if failed := f.body.failed.Load(); failed != nil {
			s.refuse(w, http.StatusBadRequest, f.Path, "its body could not be read", "Send the body whole, as Content-Length or its chunks announce it.")
			return
		}
	}
	reason := f.clean(err.Error())
	l := f.line(sidecars.EventError)
	l.Reason = reason
	status, hint := http.StatusBadGateway, "The upstream could not be reached, which is not for you to mend. Try again later; if it stays so, tell the operator."
	var no *outward.NotDialled
	var timeout net.Error
	var unknown x509.UnknownAuthorityError
	var wrongName x509.HostnameError
	var badTLS *tls.CertificateVerificationError
	var notTLS tls.RecordHeaderError
	switch {
	case errors.As(err, &no):
		hint = "The operator must write another upstream for " + f.Path + " in the manifest."
	case errors.As(err, &unknown):
		hint = "Nobody whom cred-proxy trusts has signed the upstream's certificate. The operator can name a private authority with cred_proxy.ca_file in the manifest."
	case errors.As(err, &wrongName), errors.As(err, &badTLS):
		hint = "The upstream's certificate does not hold. The operator must look at it."
	case errors.As(err, &notTLS):
		hint = "The upstream does not speak TLS there. The operator must look at the route's upstream."
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded):
		status, hint = http.StatusGatewayTimeout, "The upstream did not answer in time. Try again later; if it stays so, tell the operator."
	}
	l.Status = status
	s.voice.say(l)
	answer(w, status, f.to.authority()+" gave no answer: "+reason, hint)
}

const via = "route"

// line is a Line about f.
func (f *flight) line(e sidecars.Event) sidecars.Line {
	return sidecars.Line{Event: e, Host: f.to.host, Port: f.to.port, Via: via, Route: f.Path}
}

// clean is an error's text as it may be shown: plain, bounded, and without this route's token.
func (f *flight) clean(text string) string { return plain.Printable(f.hidden.text(text)) }
