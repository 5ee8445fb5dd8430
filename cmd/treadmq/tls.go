package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
)

// reloadingTLS is a TLS configuration whose files are read again by reload;
// connections that are open keep what they have.
type reloadingTLS struct {
	cert, key, clientCA string
	clientAuth          string // none, want, need
	minVersion          string
	current             atomic.Pointer[tls.Config]
}

// load reads the files. It is nil without a certificate.
func loadTLS(cert, key, clientCA, clientAuth, minVersion string) (*reloadingTLS, error) {
	if cert == "" {
		return nil, nil
	}
	r := &reloadingTLS{cert: cert, key: key, clientCA: clientCA, clientAuth: clientAuth, minVersion: minVersion}
	return r, r.reload()
}

// reload reads the files again. After an error the old configuration stays.
func (r *reloadingTLS) reload() error {
	if r == nil {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(r.cert, r.key)
	if err != nil {
		return fmt.Errorf("certificate %s with key %s: %w", r.cert, r.key, err)
	}
	c := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	if r.minVersion == "1.3" {
		c.MinVersion = tls.VersionTLS13
	}
	switch r.clientAuth {
	case "want":
		c.ClientAuth = tls.VerifyClientCertIfGiven
	case "need":
		c.ClientAuth = tls.RequireAndVerifyClientCert
	}
	if r.clientCA != "" {
		pem, err := os.ReadFile(r.clientCA)
		if err != nil {
			return fmt.Errorf("client authorities: %w", err)
		}
		c.ClientCAs = x509.NewCertPool()
		if !c.ClientCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("client authorities: %s holds no certificate in PEM form", r.clientCA)
		}
	} else if c.ClientAuth != tls.NoClientCert {
		return errors.New("client certificates are asked for, but clientCA names nobody who may sign them")
	}
	r.current.Store(c)
	return nil
}

// config is what a listener uses; it follows reloads.
func (r *reloadingTLS) config() *tls.Config {
	if r == nil {
		return nil
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return r.current.Load(), nil },
	}
}

// localTLS is for asking this machine's own console for its health: its
// certificate is for another name, and nothing secret is sent.
func localTLS() *tls.Config { return &tls.Config{InsecureSkipVerify: true} }
