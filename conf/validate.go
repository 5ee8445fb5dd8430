package conf

import (
	"fmt"
	"net"
	"slices"
)

// Validate checks what no single key shows. The error is an [*Error] with every
// problem, each naming the keys and where their values came from.
func (c *Config) Validate() error {
	v := validator{config: c}
	v.listeners()
	v.limits()
	v.tls()
	v.console()
	v.forwards()
	v.replicated()
	return asError(v.problems)
}

// AnonymousAllowed reports whether STOMP clients may connect without a login:
// always or never when configured so, else only while every STOMP listener is
// bound to loopback.
func (c *Config) AnonymousAllowed() bool {
	switch c.Anonymous {
	case Yes:
		return true
	case No:
		return false
	}
	return !slices.ContainsFunc(c.Stomp.Listen, func(address string) bool { return !Loopback(address) })
}

type validator struct {
	config   *Config
	problems []Problem
}

// fail notes a problem and names where the key got its value.
func (v *validator) fail(key, format string, args ...any) {
	where := ""
	if from := v.config.Origin(key); from.Kind != FromDefault {
		where = from.String()
	}
	v.problems = append(v.problems, Problem{where, key + ": " + fmt.Sprintf(format, args...)})
}

func (v *validator) listeners() {
	s := v.config.Stomp
	if len(s.Listen) == 0 {
		v.fail("stomp.listen", "there is no address to listen on: name at least one, for example 127.0.0.1:61613")
	}
	seen := map[string]bool{}
	for _, l := range v.config.Listeners() {
		address := l.Address
		if seen[address] && !anyPort(address) {
			v.fail("stomp.listen", "%s is there twice", address)
		}
		seen[address] = true
	}
	if console := v.config.Console.Listen; seen[console] && !anyPort(console) {
		v.fail("console.listen", "%s is a STOMP listener already: the console needs a port of its own", console)
	}
}

func anyPort(address string) bool {
	_, port, err := net.SplitHostPort(address)
	return err == nil && port == "0"
}

func (v *validator) limits() {
	s, c := v.config.Stomp, v.config
	if s.HeartBeatMin > s.HeartBeatMax {
		v.fail("stomp.heartBeatMin", "%s is longer than stomp.heartBeatMax, %s", FormatDuration(s.HeartBeatMin), FormatDuration(s.HeartBeatMax))
	}
	if s.UnfinishedLimit < s.MaxBody {
		v.fail("stomp.unfinishedLimit", "%s is less than stomp.maxBody, %s: a largest message could never arrive", s.UnfinishedLimit, s.MaxBody)
	}
	if c.Log.MaxAge%day != 0 {
		v.fail("log.maxAge", "%s is not a number of whole days: write for example 7d", FormatDuration(c.Log.MaxAge))
	}
	if c.Memory.QueueWindow > c.Memory.Limit {
		v.fail("memory.queueWindow", "%s for one queue is more than memory.limit, %s for all", c.Memory.QueueWindow, c.Memory.Limit)
	}
}

func (v *validator) tls() {
	t := v.config.Stomp.TLS
	if (t.Cert == "") != (t.Key == "") {
		v.fail("stomp.tls.cert", "certificate and key belong together: set both stomp.tls.cert and stomp.tls.key, or none")
	}
	if t.ClientAuth != "none" && t.ClientCA == "" {
		v.fail("stomp.tls.clientAuth", "%q needs stomp.tls.clientCA to check client certificates against", t.ClientAuth)
	}
	if t.CertUser != "none" && t.ClientAuth == "none" {
		v.fail("stomp.tls.certUser", `%q needs stomp.tls.clientAuth = "want" or "need", else no certificate is asked for`, t.CertUser)
	}
	if t.CertOnly && t.CertUser == "none" {
		v.fail("stomp.tls.certOnly", `it needs stomp.tls.certUser, else no certificate names a user and nobody could connect`)
	}
	if t.CertUsers != "" && t.CertUser != "dn" {
		v.fail("stomp.tls.certUsers", `the file is of distinguished names: set stomp.tls.certUser = "dn"`)
	}
	if t.Cert == "" && (t.Required || t.ClientAuth != "none") {
		v.fail("stomp.tls.required", "TLS is asked for but there is no certificate: set stomp.tls.cert and stomp.tls.key")
	}
}

func (v *validator) console() {
	c := v.config.Console
	if (c.TLS.Cert == "") != (c.TLS.Key == "") {
		v.fail("console.tls.cert", "certificate and key belong together: set both console.tls.cert and console.tls.key, or none")
	}
	if c.SessionIdle > c.SessionMax {
		v.fail("console.sessionIdle", "%s is longer than console.sessionMax, %s", FormatDuration(c.SessionIdle), FormatDuration(c.SessionMax))
	}
}
