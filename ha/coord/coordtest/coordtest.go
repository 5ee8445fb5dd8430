// Package coordtest checks that a coordination service keeps the contract of
// ha/coord.
package coordtest

import (
	"context"
	"errors"
	"testing"
	"time"

	"treadmq/ha/coord"
)

// wait ends a test that hangs; nothing is measured by it.
const wait = 60 * time.Second

// Run checks the service that open returns; each call gets a fresh one.
func Run(t *testing.T, fresh func(t *testing.T) coord.Coordinator) {
	for name, test := range map[string]func(*testing.T, coord.Coordinator){
		"the register changes by compare-and-set": register,
		"a claim is register and lease in one":    claim,
		"a lease is reclaimed only unchanged":     reclaim,
		"members vanish with their session":       members,
		"marks stay":                              marks,
		"a closed session answers unknown":        closed,
		"too large is refused":                    tooLarge,
	} {
		t.Run(name, func(t *testing.T) { test(t, fresh(t)) })
	}
}

// Open opens a session that the test closes.
func Open(t *testing.T, c coord.Coordinator) coord.Session {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	s, err := c.Open(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// Until waits until the session sees what is wanted, and returns it.
func Until(t *testing.T, s coord.Session, what string, ok func(coord.View) bool) coord.View {
	t.Helper()
	end := time.NewTimer(wait)
	defer end.Stop()
	for {
		if v := s.View(); v.Read && ok(v) {
			return v
		}
		select {
		case <-s.Changed():
		case <-end.C:
			t.Fatalf("never seen: %s; the last view: %+v", what, s.View())
		}
	}
}

func must(t *testing.T, r coord.Result, want coord.Outcome) coord.Version {
	t.Helper()
	if r.Outcome != want {
		t.Fatalf("outcome %v (%v), want %v", r.Outcome, r.Err, want)
	}
	if r.Outcome != coord.Done && r.Err == nil {
		t.Fatalf("outcome %v without a reason", r.Outcome)
	}
	return r.Version
}

func register(t *testing.T, c coord.Coordinator) {
	a, b := Open(t, c), Open(t, c)
	must(t, a.Write(t.Context(), coord.Change{Version: 7, Register: []byte("x")}), coord.Conflict)
	v := must(t, a.Write(t.Context(), coord.Change{Version: coord.NoRegister, Register: []byte("one")}), coord.Done)
	must(t, b.Write(t.Context(), coord.Change{Version: coord.NoRegister, Register: []byte("two")}), coord.Conflict)
	seen := Until(t, b, "the register", func(v coord.View) bool { return v.Exists })
	if seen.Version != v || string(seen.Register) != "one" {
		t.Errorf("b sees version %d, %q; a wrote version %d", seen.Version, seen.Register, v)
	}
	v2 := must(t, b.Write(t.Context(), coord.Change{Version: v, Register: []byte("two")}), coord.Done)
	must(t, a.Write(t.Context(), coord.Change{Version: v, Register: []byte("three")}), coord.Conflict)
	Until(t, a, "the second version", func(w coord.View) bool { return w.Version == v2 && string(w.Register) == "two" })
}

func claim(t *testing.T, c coord.Coordinator) {
	a, b := Open(t, c), Open(t, c)
	v := must(t, a.Write(t.Context(), coord.Change{Version: coord.NoRegister, Register: []byte("r0")}), coord.Done)
	v = must(t, a.Write(t.Context(), coord.Change{Version: v, Register: []byte("a leads"), CreateLease: []byte("a")}), coord.Done)
	Until(t, a, "its own lease", func(v coord.View) bool { return v.Leased && v.Own })
	Until(t, b, "a's lease", func(v coord.View) bool { return v.Leased && !v.Own && string(v.Lease) == "a" })
	must(t, b.Write(t.Context(), coord.Change{Version: v, Register: []byte("b leads"), CreateLease: []byte("b")}), coord.Conflict)
	if w := Until(t, b, "the version of a's claim", func(w coord.View) bool { return w.Version >= v }); string(w.Register) != "a leads" {
		t.Errorf("a refused claim changed the register to %q", w.Register)
	}
	must(t, b.Write(t.Context(), coord.Change{Version: v, Register: []byte("nobody"), DropLease: true}), coord.Done)
	Until(t, a, "that its lease is gone", func(v coord.View) bool { return !v.Leased })
}

func reclaim(t *testing.T, c coord.Coordinator) {
	a, b := Open(t, c), Open(t, c)
	v := must(t, a.Write(t.Context(), coord.Change{Version: coord.NoRegister, Register: []byte("r"), CreateLease: []byte("a")}), coord.Done)
	must(t, b.Reclaim(t.Context(), v, []byte("b")), coord.Conflict)
	a.Close()
	Until(t, b, "that a's lease is gone", func(v coord.View) bool { return v.Exists && !v.Leased })
	must(t, b.Reclaim(t.Context(), v+1, []byte("b")), coord.Conflict)
	must(t, b.Reclaim(t.Context(), v, []byte("b")), coord.Done)
	Until(t, b, "its lease", func(v coord.View) bool { return v.Own && string(v.Lease) == "b" })
}

func members(t *testing.T, c coord.Coordinator) {
	a, b, again := Open(t, c), Open(t, c), Open(t, c)
	must(t, a.Publish(t.Context(), "n1", []byte("first")), coord.Done)
	must(t, b.Publish(t.Context(), "n2", []byte("x")), coord.Done)
	must(t, a.Publish(t.Context(), "n1", []byte("second")), coord.Done)
	Until(t, b, "both members", func(v coord.View) bool {
		return len(v.Members) == 2 && v.Members[0].Name == "n1" && string(v.Members[0].Data) == "second" && v.Members[1].Name == "n2"
	})
	// The node has restarted: its entry must not vanish when the old session ends.
	must(t, again.Publish(t.Context(), "n1", []byte("restarted")), coord.Done)
	a.Close()
	must(t, again.Publish(t.Context(), "n1", []byte("third")), coord.Done)
	Until(t, b, "the restarted member", func(v coord.View) bool { return len(v.Members) == 2 && string(v.Members[0].Data) == "third" })
	again.Close()
	Until(t, b, "that the member is gone", func(v coord.View) bool { return len(v.Members) == 1 && v.Members[0].Name == "n2" })
}

func marks(t *testing.T, c coord.Coordinator) {
	a, b := Open(t, c), Open(t, c)
	must(t, a.Mark(t.Context(), "n1", []byte("fsync failed")), coord.Done)
	must(t, a.Mark(t.Context(), "n1", []byte("again")), coord.Done)
	a.Close()
	Until(t, b, "the mark", func(v coord.View) bool { return len(v.Marks) == 1 && string(v.Marks[0].Data) == "again" })
	must(t, b.Unmark(t.Context(), "n1"), coord.Done)
	must(t, b.Unmark(t.Context(), "n1"), coord.Done)
	Until(t, b, "no mark", func(v coord.View) bool { return len(v.Marks) == 0 })
}

func closed(t *testing.T, c coord.Coordinator) {
	a := Open(t, c)
	a.Close()
	select {
	case <-a.Lost():
	case <-time.After(wait):
		t.Fatal("a closed session is not lost")
	}
	r := a.Write(t.Context(), coord.Change{Version: coord.NoRegister, Register: []byte("r")})
	if must(t, r, coord.Unknown); !errors.Is(r.Err, coord.ErrLost) {
		t.Errorf("the reason is %v, want ErrLost", r.Err)
	}
	must(t, a.Publish(t.Context(), "n", nil), coord.Unknown)
	must(t, a.Reclaim(t.Context(), 0, []byte("l")), coord.Unknown)
	a.Close()
}

func tooLarge(t *testing.T, c coord.Coordinator) {
	a := Open(t, c)
	big := make([]byte, coord.MaxData+1)
	must(t, a.Write(t.Context(), coord.Change{Version: coord.NoRegister, Register: big}), coord.Refused)
	must(t, a.Publish(t.Context(), "n", big), coord.Refused)
	must(t, a.Mark(t.Context(), "n", big), coord.Refused)
}
