package failover

import (
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
)

// pool is the list of brokers: those given, then those learned.
type pool struct {
	given    []Address
	priority []Address // preferred ones, empty without priorityBackup
	shuffle  func([]Address)

	mu      sync.Mutex // guards what follows
	learned []Address
	failed  Address // the broker lost or left last, tried last
}

func newPool(u *URL, p Policy, shuffle func([]Address)) *pool {
	l := &pool{given: u.Addresses, shuffle: shuffle}
	if p.PriorityBackup {
		l.priority = p.PriorityURIs
		if len(l.priority) == 0 {
			l.priority = u.Addresses[:1]
		}
	}
	switch {
	case !p.Randomize:
		l.shuffle = func([]Address) {}
	case l.shuffle == nil:
		l.shuffle = func(a []Address) {
			rand.Shuffle(len(a), func(i, j int) { a[i], a[j] = a[j], a[i] })
		}
	}
	return l
}

// order returns the brokers for one round: shuffled if so wanted, the one that
// failed last at the end, preferred ones first of all.
func (l *pool) order() []Address {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := append(append(make([]Address, 0, len(l.given)+len(l.learned)), l.given...), l.learned...)
	l.shuffle(all)
	var first, middle, last []Address
	for _, a := range all {
		switch {
		case l.isPriority(a):
			first = append(first, a)
		case a.same(l.failed):
			last = append(last, a)
		default:
			middle = append(middle, a)
		}
	}
	return append(append(first, middle...), last...)
}

func (l *pool) isPriority(a Address) bool { return containsAddress(l.priority, a) }

// lost remembers the broker to try last.
func (l *pool) lost(a Address) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed = a
}

// learn replaces the learned brokers by CONNECTED's x-cluster, a list of
// host/port; options, login and TLS are those of the broker that sent it.
// What is not well-formed is left out.
func (l *pool) learn(cluster string, from Address) {
	if cluster == "" {
		return
	}
	var learned []Address
	for entry := range strings.SplitSeq(cluster, ",") {
		host, text, ok := strings.Cut(strings.TrimSpace(entry), "/")
		port, err := strconv.ParseUint(text, 10, 16)
		if !ok || err != nil || port == 0 || !validHost(host) {
			continue
		}
		a := from
		a.Host, a.Port = host, int(port)
		if containsAddress(l.given, a) || containsAddress(learned, a) {
			continue
		}
		if len(l.given)+len(learned) >= maxAddresses {
			break
		}
		learned = append(learned, a)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.learned = learned
}

// validHost accepts what a broker may name: an IP address or a host name.
func validHost(host string) bool {
	const longest = 253 // RFC 1035, in text form
	if host == "" || len(host) > longest {
		return false
	}
	if net.ParseIP(host) != nil {
		return true
	}
	return strings.Trim(strings.ToLower(host), "abcdefghijklmnopqrstuvwxyz0123456789-._") == ""
}
