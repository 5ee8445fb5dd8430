// Package load puts a STOMP broker under load and checks what it does with it: nothing
// confirmed may be lost, nothing may come twice, and each producer's messages come in
// order.
//
// Every message carries a stamp at the start of its body: the run, the stream (one
// producer to one destination), its number within the stream and when it was sent.
// Receivers can therefore check each message by itself, however many of them share a
// queue. Sequence numbers are kept as bits, so that a run of ten million messages
// costs a few megabytes.
//
// The package has a small codec of its own rather than the broker's, so that a mistake
// in one does not hide in the other.
package load

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"treadmq/ha/failover"
)

// Mode is the kind of load.
type Mode string

// The modes.
const (
	Both      Mode = "both"       // produce and consume at once
	Fill      Mode = "fill"       // produce only
	Drain     Mode = "drain"      // consume only, until the destinations are empty or Count is reached
	FillDrain Mode = "fill-drain" // produce all, then consume all
)

// Config is a load. A zero Count with a zero Duration is not allowed, except for Drain.
type Config struct {
	Addresses []failover.Address // the first that answers is used by all clients
	Options   failover.Options   // login, host, TLS

	Mode         Mode
	Destination  string // as STOMP spells it: /queue/N or /topic/N
	Destinations int    // more than 1 appends .0, .1 and so on
	Producers    int    // connections
	Consumers    int    // connections
	Size         int    // bytes of each body, at least MinSize
	Persistent   bool
	Ack          string // auto, client, client-individual
	Window       int    // unconfirmed messages of each producer; 0 asks for no receipts
	Prefetch     int    // messages of each subscription; 0 leaves it to the broker
	Rate         float64
	Count        int64         // messages over all producers
	Duration     time.Duration // producers stop after this long
	Idle         time.Duration // consumers give up when nothing came for this long
	Headers      []failover.Header

	// Progress, if not nil, is called about ten times in a second with the messages
	// confirmed (or sent, without receipts) and received so far.
	Progress func(sent, received int64)
}

// Limits of a Config.
const (
	MinSize         = stampSize
	MaxSize         = failover.DefaultMaxMessageSize
	MaxClients      = 20_000
	MaxDestinations = 100_000
	MaxWindow       = 1_000_000
)

// Topic reports whether the load is on topics: every consumer gets every message.
func (c *Config) Topic() bool { return strings.HasPrefix(c.Destination, "/topic/") }

// Validate tells everything that is wrong with a Config.
func (c *Config) Validate() error {
	var wrong []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			wrong = append(wrong, fmt.Errorf(format, args...))
		}
	}
	between := func(what string, n, low, high int) {
		check(n >= low && n <= high, "%s %d is not between %d and %d", what, n, low, high)
	}
	check(len(c.Addresses) > 0, "no address of a broker")
	if c.producing() {
		between("producers", c.Producers, 1, MaxClients)
		check(c.Count > 0 || c.Duration > 0, "neither count nor duration is given")
	}
	if c.consuming() {
		between("consumers", c.Consumers, 1, MaxClients)
		check(c.Idle > 0, "idle %s is not positive", c.Idle)
	}
	check(!c.Topic() || c.Mode == Both || c.Mode == Fill, "mode %s needs a queue: a topic keeps nothing for later", c.Mode)
	between("size", c.Size, MinSize, MaxSize)
	between("window", c.Window, 0, MaxWindow)
	between("destinations", c.Destinations, 1, MaxDestinations)
	check(c.Rate >= 0, "rate %v is negative", c.Rate)
	check(c.Prefetch >= 0, "prefetch %d is negative", c.Prefetch)
	check(c.Count >= 0, "count %d is negative", c.Count)
	check(c.Count < maxSeq, "count %d is too large", c.Count)
	return errors.Join(wrong...)
}

func (c *Config) producing() bool { return c.Mode != Drain }
func (c *Config) consuming() bool { return c.Mode != Fill }

func (c *Config) destination(i int) string {
	if c.Destinations == 1 {
		return c.Destination
	}
	return fmt.Sprintf("%s.%d", c.Destination, i)
}

// spread says which destinations the i-th of n clients uses, so that every destination
// has a client and every client a destination.
func (c *Config) spread(i, n int) (dests []int) {
	if n >= c.Destinations {
		return []int{i % c.Destinations}
	}
	for d := i; d < c.Destinations; d += n {
		dests = append(dests, d)
	}
	return dests
}
