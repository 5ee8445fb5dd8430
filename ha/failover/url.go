package failover

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	maxURLLength = 16 << 10 // bytes of text that ParseURL looks at
	maxAddresses = 64       // brokers in one list, given and learned

	defaultPort           = 61613
	defaultTLSPort        = 61614
	defaultConnectTimeout = 10 * time.Second
)

// URL says where the brokers are and how to reconnect to them.
type URL struct {
	// Addresses are the brokers in the order given, at least one.
	Addresses []Address
	// Failover is true for failover:(...). Without it there is one attempt to
	// connect and no reconnect, and Policy is not used.
	Failover bool
	// Policy holds the options of a failover address.
	Policy Policy
}

// Address is one broker. The options of an address are given in its own query
// (tcp://a:61613?connectionTimeout=2000) or for all addresses of a failover
// list with the prefix nested. (failover:(...)?nested.connectionTimeout=2000).
type Address struct {
	Host string // name or IP address, IPv6 without brackets
	Port int    // 61613, or 61614 with TLS, when the text names none
	TLS  bool   // schemes stomp+ssl, ssl and tls

	// Login and Passcode come from user:passcode@host; they win over Options.
	Login, Passcode string

	// ConnectionTimeout (connectionTimeout, ms) bounds TCP, TLS and the wait
	// for CONNECTED together; 10 s when not given.
	ConnectionTimeout time.Duration
	// TCPNoDelay (tcpNoDelay) is true when not given.
	TCPNoDelay bool
	// KeepAlive (keepAlive) switches TCP keep-alive; true when not given.
	KeepAlive bool
	// InsecureSkipVerify (insecureSkipVerify, only with TLS) accepts any
	// certificate. It is meant for tests: anybody on the way can then read
	// and change everything.
	InsecureSkipVerify bool
}

// HostPort returns host:port, with brackets around IPv6.
func (a Address) HostPort() string { return net.JoinHostPort(a.Host, strconv.Itoa(a.Port)) }

// same reports whether both name the same listener.
func (a Address) same(b Address) bool {
	return a.Port == b.Port && a.TLS == b.TLS && strings.EqualFold(a.Host, b.Host)
}

// String returns the address without login, passcode and options.
func (a Address) String() string {
	scheme := "tcp://"
	if a.TLS {
		scheme = "stomp+ssl://"
	}
	return (&url.URL{Scheme: strings.TrimSuffix(scheme, "://"), Host: a.HostPort()}).String()
}

// ParseURL reads an address as users of ActiveMQ write it:
//
//	host:port  tcp://host:port  stomp://host:port
//	stomp+ssl://host:port  ssl://host:port  tls://host:port
//	failover:(tcp://a:61613,tcp://b:61613)?option=value&...
//	failover://(...)  failover:tcp://a:61613,tcp://b:61613?option=value
//
// IPv6 addresses stand in brackets, user:passcode@ may precede a host, special
// characters in them percent-encoded. The options are those of [Policy] and
// [Address]; an unknown one is an error that names the nearest known.
func ParseURL(text string) (*URL, error) {
	text = strings.TrimSpace(text)
	if len(text) > maxURLLength {
		return nil, fmt.Errorf("broker address: %d bytes are more than the %d allowed", len(text), maxURLLength)
	}
	u := &URL{Policy: defaultPolicy()}
	rest, isFailover := cutPrefixFold(text, "failover:")
	if !isFailover {
		a, err := parseAddress(text, nil)
		if err != nil {
			return nil, err
		}
		u.Addresses = []Address{a}
		return u, nil
	}
	u.Failover = true
	if err := u.parseFailover(strings.TrimPrefix(rest, "//")); err != nil {
		return nil, fmt.Errorf("failover address: %w", err)
	}
	return u, nil
}

func (u *URL) parseFailover(rest string) error {
	list, query, err := splitComposite(rest)
	if err != nil {
		return err
	}
	options, err := parseQuery(query)
	if err != nil {
		return err
	}
	nested, err := u.Policy.set(options)
	if err != nil {
		return err
	}
	parts := strings.Split(list, ",")
	if len(parts) > maxAddresses {
		return fmt.Errorf("%d brokers are more than the %d allowed", len(parts), maxAddresses)
	}
	for _, part := range parts {
		a, err := parseAddress(strings.TrimSpace(part), nested)
		if err != nil {
			return err
		}
		u.Addresses = append(u.Addresses, a)
	}
	return u.checkPriority()
}

// checkPriority refuses priorityURIs that are not among the addresses: they
// would never be connected to.
func (u *URL) checkPriority() error {
	for _, p := range u.Policy.PriorityURIs {
		if !containsAddress(u.Addresses, p) {
			return fmt.Errorf("priorityURIs names %s, which is not in the list of brokers; add it there", p)
		}
	}
	return nil
}

