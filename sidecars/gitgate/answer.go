package gitgate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"bottle-tui/sidecars"
)

// drainHTTP reads what the agent still sends: its git reads an answer only when it has sent everything.
func drainHTTP(ctx context.Context, r *http.Request, control *http.ResponseController) {
	control.SetReadDeadline(time.Now().Add(lingerTime(ctx))) //nolint:errcheck // then it has none
	io.Copy(io.Discard, r.Body)                              //nolint:errcheck // it may end
}

// notAdmitted answers a request for which there is no remote, or not yet.
func (s *server) notAdmitted(w http.ResponseWriter, r *http.Request, name, service string, err error) {
	var none *noRemote
	hint := ""
	if errors.As(err, &none) {
		hint = none.hint()
		s.voice.say(sidecars.Line{Event: sidecars.EventRefuse, Remote: name, Via: viaHTTP, Reason: err.Error()})
	}
	if r.Method == http.MethodPost { // the remote was there when git asked what it has
		lastWord(r.Context(), w, r, service, err.Error()+". "+hint)
		return
	}
	status := http.StatusServiceUnavailable
	if none != nil {
		status = http.StatusNotFound
	}
	answer(w, status, err.Error(), hint)
}

// lastWord ends a conversation with a reason in the middle of git's protocol, where it shows no text of a failed
// request.
func lastWord(ctx context.Context, w http.ResponseWriter, r *http.Request, service, reason string) {
	drainHTTP(ctx, r, http.NewResponseController(w))
	w.Header().Set("Content-Type", "application/x-"+service+"-result")
	w.Header().Set("Cache-Control", "no-cache")
	(&tail{to: w, banded: service == receivePack}).say(strings.TrimSpace(reason))
}

func (e *noRemote) hint() string {
	if len(e.names) == 0 {
		return "It has none. The operator declares remotes under git in the manifest."
	}
	return "Its remotes are " + strings.Join(e.names[:min(len(e.names), 20)], ", ") + ". The operator declares them under git in the manifest."
}

// turnAway answers a request that goes nowhere, and says so.
func (s *server) turnAway(w http.ResponseWriter, status int, name, reason, hint string) {
	s.voice.say(sidecars.Line{Event: sidecars.EventRefuse, Remote: name, Via: viaHTTP, Reason: reason})
	answer(w, status, reason, hint)
}

// failHTTP answers a request that was sent on, or should have been, and got no answer.
func (s *server) failHTTP(w http.ResponseWriter, r *http.Request, f *flight, service string, err error) {
	var cut *errCut
	status, reason, hint := http.StatusBadGateway, plain(err.Error(), maxReason), hintFor(err)
	switch {
	case errors.As(context.Cause(f.ctx), &cut):
		status, reason, hint = http.StatusServiceUnavailable, cut.reason, ""
	case f.ctx.Err() != nil:
		panic(http.ErrAbortHandler) // the agent has gone
	default:
		s.voice.say(sidecars.Line{Event: sidecars.EventError, Remote: f.Name, Via: viaHTTP, Host: f.to.host, Port: f.to.port, Reason: err.Error()})
	}
	if r.Method == http.MethodPost {
		lastWord(f.ctx, w, r, service, reason+". "+hint)
		return
	}
	answer(w, status, reason, hint)
}

// hintFor says who can do what about an upstream that failed.
func hintFor(err error) string {
	var unknown x509.UnknownAuthorityError
	var bad *badStatus
	var badCert *tls.CertificateVerificationError
	switch {
	case errors.As(err, &unknown):
		return "Nobody whom git-gate trusts has signed the upstream's certificate. The operator can name a private authority in the manifest."
	case errors.As(err, &badCert):
		return "The upstream's certificate does not hold. The operator must look at it."
	case errors.As(err, &bad) && bad.status/100 == 4:
		return "That is for the operator to mend: the credential, its rights, or the upstream's address in the manifest."
	}
	return "That is not for you to mend. Try again later; if it stays so, tell the operator."
}

// answer says something to git, which shows plain text after "remote: ".
func answer(w http.ResponseWriter, status int, reason, hint string) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	io.WriteString(w, strings.TrimSpace("git-gate: "+reason+".\n"+hint)+"\n") //nolint:errcheck // the agent may have gone
}

const tooManyReason = "too many connections at once; close some"

func (s *server) tooManyHTTP(c net.Conn) {
	c.SetWriteDeadline(time.Now().Add(time.Second)) //nolint:errcheck
	body := "git-gate: " + tooManyReason + "\n"
	fmt.Fprintf(c, "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	s.voice.say(sidecars.Line{Event: sidecars.EventError, Via: viaHTTP, Reason: "the agent holds too many connections; one more was turned away"})
}
