package conf

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Checks of single values. Each says what is wrong and what would be right.

func anything(string) error { return nil }

func notEmpty(s string) error {
	if strings.TrimSpace(s) == "" {
		return errors.New("it may not be empty")
	}
	return nil
}

func optional(check func(string) error) func(string) error {
	return func(s string) error {
		if s == "" {
			return nil
		}
		return check(s)
	}
}

const maxBrokerName = 64

func checkBrokerName(s string) error {
	if s == "" || len(s) > maxBrokerName {
		return fmt.Errorf("a broker name has 1 to %d characters", maxBrokerName)
	}
	for _, r := range s {
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", r) {
			return fmt.Errorf("%q has %q in it: a broker name has letters, digits, dot, dash and underscore only", s, r)
		}
	}
	return nil
}

const maxServerHeader = 256

// checkServerHeader keeps out what CONNECTED cannot carry, as it is never
// escaped (STOMP 1.2, Value Encoding).
func checkServerHeader(s string) error {
	if len(s) > maxServerHeader {
		return fmt.Errorf("the server header has at most %d bytes", maxServerHeader)
	}
	for _, r := range s {
		if r < ' ' || r == 0x7f || r == ':' || r == '\\' {
			return fmt.Errorf("%q has %q in it: the server header has no colon, backslash or control character", s, r)
		}
	}
	return nil
}

func checkAddress(s string) error {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return fmt.Errorf("%q is not an address: write host:port, for example 127.0.0.1:61613 or [::1]:61613", s)
	}
	if n, err := strconv.ParseUint(port, 10, 32); err != nil || n > maxPort {
		return fmt.Errorf("%q has no port number from 0 to %d", s, maxPort)
	}
	if strings.ContainsAny(host, " /@\\") {
		return fmt.Errorf("%q has no valid host: write a name or an IP address without scheme or path", s)
	}
	return nil
}

func checkPathPrefix(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Path != s || !strings.HasPrefix(s, "/") || strings.HasSuffix(s, "/") || strings.Contains(s, "//") {
		return fmt.Errorf("%q is not a path prefix: write it with a slash in front and none at the end, for example /treadmq", s)
	}
	return nil
}

func checkOrigin(s string) error {
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.Scheme+"://"+u.Host != s {
		return fmt.Errorf("%q is not an origin: write scheme and host, and the port if it is unusual, for example https://ops.example.com:8443", s)
	}
	return nil
}

// Loopback reports whether address (host:port) can only be reached from this
// machine: a loopback IP address or the name localhost. Other names are not
// looked up and count as reachable from elsewhere.
func Loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
