package messages

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"testing"
	"time"
)

// HostAddress is an IPv4 address of this machine that its own containers reach as well: that of Docker's default
// bridge where there is one, else the first that is not a loopback's. From a bottle's outward network both are reached
// over its gateway, which is this machine.
func HostAddress(t testing.TB) string {
	t.Helper()
	if docker0, err := net.InterfaceByName("docker0"); err == nil {
		if addresses, err := docker0.Addrs(); err == nil {
			if a := firstIPv4(addresses); a != "" {
				return a
			}
		}
	}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatalf("find an address of this machine: %v", err)
	}
	if a := firstIPv4(addresses); a != "" {
		return a
	}
	t.Fatal("this machine has no IPv4 address but the loopback's, so that no container reaches it")
	return ""
}

func firstIPv4(addresses []net.Addr) string {
	for _, a := range addresses {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast() {
			return n.IP.String()
		}
	}
	return ""
}

// certificates makes a root, as PEM, and what a server at host needs; the loopback's names are in it, too.
func certificates(host string) (root []byte, leaf *tls.Config, err error) {
	rootKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	leafKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	now := time.Now()
	template := func(name string) *x509.Certificate {
		serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)) // rand.Reader never fails
		return &x509.Certificate{
			SerialNumber: serial, Subject: pkix.Name{CommonName: name},
			NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour), BasicConstraintsValid: true,
		}
	}
	ca := template("Messages API of a test")
	ca.IsCA, ca.KeyUsage = true, x509.KeyUsageCertSign
	rootDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &rootKey.PublicKey, rootKey)
	if err != nil {
		return nil, nil, err
	}
	own := template(host)
	own.KeyUsage, own.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	own.DNSNames, own.IPAddresses = []string{"localhost"}, []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	if ip := net.ParseIP(host); ip != nil {
		own.IPAddresses = append(own.IPAddresses, ip)
	} else {
		own.DNSNames = append(own.DNSNames, host)
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, own, ca, &leafKey.PublicKey, rootKey)
	if err != nil {
		return nil, nil, fmt.Errorf("for %s: %w", host, err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: rootDER}), &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{leafDER, rootDER}, PrivateKey: leafKey}},
		MinVersion:   tls.VersionTLS12,
	}, nil
}
