package admin

import (
	"bytes"
	"net/http"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"treadmq/broker"
)

// maxRestHeaders bounds the bytes of a message's properties in an answer; most clients
// and proxies take no more.
const maxRestHeaders = 16 << 10

// restType is the media type of an answer. The bodies that a browser would run are
// shown as text.
func restType(v url.Values, m *broker.Message) string {
	switch {
	case strings.EqualFold(v.Get("xml"), "true"):
		return "application/xml"
	case strings.EqualFold(v.Get("json"), "true"):
		return "application/json"
	}
	body := m.Body()
	switch kind := m.Text(broker.FieldContentType); kind {
	case "application/json", "application/xml", "text/xml", "application/octet-stream":
		return kind
	}
	switch {
	case bytes.HasPrefix(body, []byte("<")):
		return "application/xml"
	case !utf8.Valid(body):
		return "application/octet-stream"
	}
	return "text/plain; charset=utf-8"
}

// restHeaders gives an answer the fields and properties of its message, as far as they
// can be headers of HTTP. Names that mean something to browsers, proxies or HTTP itself
// are left out: whoever sends a message must not be able to set a cookie.
func (s *Server) restHeaders(h http.Header, d *broker.Delivery) {
	msg := d.Message
	h.Set("destination", d.Dest.String())
	h.Set("id", string(s.b.AppendMessageID(nil, msg.ID())))
	x := broker.Browsed{Message: msg, Dest: d.Dest, Expiration: d.Expiration, Attempts: d.Attempts - 1, Overlay: d.Overlay}
	room := maxRestHeaders
	for _, e := range messageHeaders(s.b, &x) {
		room -= len(e.Name) + len(e.Value) + 4
		if room < 0 {
			h.Set("x-headers-left-out", "true")
			return
		}
		if restHeaderAllowed(e.Name) && !strings.ContainsFunc(e.Value, unicode.IsControl) {
			h[http.CanonicalHeaderKey(e.Name)] = []string{e.Value}
		}
	}
}

// restReserved are names, and beginnings of names, that a message cannot set.
var restReserved = []string{
	"accept", "access-control-", "age", "allow", "alt-svc", "authorization", "cache-control", "clear-site-data", "connection", "content-",
	"cookie", "critical-ch", "cross-origin-", "date", "destination", "etag", "expires", "feature-policy", "host", "id", "keep-alive",
	"last-modified", "link", "location", "message-id", "nel", "origin-agent-cluster", "permissions-policy", "pragma", "proxy-", "public-key-pins",
	"referrer-policy", "refresh", "report-to", "reporting-endpoints", "retry-after", "sec-", "server", "service-worker-", "set-cookie", "sourcemap",
	"speculation-rules", "strict-transport-security", "te", "timing-allow-origin", "trailer", "transfer-encoding", "upgrade", "vary", "via",
	"warning", "www-authenticate", "x-accel-", "x-content-", "x-dns-", "x-frame-", "x-permitted-", "x-robots-", "x-sendfile", "x-sourcemap", "x-xss-", "x-webkit-", "ackid",
}

// headerToken are the characters of a name of a header. RFC 9110, section 5.6.2.
const headerToken = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

func restHeaderAllowed(name string) bool {
	if name == "" || strings.Trim(name, headerToken) != "" {
		return false
	}
	lower := strings.ToLower(name)
	for _, r := range restReserved {
		if lower == r || strings.HasSuffix(r, "-") && strings.HasPrefix(lower, r) {
			return false
		}
	}
	return true
}
