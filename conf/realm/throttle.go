package realm

import (
	"hash/maphash"
	"math"
	"net/netip"
	"sync"
	"time"
)

// Throttle slows down logins that keep failing. Failures are counted for each
// address (for IPv6 each /64 network), for each user, and for each pair of them;
// one of each is forgiven every minute. After a few free ones every further
// failure doubles the delay. The delay stays short enough for a client that has
// the right password to get in, so nobody can lock anybody out; delays for a user
// are shorter still, as they hit the user's own clients at other addresses too.
//
// A login that succeeds forgives what this user got wrong from this address, and
// no more: an attacker's own account does not help to guess another one.
//
// Its methods may be called by many goroutines. It keeps at most maxTracked
// entries of each sort and forgets the least guilty of a sample when it is full.
type Throttle struct {
	seed maphash.Seed

	mu        sync.Mutex // guards the ledgers
	addresses ledger
	users     ledger
	pairs     ledger
}

const (
	maxTracked     = 8192        // entries in each ledger
	forgiveEvery   = time.Minute // one failure
	freeFailures   = 5           // before the first delay of an address
	freeForUser    = 20          // before the first delay of a user
	firstDelay     = 250 * time.Millisecond
	maxDelay       = 5 * time.Second // of an address; below the time a client has to connect
	maxDelayOfUser = 1 * time.Second
	maxFailures    = 64 // counted, so that forgiving takes an hour at most
)

// NewThrottle makes a Throttle that knows of no failures.
func NewThrottle() *Throttle {
	return &Throttle{seed: maphash.MakeSeed(), addresses: ledger{}, users: ledger{}, pairs: ledger{}}
}

// Delay is how long a login should be held back now. address is an IP address
// with or without a port; user may be empty while it is not known.
func (t *Throttle) Delay(address, user string) time.Duration {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	d := delay(t.addresses.count(t.key(network(address)), now), freeFailures, maxDelay)
	if user == "" {
		return d
	}
	return max(d, delay(t.users.count(t.key(user), now), freeForUser, maxDelayOfUser))
}

// Fail counts a failed login.
func (t *Throttle) Fail(address, user string) {
	now, from := time.Now(), network(address)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.addresses.add(t.key(from), 1, now)
	t.users.add(t.key(user), 1, now)
	t.pairs.add(t.key(from, user), 1, now)
}

// OK counts a login that succeeded.
func (t *Throttle) OK(address, user string) {
	now, from := time.Now(), network(address)
	t.mu.Lock()
	defer t.mu.Unlock()
	pair := t.key(from, user)
	if failures := t.pairs.count(pair, now); failures > 0 {
		t.addresses.add(t.key(from), -failures, now)
		t.users.add(t.key(user), -failures, now)
		delete(t.pairs, pair)
	}
}

// key keeps memory bounded whatever the length of names; two names that share a
// key share their failures, which the secret seed keeps from being provoked.
func (t *Throttle) key(parts ...string) uint64 {
	var h maphash.Hash
	h.SetSeed(t.seed)
	for _, part := range parts {
		h.WriteString(part)
		h.WriteByte(0)
	}
	return h.Sum64()
}

// network is the address, or the /64 that an IPv6 address is in, as anybody has
// all of those.
func network(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		withPort, err := netip.ParseAddrPort(address)
		if err != nil {
			return address
		}
		ip = withPort.Addr()
	}
	ip = ip.Unmap().WithZone("")
	if ip.Is4() {
		return ip.String()
	}
	prefix, err := ip.Prefix(64)
	if err != nil {
		return ip.String()
	}
	return prefix.String()
}

func delay(failures float64, free int, limit time.Duration) time.Duration {
	over := math.Ceil(failures) - float64(free)
	if over < 0 {
		return 0
	}
	return time.Duration(min(float64(firstDelay)*math.Exp2(over), float64(limit)))
}

// ledger counts failures that are forgiven with time.
type ledger map[uint64]account

type account struct {
	failures float64
	at       time.Time // when failures was right
}

func (a account) now(now time.Time) float64 {
	return max(0, a.failures-now.Sub(a.at).Minutes()/forgiveEvery.Minutes())
}

func (l ledger) count(key uint64, now time.Time) float64 { return l[key].now(now) }

func (l ledger) add(key uint64, failures float64, now time.Time) {
	total := min(l.count(key, now)+failures, maxFailures)
	if total <= 0 {
		delete(l, key)
		return
	}
	if _, known := l[key]; !known && len(l) >= maxTracked {
		l.forget(now)
	}
	l[key] = account{total, now}
}

// forget drops the account with the fewest failures of a random few.
func (l ledger) forget(now time.Time) {
	const sample = 8
	var least uint64
	fewest, seen := math.Inf(1), 0
	for key, a := range l {
		if n := a.now(now); n < fewest {
			least, fewest = key, n
		}
		if seen++; seen == sample {
			break
		}
	}
	delete(l, least)
}
