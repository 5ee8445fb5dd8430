package realm

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestDelayGrowsAndIsForgiven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := NewThrottle()
		var delays []time.Duration
		for range 12 {
			delays = append(delays, th.Delay("10.0.0.1:4711", "u"))
			th.Fail("10.0.0.1", "u")
		}
		ms := time.Millisecond
		want := []time.Duration{0, 0, 0, 0, 0, 250 * ms, 500 * ms, time.Second, 2 * time.Second, 4 * time.Second, maxDelay, maxDelay}
		if fmt.Sprint(delays) != fmt.Sprint(want) {
			t.Errorf("got  %v\nwant %v", delays, want)
		}
		if d := th.Delay("10.0.0.2", ""); d != 0 {
			t.Errorf("another address is held back by %s", d)
		}
		time.Sleep(7 * time.Minute)
		if d := th.Delay("10.0.0.1", ""); d != 250*ms {
			t.Errorf("after 7 minutes it is %s", d)
		}
		time.Sleep(time.Minute)
		if d := th.Delay("10.0.0.1", ""); d != 0 {
			t.Errorf("after 8 minutes it is %s", d)
		}
		for range 1000 {
			th.Fail("10.0.0.1", "u")
		}
		time.Sleep(maxFailures * time.Minute)
		if d := th.Delay("10.0.0.1", "u"); d != 0 {
			t.Errorf("an hour after any number of failures it is %s", d)
		}
	})
}

// Guessing one user from many addresses slows that user's logins a little.
func TestDelayOfAUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := NewThrottle()
		for i := range 100 {
			th.Fail(fmt.Sprintf("10.0.1.%d", i), "admin")
		}
		if d := th.Delay("10.9.9.9", "admin"); d != maxDelayOfUser {
			t.Errorf("admin is held back by %s", d)
		}
		if d := th.Delay("10.9.9.9", "other"); d != 0 {
			t.Errorf("another user is held back by %s", d)
		}
		if d := th.Delay("10.9.9.9", ""); d != 0 {
			t.Errorf("nobody is held back by %s", d)
		}
	})
}

// Success forgives the user's own slips, but not what others got wrong.
func TestSuccessForgives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := NewThrottle()
		for range 10 {
			th.Fail("10.0.0.1", "alice")
		}
		th.OK("10.0.0.1", "alice")
		if d := th.Delay("10.0.0.1", "alice"); d != 0 {
			t.Errorf("alice is still held back by %s", d)
		}
		for range 10 {
			th.Fail("10.0.0.1", "alice")
			th.Fail("10.0.0.1", "mallory")
			th.OK("10.0.0.1", "mallory")
		}
		if d := th.Delay("10.0.0.1", "alice"); d != maxDelay {
			t.Errorf("mallory's own account brought the delay down to %s", d)
		}
		if len(th.pairs) != 1 {
			t.Errorf("%d pairs are kept, want 1", len(th.pairs))
		}
	})
}

func TestNetworks(t *testing.T) {
	for address, want := range map[string]string{
		"10.0.0.1":         "10.0.0.1",
		"10.0.0.1:5":       "10.0.0.1",
		"::ffff:10.0.0.1":  "10.0.0.1",
		"[2001:db8::1]:5":  "2001:db8::/64",
		"2001:db8::ffff:1": "2001:db8::/64",
		"fe80::1%eth0":     "fe80::/64",
		"2001:db8:0:1::1":  "2001:db8:0:1::/64",
		"pipe":             "pipe",
	} {
		if got := network(address); got != want {
			t.Errorf("%s is in %s, want %s", address, got, want)
		}
	}
}

// However many addresses and users fail, memory is bounded, and who failed most
// is not forgotten for the crowd's sake.
func TestThrottleIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := NewThrottle()
		for range 10 {
			th.Fail("10.0.0.1", "guilty")
		}
		for i := range 10 * maxTracked {
			th.Fail(fmt.Sprintf("2001:db8:%x:%x::1", i>>16, i&0xffff), fmt.Sprint("u", i))
		}
		if a, u, p := len(th.addresses), len(th.users), len(th.pairs); a > maxTracked || u > maxTracked || p > maxTracked {
			t.Errorf("%d addresses, %d users, %d pairs are kept", a, u, p)
		}
		if d := th.Delay("10.0.0.1", ""); d != maxDelay {
			t.Errorf("the guilty address is held back by %s only", d)
		}
	})
}