// splitComposite cuts "(a,b)?q" and "a,b?q" into the list and the query.
func splitComposite(s string) (list, query string, err error) {
	inner, isOpen := strings.CutPrefix(s, "(")
	if !isOpen {
		list, query, _ = strings.Cut(s, "?")
		return list, query, nil
	}
	end := strings.LastIndexByte(inner, ')')
	if end < 0 {
		return "", "", errors.New("the closing parenthesis is missing; write failover:(tcp://a:61613,tcp://b:61613)?option=value")
	}
	list, tail := inner[:end], inner[end+1:]
	if tail == "" {
		return list, "", nil
	}
	query, isQuery := strings.CutPrefix(tail, "?")
	if !isQuery {
		return "", "", fmt.Errorf("unexpected %q after the closing parenthesis; options start with ?", tail)
	}
	return list, query, nil
}

// parseAddress reads one broker; nested are options that its own query may
// override.
func parseAddress(text string, nested []option) (Address, error) {
	a := Address{ConnectionTimeout: defaultConnectTimeout, TCPNoDelay: true, KeepAlive: true}
	if text == "" {
		return a, errors.New("broker address: empty; write tcp://host:61613")
	}
	full := text
	if !strings.Contains(text, "://") {
		full = "tcp://" + text
	}
	p, err := url.Parse(full)
	if err != nil {
		return a, fmt.Errorf("broker address %q: %w", redact(text), unwrapURL(err))
	}
	if err := a.setLocation(p); err != nil {
		return a, fmt.Errorf("broker address %q: %w", redact(text), err)
	}
	own, err := parseQuery(p.RawQuery)
	if err == nil {
		err = a.setOptions(nested, "nested.")
	}
	if err == nil {
		err = a.setOptions(own, "")
	}
	if err != nil {
		return a, fmt.Errorf("broker address %q: %w", redact(text), err)
	}
	return a, nil
}

func (a *Address) setLocation(p *url.URL) error {
	switch strings.ToLower(p.Scheme) {
	case "tcp", "stomp":
	case "stomp+ssl", "ssl", "tls":
		a.TLS = true
	default:
		return fmt.Errorf("scheme %q is not known; use tcp, stomp, stomp+ssl, ssl, tls or failover:(...)", p.Scheme)
	}
	if p.Path != "" && p.Path != "/" || p.Fragment != "" || p.Opaque != "" {
		return errors.New("nothing but options may follow host:port")
	}
	a.Host = p.Hostname()
	if err := checkHost(a.Host, strings.HasPrefix(p.Host, "[")); err != nil {
		return err
	}
	a.Port = defaultPort
	if a.TLS {
		a.Port = defaultTLSPort
	}
	if text := p.Port(); text != "" {
		port, err := strconv.ParseUint(text, 10, 16)
		if err != nil || port == 0 {
			return fmt.Errorf("port %q is not a number from 1 to 65535", text)
		}
		a.Port = int(port)
	}
	if p.User != nil {
		a.Login = p.User.Username()
		a.Passcode, _ = p.User.Password()
	}
	return checkCredentials(a.Login, a.Passcode)
}

// badInHost are characters that no host name, and no name of a network interface
// behind an IPv6 address, is let have.
const badInHost = " !\"#$%&'()*+,/:;<=>?@[\\]^`{|}~\r\n\t\x00"

// checkHost refuses what net/url lets pass but no host name holds.
func checkHost(host string, bracketed bool) error {
	ip, errIP := netip.ParseAddr(host)
	switch {
	case bracketed && errIP == nil && !strings.ContainsAny(ip.Zone(), badInHost):
		return nil
	case bracketed || strings.Contains(host, ":"):
		return errors.New("an IPv6 address is written [::1]:61613")
	case host == "":
		return errors.New("the host name is missing")
	case strings.Contains(host, ","):
		return errors.New("several brokers are written failover:(tcp://a:61613,tcp://b:61613)")
	case strings.ContainsAny(host, badInHost):
		return errors.New("the host name has a character that is not allowed")
	}
	return nil
}

// unwrapURL drops the text of the address from an error of net/url, since it
// may hold a passcode.
func unwrapURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

// redact hides what stands between the scheme and the last @.
func redact(text string) string {
	at := strings.LastIndexByte(text, '@')
	if at < 0 {
		return text
	}
	start := 0
	if i := strings.Index(text, "://"); i >= 0 && i < at {
		start = i + len("://")
	}
	return text[:start] + "***" + text[at:]
}

func cutPrefixFold(s, prefix string) (string, bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return s, false
	}
	return s[len(prefix):], true
}

func containsAddress(list []Address, a Address) bool {
	for _, b := range list {
		if a.same(b) {
			return true
		}
	}
	return false
}

// String returns the brokers without logins, passcodes and options, fit for
// logs.
func (u *URL) String() string {
	names := make([]string, len(u.Addresses))
	for i, a := range u.Addresses {
		names[i] = a.String()
	}
	if !u.Failover {
		return names[0]
	}
	return "failover:(" + strings.Join(names, ",") + ")"
}
