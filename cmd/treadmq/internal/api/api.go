// Package api is a client of the broker's JSON API, which the web console's port
// serves under /api/v1.
//
// Answers keep the JSON they came as, so that a newer broker's fields reach the
// user of an older client.
package api

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// DefaultURL is where a broker's console listens when nothing is configured.
const DefaultURL = "http://127.0.0.1:8161"

// Bounds of one request.
const (
	maxAnswer  = 256 << 20 // bytes of JSON; a page of messages with bodies may be large
	maxProblem = 64 << 10  // bytes of an error
	timeout    = 60 * time.Second
)

// Options say where the API is and who asks.
type Options struct {
	URL      string // of the console, with its path prefix if it has one, with or without /admin/; empty means DefaultURL
	User     string // empty: no login
	Password string
	Token    string // instead of user and password
	CAFile   string // PEM file of certificates to trust instead of the system's
	Agent    string // User-Agent
}

// Client asks one broker. It may be used by many goroutines.
type Client struct {
	base  *url.URL
	o     Options
	http  *http.Client
	Limit int // items of one page; 0 means the broker's default
}

// Error is an answer that says no.
type Error struct {
	Status int    `json:"status"` // HTTP status
	Title  string `json:"title"`
	Detail string `json:"detail"`
	Code   string `json:"code"`
}

// Error is what the broker said, in words.
func (e *Error) Error() string {
	text := e.Title
	if e.Detail != "" {
		text = e.Detail
	}
	if text == "" {
		text = http.StatusText(e.Status)
	}
	return fmt.Sprintf("broker says: %s (%d)", text, e.Status)
}

// ErrNoAPI means that something answered which is not TreadMQ's API.
var ErrNoAPI = errors.New("what answers there is not a TreadMQ console")

// New makes a client. It does not connect yet.
func New(o Options) (*Client, error) {
	if o.URL == "" {
		o.URL = DefaultURL
	}
	base, err := url.Parse(o.URL)
	if err != nil {
		return nil, err
	}
	if base.Scheme != "http" && base.Scheme != "https" || base.Host == "" {
		return nil, fmt.Errorf("%q is no http:// or https:// address", o.URL)
	}
	if base.User != nil && o.User == "" {
		o.User = base.User.Username()
		o.Password, _ = base.User.Password()
	}
	base.User = nil
	// people copy the address that their browser shows
	base.Path = strings.TrimSuffix(strings.TrimRight(base.Path, "/"), "/admin")
	base.RawPath, base.RawQuery, base.Fragment = "", "", ""
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}}
	if o.CAFile != "" {
		if transport.TLSClientConfig.RootCAs, err = pool(o.CAFile); err != nil {
			return nil, err
		}
	}
	return &Client{base: base, o: o, http: &http.Client{
		Transport: transport, Timeout: timeout,
		// a redirect would carry the question, and perhaps the password, elsewhere
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

func pool(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate in PEM form", file)
	}
	return p, nil
}

// Close gives the connections back.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// URL is where the client asks, without login.
func (c *Client) URL() string { return c.base.String() }

// path joins the segments of a path under /api/v1, each percent-encoded once.
func path(segments ...string) string {
	var b strings.Builder
	b.WriteString("/api/v1")
	for _, s := range segments {
		b.WriteByte('/')
		b.WriteString(escape(s))
	}
	return b.String()
}

// escape encodes all that url.PathEscape does, and dots, because a segment of "." or
// ".." would be taken for a step in the tree by proxies on the way.
func escape(s string) string {
	if s == "." || s == ".." {
		return strings.ReplaceAll(s, ".", "%2E")
	}
	return url.PathEscape(s)
}

// do sends one request. A body is sent as JSON; an answer is decoded into out.
func (c *Client) do(ctx context.Context, method, path string, query url.Values, body, out any) error {
	target := c.base.String() + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		in = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, target, in)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", c.o.Agent)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	switch {
	case c.o.Token != "":
		req.Header.Set("Authorization", "Bearer "+c.o.Token)
	case c.o.User != "":
		req.SetBasicAuth(c.o.User, c.o.Password)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return decode(resp, out)
}

func decode(resp *http.Response, out any) error {
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if resp.StatusCode >= 300 {
		return problem(resp, kind)
	}
	if out == nil || resp.StatusCode == http.StatusNoContent {
		return nil
	}
	if kind != "application/json" {
		return fmt.Errorf("%w: it sent %q", ErrNoAPI, kind)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return err
	}
	if len(b) > maxAnswer {
		return fmt.Errorf("the answer is larger than %d bytes; ask for fewer at a time", maxAnswer)
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fmt.Errorf("%w: %w", ErrNoAPI, err)
	}
	return nil
}

func problem(resp *http.Response, kind string) error {
	e := &Error{Status: resp.StatusCode}
	b, _ := io.ReadAll(io.LimitReader(resp.Body, maxProblem))
	if kind == "application/problem+json" || kind == "application/json" {
		if json.Unmarshal(b, e) == nil {
			e.Status = resp.StatusCode
			return e
		}
	}
	if resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden {
		return e
	}
	return fmt.Errorf("%w: it answered %s", ErrNoAPI, resp.Status)
}
