package failover

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// at is an address with the default options.
func at(host string, port int, change ...func(*Address)) Address {
	a := Address{Host: host, Port: port, ConnectionTimeout: defaultConnectTimeout, TCPNoDelay: true, KeepAlive: true}
	for _, c := range change {
		c(&a)
	}
	return a
}

func withTLS(a *Address) { a.TLS = true }

func TestParsePlainAddress(t *testing.T) {
	for text, want := range map[string]Address{
		"localhost:61613":          at("localhost", 61613),
		"localhost":                at("localhost", 61613),
		" tcp://a:1 ":              at("a", 1),
		"stomp://a":                at("a", 61613),
		"STOMP://a/":               at("a", 61613),
		"stomp+ssl://a":            at("a", 61614, withTLS),
		"ssl://a:7":                at("a", 7, withTLS),
		"tls://a:7":                at("a", 7, withTLS),
		"[::1]:61613":              at("::1", 61613),
		"tcp://[fe80::1%25eth0]:9": at("fe80::1%eth0", 9),
		"tcp://joe:s%40c%3Aret@a:1": at("a", 1, func(a *Address) {
			a.Login, a.Passcode = "joe", "s@c:ret"
		}),
		"tcp://a:1?connectionTimeout=250&tcpNoDelay=false&keepAlive=false": at("a", 1, func(a *Address) {
			a.ConnectionTimeout, a.TCPNoDelay, a.KeepAlive = 250*time.Millisecond, false, false
		}),
		"ssl://a?insecureSkipVerify=true": at("a", 61614, withTLS, func(a *Address) { a.InsecureSkipVerify = true }),
	} {
		u, err := ParseURL(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		want := &URL{Addresses: []Address{want}, Policy: defaultPolicy()}
		if d := cmp.Diff(want, u); d != "" {
			t.Errorf("%s: (-want +got)\n%s", text, d)
		}
	}
}

func TestParseFailoverAddress(t *testing.T) {
	ab := []Address{at("a", 61613), at("b", 61613)}
	policy := func(change func(*Policy)) Policy {
		p := defaultPolicy()
		change(&p)
		return p
	}
	same := policy(func(*Policy) {})
	for text, want := range map[string]URL{
		"failover:(tcp://a:61613,tcp://b:61613)":   {ab, true, same},
		"failover://(tcp://a:61613,tcp://b:61613)": {ab, true, same},
		"FailOver:(a , stomp://b)":                 {ab, true, same},
		"failover:tcp://a,tcp://b?randomize=false": {ab, true, policy(func(p *Policy) { p.Randomize = false })},
		"failover:(tcp://a)?randomize=TRUE":        {ab[:1], true, same},
		"failover:(a,b)?timeout=-1":                {ab, true, same},
		"failover:(a,b)?timeout=3000":              {ab, true, policy(func(p *Policy) { p.Timeout = 3 * time.Second })},
		"failover:(a,b)?maxReconnectAttempts=-7":   {ab, true, same},
		"failover:(a,ssl://b:9)?priorityURIs=ssl://b:9": {[]Address{at("a", 61613), at("b", 9, withTLS)}, true,
			policy(func(p *Policy) { p.PriorityURIs = []Address{at("b", 9, withTLS)} })},
		"failover:(a,stomp%2Bssl://b)?x=1": {},
		"failover:(stomp+ssl://b:9)?priorityURIs=stomp+ssl://b:9": {[]Address{at("b", 9, withTLS)}, true,
			policy(func(p *Policy) { p.PriorityURIs = []Address{at("b", 9, withTLS)} })},
		"failover:(tcp://a?connectionTimeout=1,b)?nested.connectionTimeout=2": {[]Address{
			at("a", 61613, func(a *Address) { a.ConnectionTimeout = time.Millisecond }),
			at("b", 61613, func(a *Address) { a.ConnectionTimeout = 2 * time.Millisecond }),
		}, true, same},
		"failover:(a,b)?initialReconnectDelay=1000&maxReconnectDelay=5000&useExponentialBackOff=false&reconnectDelayExponent=1.5" +
			"&maxReconnectAttempts=4&startupMaxReconnectAttempts=5&warnAfterReconnectAttempts=6&backup=true&priorityBackup=true" +
			"&trackMessages=true&updateURIsSupported=false": {ab, true, policy(func(p *Policy) {
			p.InitialReconnectDelay, p.MaxReconnectDelay = time.Second, 5*time.Second
			p.UseExponentialBackOff, p.ReconnectDelayExponent = false, 1.5
			p.MaxReconnectAttempts, p.StartupMaxReconnectAttempts, p.WarnAfterReconnectAttempts = 4, 5, 6
			p.Backup, p.PriorityBackup, p.TrackMessages, p.UpdateURIsSupported = true, true, true, false
		})},
	} {
		u, err := ParseURL(text)
		if want.Addresses == nil {
			if err == nil {
				t.Errorf("%s: no error", text)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if d := cmp.Diff(&want, u); d != "" {
			t.Errorf("%s: (-want +got)\n%s", text, d)
		}
	}
}

func TestParseURLRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                                           "empty",
		"http://a:1":                                 `scheme "http"`,
		"tcp://:61613":                               "host name is missing",
		"tcp://a:0":                                  "from 1 to 65535",
		"tcp://a:65536":                              "from 1 to 65535",
		"tcp://a:1/queue":                            "nothing but options",
		"tcp://a:1#x":                                "nothing but options",
		"tcp://a?tcpNodelay=true":                    "did you mean tcpNoDelay?",
		"tcp://a?connectionTimeout=0":                "at least 1 ms",
		"tcp://a?insecureSkipVerify=true":            "needs a TLS scheme",
		"tcp://a?soTimeout=1":                        "not supported",
		"tcp://a%0A:1":                               "broker address",
		"tcp://u:p%0Ahost:x@a":                       "line ends",
		"failover:":                                  "empty",
		"failover:()":                                "empty",
		"failover:(a,)":                              "empty",
		"failover:(a,b":                              "closing parenthesis",
		"failover:(a)x=1":                            "options start with ?",
		"failover:(failover:(a))":                    "broker address",
		"failover:(a)?randomise=false":               "did you mean randomize?",
		"failover:(a)?maxReconectAttempts=1":         "did you mean maxReconnectAttempts?",
		"failover:(a)?zzz=1":                         "known are backup,",
		"failover:(a)?nested.keepalive=true":         "did you mean nested.keepAlive?",
		"failover:(a)?maxCacheSize=1":                "not supported",
		"failover:(a)?randomize":                     "name=value",
		"failover:(a)?randomize=1":                   "true or false",
		"failover:(a)?randomize=true&randomize=true": "given twice",
		"failover:(a)?timeout=soon":                  "milliseconds",
		"failover:(a)?initialReconnectDelay=-1":      "milliseconds",
		"failover:(a)?timeout=9223372036854775807":   "milliseconds",
		"failover:(a)?reconnectDelayExponent=0.5":    "from 1 to 1000",
		"failover:(a)?reconnectDelayExponent=NaN":    "from 1 to 1000",
		"failover:(a)?maxReconnectAttempts=many":     "whole number",
		"failover:(a)?priorityURIs=tcp://c":          "not in the list",
		"failover:(a)?timeout=%zz":                   "invalid URL escape",
		"failover:(" + strings.Repeat("a,", maxAddresses) + "a)": "more than the 64",
		strings.Repeat("a", maxURLLength+1):                      "more than the",
	} {
		_, err := ParseURL(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80s: error %v, want one with %q", text, err, want)
		}
	}
}

func TestAddressesInErrorsAndLogsHoldNoPasscode(t *testing.T) {
	for _, text := range []string{"tcp://joe:hush@a:x", "tcp://joe:hush@a:0", "tcp://joe:hush@a?zz=1", "joe:hush@[a", "tcp://joe:hush%@a"} {
		if _, err := ParseURL(text); err == nil || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v", text, err)
		}
	}
	u := mustParse(t, "failover:(tcp://joe:hush@a:1,ssl://joe:hush@[::1]:2)?timeout=1")
	if got, want := u.String(), "failover:(tcp://a:1,stomp+ssl://[::1]:2)"; got != want {
		t.Errorf("String %s, want %s", got, want)
	}
	if got := mustParse(t, "joe:hush@a:1").String(); got != "tcp://a:1" {
		t.Errorf("String %s", got)
	}
}

