package conf

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Listener is one entry of stomp.listen: host:port, or host:port?option=value&option=value for what is to differ from
// section [stomp].
type Listener struct {
	Address   string // host:port
	Dialect   string // activemq, rabbitmq, artemis, apollo
	WebSocket bool
	// PathSeparator stands for the dot in destination names; empty: nothing does.
	PathSeparator string
	ProxyProtocol bool
	// MaxConnections is the most of this listener alone; 0: no limit of its own.
	MaxConnections int
}

func dialects() []string { return []string{"activemq", "rabbitmq", "artemis", "apollo"} }

// Listeners are the entries of stomp.listen, with what section [stomp] says where they leave it open.
func (c *Config) Listeners() []Listener {
	all := make([]Listener, 0, len(c.Stomp.Listen))
	for _, s := range c.Stomp.Listen {
		l := Listener{Dialect: c.Stomp.Dialect, WebSocket: c.Stomp.WebSocket.Enabled, PathSeparator: c.Stomp.PathSeparatorAlias}
		if l.parse(s) == nil { // checked when the configuration was read
			all = append(all, l)
		}
	}
	return all
}

func checkListener(s string) error { return new(Listener).parse(s) }

// parse sets what an entry says.
func (l *Listener) parse(s string) error {
	address, query, _ := strings.Cut(s, "?")
	if err := checkAddress(address); err != nil {
		return err
	}
	l.Address = address
	options, err := url.ParseQuery(query)
	if err != nil {
		return fmt.Errorf("the options of %q cannot be read: write host:port?option=value&option=value", s)
	}
	for name, values := range options {
		if err := l.set(name, values[len(values)-1]); err != nil {
			return fmt.Errorf("%q: %w", s, err)
		}
	}
	return nil
}

func (l *Listener) set(name, value string) (err error) {
	switch name {
	case "dialect":
		if l.Dialect = value; !slices.Contains(dialects(), value) {
			return fmt.Errorf("the dialect is one of %s, not %q", strings.Join(dialects(), ", "), value)
		}
	case "webSocket":
		l.WebSocket, err = parseBool(value)
	case "pathSeparatorAlias":
		l.PathSeparator, err = value, checkSeparator(value)
	case "proxyProtocol":
		l.ProxyProtocol, err = parseBool(value)
	case "maxConnections":
		if l.MaxConnections, err = strconv.Atoi(value); err != nil || l.MaxConnections < 0 || l.MaxConnections > most {
			return fmt.Errorf("maxConnections is a number of connections, not %q", value)
		}
	default:
		return fmt.Errorf("a listener has no option %q: it has dialect, webSocket, pathSeparatorAlias, proxyProtocol and maxConnections", name)
	}
	return err
}

func checkSeparator(s string) error {
	if len(s) != 1 || strings.ContainsAny(s, ".,*>#?") || s[0] <= ' ' || s[0] >= 0x7f {
		return errors.New("it is one visible ASCII character that has no meaning of its own, for example /")
	}
	return nil
}

// checkOriginPattern checks an entry of stomp.webSocket.origins.
func checkOriginPattern(s string) error {
	if s == "*" || s == "null" {
		return nil
	}
	if strings.ContainsAny(s, `[]?\`) {
		return fmt.Errorf("%q is not an origin: besides letters it may have * for any part of the host", s)
	}
	if err := checkOrigin(strings.ReplaceAll(s, "*", "x")); err != nil {
		return fmt.Errorf("%q is not an origin: write for example https://shop.example.com, https://*.example.com, or * for all", s)
	}
	return nil
}
