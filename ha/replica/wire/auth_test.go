package wire

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func nonce(b byte) (n [NonceSize]byte) {
	for i := range n {
		n[i] = b
	}
	return n
}

// exchange runs a handshake; change may alter each message on its way.
func exchange(d, a *Handshake, change func(i int, m []byte) []byte) (dialled, accepted error, done bool) {
	if change == nil {
		change = func(_ int, m []byte) []byte { return m }
	}
	m2, _, err := a.Take(change(1, d.Start()))
	if err != nil {
		return nil, err, false
	}
	m3, _, err := d.Take(change(2, m2))
	if err != nil {
		return err, nil, false
	}
	m4, okA, err := a.Take(change(3, m3))
	if err != nil {
		return nil, err, false
	}
	_, okD, err := d.Take(change(4, m4))
	return err, nil, okA && okD && err == nil
}

func TestHandshake(t *testing.T) {
	secret := []byte("a long secret of the group")
	d, a := Dial(secret, "g", Bulk, nonce(1)), Accept(secret, "g", nonce(2))
	if e1, e2, done := exchange(d, a, nil); !done {
		t.Fatal(e1, e2)
	}
	if a.Purpose() != Bulk {
		t.Errorf("purpose %d", a.Purpose())
	}
	if _, _, err := d.Take(nil); !errors.Is(err, ErrAuth) {
		t.Errorf("a fifth message: %v", err)
	}
}

func TestHandshakeRefuses(t *testing.T) {
	tests := []struct {
		name   string
		d, a   *Handshake
		change func(int, []byte) []byte
		want   string
	}{
		{name: "other token", d: Dial([]byte("x"), "g", Link, nonce(1)), a: Accept([]byte("y"), "g", nonce(2)), want: "securityToken"},
		{name: "other group", d: Dial(nil, "h", Link, nonce(1)), a: Accept(nil, "g", nonce(2)), want: `group "h"`},
		{name: "stranger", d: Dial(nil, "g", Link, nonce(1)), a: Accept(nil, "g", nonce(2)), want: "not a node",
			change: func(i int, m []byte) []byte { return []byte("GET / HTTP/1.1\r\n\r\n") }},
		{name: "version", d: Dial(nil, "g", Link, nonce(1)), a: Accept(nil, "g", nonce(2)), want: "version",
			change: func(i int, m []byte) []byte { m[4] = 9; return m }},
		{name: "purpose", d: Dial(nil, "g", 0, nonce(1)), a: Accept(nil, "g", nonce(2)), want: "purpose"},
		{name: "mirror", d: Dial(nil, "g", Link, nonce(1)), a: Accept(nil, "g", nonce(1)), want: "sends back"},
		{name: "the acceptor knows no token", d: Dial([]byte("x"), "g", Link, nonce(1)), a: Accept([]byte("x"), "g", nonce(2)), want: "securityToken",
			change: func(i int, m []byte) []byte {
				if i == 4 {
					return bytes.Repeat([]byte{7}, 32)
				}
				return m
			}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e1, e2, done := exchange(tt.d, tt.a, tt.change)
			err := errors.Join(e1, e2)
			if done || !errors.Is(err, ErrAuth) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("done %v, %v; want an error with %q", done, err, tt.want)
			}
		})
	}
}

// TestHandshakeEveryByte: whatever is changed on the way, the two do not both go on.
func TestHandshakeEveryByte(t *testing.T) {
	for step := 1; step <= 4; step++ {
		for at := range 42 {
			d, a := Dial([]byte("k"), "g", Link, nonce(1)), Accept([]byte("k"), "g", nonce(2))
			changed := false
			_, _, done := exchange(d, a, func(i int, m []byte) []byte {
				if i != step || at >= len(m) {
					return m
				}
				changed = true
				m = bytes.Clone(m)
				m[at] ^= 0x40
				return m
			})
			if changed && done {
				t.Errorf("message %d, byte %d changed: both sides are satisfied", step, at)
			}
		}
	}
}

func FuzzHandshake(f *testing.F) {
	f.Add(Dial([]byte("k"), "g", Link, nonce(1)).Start(), []byte("proof"))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		a := Accept([]byte("k"), "g", nonce(2))
		if _, _, err := a.Take(first); err != nil {
			return
		}
		if _, done, _ := a.Take(second); done {
			t.Fatal("somebody without the token came in")
		}
	})
}