func TestMissingCredentialsInBareAddress(t *testing.T) {
	u := mustParse(t, "joe:hush@a:1")
	if a := u.Addresses[0]; a.Login != "joe" || a.Passcode != "hush" || a.Host != "a" {
		t.Errorf("%+v", a)
	}
}

// spell writes a URL so that ParseURL gives it back.
func spell(u *URL) string {
	var list []string
	for _, a := range u.Addresses {
		list = append(list, spellAddress(a))
	}
	if !u.Failover {
		return list[0]
	}
	p := u.Policy
	text := fmt.Sprintf("failover:(%s)?randomize=%t&initialReconnectDelay=%d&maxReconnectDelay=%d&useExponentialBackOff=%t&reconnectDelayExponent=%v"+
		"&maxReconnectAttempts=%d&startupMaxReconnectAttempts=%d&warnAfterReconnectAttempts=%d&timeout=%d&backup=%t&priorityBackup=%t&trackMessages=%t&updateURIsSupported=%t",
		strings.Join(list, ","), p.Randomize, p.InitialReconnectDelay.Milliseconds(), p.MaxReconnectDelay.Milliseconds(), p.UseExponentialBackOff, p.ReconnectDelayExponent,
		p.MaxReconnectAttempts, p.StartupMaxReconnectAttempts, p.WarnAfterReconnectAttempts, max(p.Timeout.Milliseconds(), -1), p.Backup, p.PriorityBackup, p.TrackMessages, p.UpdateURIsSupported)
	if p.Timeout < 0 {
		text = strings.Replace(text, "&timeout=0", "&timeout=-1", 1)
	}
	for i, a := range p.PriorityURIs {
		sep := ","
		if i == 0 {
			sep = "&priorityURIs="
		}
		text += sep + url.QueryEscape(spellAddress(a))
	}
	return text
}

