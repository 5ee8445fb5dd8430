package failover

import (
	"errors"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Policy holds the options of a failover address, with ActiveMQ's names and
// defaults. Times are given in milliseconds.
type Policy struct {
	// Randomize (randomize, true) shuffles the brokers before each round.
	Randomize bool
	// InitialReconnectDelay (initialReconnectDelay, 10) is the wait after a
	// loss and, at the start, after the first round without success.
	InitialReconnectDelay time.Duration
	// MaxReconnectDelay (maxReconnectDelay, 30000) caps the wait.
	MaxReconnectDelay time.Duration
	// UseExponentialBackOff (useExponentialBackOff, true): the wait grows by
	// ReconnectDelayExponent after each round without success.
	UseExponentialBackOff bool
	// ReconnectDelayExponent (reconnectDelayExponent, 2.0) is at least 1.
	ReconnectDelayExponent float64
	// MaxReconnectAttempts (maxReconnectAttempts, -1) is the number of rounds
	// over all brokers before giving up; -1 for ever, 0 one round at the start
	// and no reconnect.
	MaxReconnectAttempts int
	// StartupMaxReconnectAttempts (startupMaxReconnectAttempts, -1) replaces it
	// for the first connection; -1 means as MaxReconnectAttempts.
	StartupMaxReconnectAttempts int
	// WarnAfterReconnectAttempts (warnAfterReconnectAttempts, 10): a warning is
	// logged each time that many rounds failed; 0 or less never.
	WarnAfterReconnectAttempts int
	// Timeout (timeout, -1) bounds how long a message waits without a
	// connection before its Send fails with ErrTimeout; negative for ever.
	Timeout time.Duration
	// Backup (backup, false) keeps a second, idle connection to another broker
	// that takes over at once. Not possible with a client id, which a broker
	// allows only once.
	Backup bool
	// PriorityBackup (priorityBackup, false) prefers the brokers of
	// PriorityURIs, or the first of the list, and goes back to them when they
	// can be reached again.
	PriorityBackup bool
	// PriorityURIs (priorityURIs, empty) are the preferred brokers.
	PriorityURIs []Address
	// TrackMessages (trackMessages, false): messages sent with [NoReceipt] are
	// confirmed and resent like all others, though nobody waits for them.
	TrackMessages bool
	// UpdateURIsSupported (updateURIsSupported, true): brokers that CONNECTED
	// names in x-cluster join the list.
	UpdateURIsSupported bool
}

func defaultPolicy() Policy {
	return Policy{
		Randomize:                   true,
		InitialReconnectDelay:       10 * time.Millisecond,
		MaxReconnectDelay:           30 * time.Second,
		UseExponentialBackOff:       true,
		ReconnectDelayExponent:      2,
		MaxReconnectAttempts:        -1,
		StartupMaxReconnectAttempts: -1,
		WarnAfterReconnectAttempts:  10,
		Timeout:                     -1,
		UpdateURIsSupported:         true,
	}
}

// option is one name=value of a query.
type option struct{ name, value string }

// setter stores the value of one option.
type setter func(value string) error

// unsupported are ActiveMQ's names that have no meaning here, with the reason.
func unsupported(name string) string {
	switch name {
	case "maxCacheSize":
		return "unconfirmed messages are bounded by the program's window instead"
	case "trackTransactionProducers":
		return "STOMP has no producers to track"
	case "backupPoolSize":
		return "backup=true keeps exactly one connection"
	case "rebalanceUpdateURIs", "updateURIsURL":
		return "brokers are learned from CONNECTED only"
	case "soTimeout", "socketBufferSize", "trace":
		return "sockets are managed by the client"
	}
	return ""
}

func (p *Policy) setters() map[string]setter {
	return map[string]setter{
		"randomize":                   setBool(&p.Randomize),
		"initialReconnectDelay":       setMillis(&p.InitialReconnectDelay, false),
		"maxReconnectDelay":           setMillis(&p.MaxReconnectDelay, false),
		"useExponentialBackOff":       setBool(&p.UseExponentialBackOff),
		"reconnectDelayExponent":      setExponent(&p.ReconnectDelayExponent),
		"maxReconnectAttempts":        setCount(&p.MaxReconnectAttempts),
		"startupMaxReconnectAttempts": setCount(&p.StartupMaxReconnectAttempts),
		"warnAfterReconnectAttempts":  setCount(&p.WarnAfterReconnectAttempts),
		"timeout":                     setMillis(&p.Timeout, true),
		"backup":                      setBool(&p.Backup),
		"priorityBackup":              setBool(&p.PriorityBackup),
		"priorityURIs":                setAddresses(&p.PriorityURIs),
		"trackMessages":               setBool(&p.TrackMessages),
		"updateURIsSupported":         setBool(&p.UpdateURIsSupported),
	}
}

// set applies the options of a failover query and returns those with the
// prefix nested., without it, for the addresses.
func (p *Policy) set(options []option) (nested []option, err error) {
	var own []option
	for _, o := range options {
		if name, ok := strings.CutPrefix(o.name, "nested."); ok {
			nested = append(nested, option{name, o.value})
			continue
		}
		own = append(own, o)
	}
	if err := apply(own, "", p.setters()); err != nil {
		return nil, err
	}
	return nested, nil
}

func (a *Address) setOptions(options []option, prefix string) error {
	err := apply(options, prefix, map[string]setter{
		"connectionTimeout":  setMillis(&a.ConnectionTimeout, false),
		"tcpNoDelay":         setBool(&a.TCPNoDelay),
		"keepAlive":          setBool(&a.KeepAlive),
		"insecureSkipVerify": setBool(&a.InsecureSkipVerify),
	})
	if err != nil {
		return err
	}
	if a.ConnectionTimeout <= 0 {
		return fmt.Errorf("option %sconnectionTimeout must be at least 1 ms", prefix)
	}
	if a.InsecureSkipVerify && !a.TLS {
		return fmt.Errorf("option %sinsecureSkipVerify needs a TLS scheme such as stomp+ssl", prefix)
	}
	return nil
}

func apply(options []option, prefix string, setters map[string]setter) error {
	for _, o := range options {
		set, known := setters[o.name]
		if !known {
			return unknownOption(prefix, o.name, setters)
		}
		if err := set(o.value); err != nil {
			return fmt.Errorf("option %s%s=%s: %w", prefix, o.name, o.value, err)
		}
	}
	return nil
}

func unknownOption(prefix, name string, setters map[string]setter) error {
	if reason := unsupported(name); reason != "" {
		return fmt.Errorf("option %s%s is not supported: %s; remove it", prefix, name, reason)
	}
	names := make([]string, 0, len(setters))
	for n := range setters {
		names = append(names, n)
	}
	slices.Sort(names)
	if best := nearest(name, names); best != "" {
		return fmt.Errorf("option %q is not known; did you mean %s%s?", prefix+name, prefix, best)
	}
	return fmt.Errorf("option %q is not known; known are %s%s", prefix+name, prefix, strings.Join(names, ", "+prefix))
}

// parseQuery splits a=b&c=d. A plus sign stays one, unlike in forms, because
// it is part of stomp+ssl.
func parseQuery(query string) ([]option, error) {
	if query == "" {
		return nil, nil
	}
	var options []option
	for part := range strings.SplitSeq(query, "&") {
		name, raw, ok := strings.Cut(part, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("option %q: write name=value", part)
		}
		value, err := url.PathUnescape(raw)
		if err != nil {
			return nil, fmt.Errorf("option %s: %w", name, err)
		}
		if slices.ContainsFunc(options, func(o option) bool { return o.name == name }) {
			return nil, fmt.Errorf("option %s is given twice", name)
		}
		options = append(options, option{name, value})
	}
	return options, nil
}

func setBool(target *bool) setter {
	return func(value string) error {
		switch strings.ToLower(value) {
		case "true":
			*target = true
		case "false":
			*target = false
		default:
			return errors.New("must be true or false")
		}
		return nil
	}
}

// setMillis stores milliseconds; -1 and other negative numbers only where
// they mean "none".
func setMillis(target *time.Duration, negative bool) setter {
	const most = math.MaxInt64 / int64(time.Millisecond)
	return func(value string) error {
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil || n > most || n < -most || n < 0 && !negative {
			return errors.New("must be a number of milliseconds")
		}
		*target = max(time.Duration(n)*time.Millisecond, -1)
		return nil
	}
}

func setCount(target *int) setter {
	return func(value string) error {
		n, err := strconv.ParseInt(value, 10, 32)
		if err != nil {
			return errors.New("must be a whole number, -1 for no limit")
		}
		*target = int(max(n, -1))
		return nil
	}
}

func setExponent(target *float64) setter {
	return func(value string) error {
		x, err := strconv.ParseFloat(value, 64)
		if err != nil || !(x >= 1 && x <= 1000) {
			return errors.New("must be a number from 1 to 1000")
		}
		*target = x
		return nil
	}
}

func setAddresses(target *[]Address) setter {
	return func(value string) error {
		parts := strings.Split(value, ",")
		if len(parts) > maxAddresses {
			return fmt.Errorf("more than %d brokers", maxAddresses)
		}
		for _, part := range parts {
			a, err := parseAddress(strings.TrimSpace(part), nil)
			if err != nil {
				return err
			}
			*target = append(*target, a)
		}
		return nil
	}
}

// nearest returns the known name that is closest to a mistyped one, empty when
// none is close. The names are short, so the full edit distance is cheap.
func nearest(name string, known []string) string {
	const longest = 64
	if len(name) > longest {
		return ""
	}
	best, least := "", len(name)/3+2
	for _, k := range known {
		if d := editDistance(strings.ToLower(name), strings.ToLower(k)); d < least {
			best, least = k, d
		}
	}
	return best
}

func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := diagonal
			if a[i-1] != b[j-1] {
				cost++
			}
			diagonal = row[j]
			row[j] = min(cost, row[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}
