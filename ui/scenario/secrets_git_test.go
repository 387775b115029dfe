package scenario_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"bottle-tui/ui/scenario/messages"
)

// keyOf is a new private key: the file that ssh reads, its forms in which it might turn up, and its public half.
func keyOf(t *testing.T) (file string, forms map[string][]byte, public ssh.PublicKey) {
	t.Helper()
	pub, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	public, err = ssh.NewPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	whole := pem.EncodeToMemory(block)
	seed := private.Seed()
	forms = map[string][]byte{
		"file": whole, "file as JSON": bytes.ReplaceAll(whole, []byte("\n"), []byte(`\n`)), "content": block.Bytes,
		"seed": seed, "seed in hexadecimals": fmt.Appendf(nil, "%x", seed), "seed in base64": []byte(base64.RawStdEncoding.EncodeToString(seed)),
	}
	lines := strings.Split(strings.TrimSpace(string(whole)), "\n")
	for i, line := range lines[2 : len(lines)-1] { // the first tells of every key of this kind, and of no secret
		if len(line) > 16 {
			forms[fmt.Sprint("line ", i+2)] = []byte(line)
		}
	}
	return string(whole), forms, public
}

// guardedBySSH is a git server that knows one key. It lists what a repository has, which is nothing.
func guardedBySSH(t *testing.T, known ssh.PublicKey) (address, hostKey string) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	config := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if !bytes.Equal(key.Marshal(), known.Marshal()) {
			return nil, fmt.Errorf("a stranger")
		}
		return nil, nil
	}}
	config.AddHostKey(signer)
	l, err := net.Listen("tcp", net.JoinHostPort(messages.HostAddress(t), "0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serveSSH(c, config)
		}
	}()
	return l.Addr().String(), strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey())))
}

// serveSSH answers whatever is to be run with an empty list, until the other side goes.
func serveSSH(c net.Conn, config *ssh.ServerConfig) {
	defer c.Close()
	_, channels, requests, err := ssh.NewServerConn(c, config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for open := range channels {
		channel, asked, err := open.Accept()
		if err != nil {
			return
		}
		go func() {
			for r := range asked {
				_ = r.Reply(true, nil)
				if r.Type == "exec" {
					fmt.Fprint(channel, "0000")
					_, _ = channel.SendRequest("exit-status", false, make([]byte, 4))
					channel.Close()
				}
			}
		}()
	}
}

// gitRefs answers as a git server to whoever has a remote's credential, and is part of guarded.
func gitRefs(w http.ResponseWriter, r *http.Request) {
	_, password, _ := r.BasicAuth()
	if password != held["/git/docs"] || !strings.HasPrefix(r.URL.Path, "/git/docs") {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
	fmt.Fprint(w, "001e# service=git-upload-pack\n00000000")
}