func spellAddress(a Address) string {
	u := url.URL{Scheme: "tcp", Host: strings.ReplaceAll(a.HostPort(), "%", "%25")}
	if a.TLS {
		u.Scheme = "stomp+ssl"
	}
	if strings.Contains(a.Host, ":") {
		u.Host = a.HostPort() // net/url escapes the zone itself
	}
	if a.Login != "" || a.Passcode != "" {
		u.User = url.UserPassword(a.Login, a.Passcode)
	}
	u.RawQuery = fmt.Sprintf("connectionTimeout=%d&tcpNoDelay=%t&keepAlive=%t&insecureSkipVerify=%t",
		a.ConnectionTimeout.Milliseconds(), a.TCPNoDelay, a.KeepAlive, a.InsecureSkipVerify)
	return u.String()
}

func FuzzParseURL(f *testing.F) {
	for _, s := range []string{
		"localhost:61613", "stomp+ssl://joe:s%40c@[fe80::1%25eth0]:7?insecureSkipVerify=true", "failover:(tcp://a:1,ssl://b)?timeout=5&nested.keepAlive=false",
		"failover://tcp://a,tcp://b?priorityBackup=true&priorityURIs=tcp://a", "failover:(a)?reconnectDelayExponent=1.25", "failover:((a))", "tcp://a:1?x",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u, err := ParseURL(text)
		if err != nil {
			return
		}
		for _, a := range u.Addresses {
			if strings.ContainsAny(a.Login+a.Passcode+a.Host, "\r\n\x00") || strings.ContainsAny(a.Host, " ,()") {
				t.Fatalf("%q: %+v", text, a)
			}
			if strings.ContainsAny(a.Login+a.Passcode, ",()?&") {
				return // spell does not escape these
			}
		}
		again, err := ParseURL(spell(u))
		if err != nil {
			t.Fatalf("%q parsed, spelled %q did not: %v", text, spell(u), err)
		}
		if d := cmp.Diff(u, again); d != "" {
			t.Fatalf("%q spelled %q: %s", text, spell(u), d)
		}
	})
}
