package ha

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"treadmq/ha/replica"
	"treadmq/ha/replica/wire"
)

// alone is a member of a group of one that serves.
func alone(t testing.TB, change func(*Options)) (*group, *member) {
	g := newGroup(t, 1, memory(), change)
	return g, g.master()
}

// dialPort connects to a member's port.
func dialPort(t testing.TB, m *member) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", m.node.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c
}

// join dials and proves to know the token.
func join(t testing.TB, m *member, group, token string, p wire.Purpose) (net.Conn, error) {
	t.Helper()
	c := dialPort(t, m)
	var nonce [wire.NonceSize]byte
	rand.Read(nonce[:])
	h := wire.Dial([]byte(token), group, p, nonce)
	return c, converse(c, h, h.Start())
}

// ended waits until the other side has closed, and returns what it said before.
func ended(t testing.TB, c net.Conn) []byte {
	t.Helper()
	b, err := io.ReadAll(io.LimitReader(c, 1<<20))
	if ne, ok := err.(net.Error); ok && ne.Timeout() {
		t.Fatal("the connection was not closed")
	}
	return b
}

// TestStrangers: whoever is not of the group is refused in words, learns nothing, and
// changes nothing.
func TestStrangers(t *testing.T) {
	_, m := alone(t, func(o *Options) { o.Timing.Silence = 300 * time.Millisecond })
	hello := func(h replica.Hello) []byte {
		b, err := wire.Append(nil, &h, 0)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	fine := replica.Hello{Group: DefaultGroup, Cluster: m.node.Status().Cluster, Node: "x", Min: 1, Max: 1, Session: 1, Feature: 1}
	raw := func(b []byte) func() []byte {
		return func() []byte {
			c := dialPort(t, m)
			c.Write(b)
			c.(*net.TCPConn).CloseWrite()
			return ended(t, c)
		}
	}
	inside := func(p wire.Purpose, b []byte) func() []byte {
		return func() []byte {
			c, err := join(t, m, DefaultGroup, "secret", p)
			if err != nil {
				t.Fatal(err)
			}
			c.Write(b)
			return ended(t, c)
		}
	}
	refused := func(group, token string) func() []byte {
		return func() []byte {
			c, err := join(t, m, group, token, wire.Link)
			if err == nil {
				t.Error("it was let in")
			}
			return ended(t, c)
		}
	}
	other, old, flipped := fine, fine, hello(fine)
	other.Cluster, old.Min, old.Max = "another", 99, 99
	flipped[len(flipped)-9] ^= 1
	long := binary.LittleEndian.AppendUint32(nil, 1<<30)
	beat, err := wire.Append(nil, &replica.Heartbeat{Group: DefaultGroup}, 0)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		do     func() []byte
		why    string         // in the alarm; "" none
		reason replica.Reason // said to the other side; 0 nothing
	}{
		"HTTP":                       {raw([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")), "not a", 0},
		"zeros":                      {raw(make([]byte, 1000)), "not a node of a group", 0},
		"nothing":                    {raw(nil), "it said nothing", 0},
		"half a handshake":           {raw([]byte{0, 40, 'T', 'M'}), "in the middle", 0},
		"other token":                {refused(DefaultGroup, "other"), "the tokens differ", 0},
		"other group":                {refused("other", "secret"), `of group "other"`, 0},
		"damaged frame":              {inside(wire.Link, flipped), "checksum", 0},
		"endless frame":              {inside(wire.Link, long), "length", 0},
		"piece on a link":            {inside(wire.Link, mustFrame(t, &wire.Get{Group: DefaultGroup, Part: wire.PartList})), "on a link", 0},
		"other cluster":              {inside(wire.Link, hello(other)), "another cluster", replica.OtherCluster},
		"other version":              {inside(wire.Link, hello(old)), "no version of the protocol in common", replica.OtherVersion},
		"heartbeat for a snapshot":   {inside(wire.Bulk, beat), "a piece of a snapshot is asked for", 0},
		"snapshot that is not there": {inside(wire.Bulk, mustFrame(t, &wire.Get{Group: DefaultGroup, Offer: 7, Part: wire.PartList})), "", 0},
		"silence":                    {inside(wire.Link, nil), "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			before := m.node.Status()
			said := c.do()
			if c.reason != 0 {
				f, _, err := wire.Read(bytes.NewReader(said), nil)
				if r, ok := f.Message.(*replica.Refuse); err != nil || !ok || r.Reason != c.reason {
					t.Errorf("it answered %T %+v, %v; want %s", f.Message, f.Message, err, c.reason)
				}
			}
			eventually(t, "the refusal is an alarm: "+c.why, func() bool { return c.why == "" || strings.Contains(m.node.port.refusal(time.Hour), c.why) })
			after := m.node.Status()
			if after.End != before.End || after.Epoch != before.Epoch || after.Role != RoleMaster {
				t.Errorf("it changed %+v to %+v", before, after)
			}
		})
	}
	if err := send(m.serving(), "still there"); err != nil {
		t.Error(err)
	}
}

func mustFrame(t testing.TB, m any) []byte {
	t.Helper()
	b, err := wire.Append(nil, m, 0)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestManyStrangers: connections that say nothing are bounded, and do not keep members out for long.
func TestManyStrangers(t *testing.T) {
	_, m := alone(t, nil)
	for range maxStrangers + 20 {
		dialPort(t, m)
	}
	eventually(t, "a member gets in again", func() bool {
		c, err := join(t, m, DefaultGroup, "secret", wire.Ping)
		c.Close()
		return err == nil
	})
}

// TestFarFromTheGroup: a member with another token stays outside, and both sides say so.
func TestFarFromTheGroup(t *testing.T) {
	service := memory()
	g := newGroup(t, 3, service, nil)
	m := g.master()
	x := g.add("x", 3, service(), func(o *Options) { o.Token = []byte("wrong") })
	eventually(t, "the refusal is an alarm", func() bool {
		for _, a := range m.node.Status().Alarms {
			if strings.Contains(a.Text.Text, "the tokens differ") {
				return true
			}
		}
		return false
	})
	if err := send(m.serving(), "x"); err != nil {
		t.Fatal(err)
	}
	if s := x.node.Status(); s.End != 0 {
		t.Errorf("it has %d bytes of the journal", s.End)
	}
	x.end()
	g.same(m)
}

// FuzzLink: whatever a member that knows the token sends, the group goes on.
func FuzzLink(f *testing.F) {
	_, m := alone(f, nil)
	cluster := m.node.Status().Cluster
	for _, x := range []any{
		&replica.Hello{Group: DefaultGroup, Cluster: cluster, Node: "x", Min: 1, Max: 1, Session: 1, Feature: 1},
		&replica.Hello{Group: DefaultGroup, Cluster: cluster, Node: "x", Min: 1, Max: 1, Session: 1, Feature: 1, Snapshot: true},
		&replica.Ack{Group: DefaultGroup, Epoch: 1, Session: 1, Written: 1 << 60, Stable: 1 << 60},
		&replica.Heartbeat{Group: DefaultGroup, Epoch: 1},
		&replica.Refuse{Group: DefaultGroup, Reason: replica.DiskFull},
		&replica.Welcome{Group: DefaultGroup, Epoch: 1},
		&wire.Get{Group: DefaultGroup, Part: wire.PartIndex, Length: 100},
	} {
		frame := mustFrame(f, x)
		f.Add(byte(0), frame)
		f.Add(byte(2), frame)
		f.Add(byte(129), frame[4:len(frame)-4]) // on a link, too: 129 is 0 modulo 3
		f.Add(byte(128), frame[4:len(frame)-4])
	}
	f.Fuzz(func(t *testing.T, purpose byte, frames []byte) {
		content := frames
		c, err := join(t, m, DefaultGroup, "secret", wire.Purpose(purpose%3)+wire.Link)
		if err != nil {
			t.Fatal(err)
		}
		if purpose >= 128 { // a frame whose length and checksum are right
			frames = binary.LittleEndian.AppendUint32(nil, uint32(len(frames)+4))
			frames = append(frames, content...)
			frames = binary.LittleEndian.AppendUint32(frames, wire.Checksum(frames))
		}
		c.Write(frames)
		c.(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, c)
		c.Close()
		s := m.serving()
		if s == nil {
			eventually(t, "it is master again", func() bool { s = m.serving(); return s != nil })
		}
		if err := send(s, "x"); err != nil {
			s = nil
			eventually(t, "it takes messages", func() bool { s := m.serving(); return s != nil && send(s, "x") == nil })
		}
	})
}
