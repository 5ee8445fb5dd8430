package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	"treadmq/ha/replica"
	"treadmq/store"
)

// samples has one frame of each kind, every field set.
func samples() []any {
	epochs := store.EpochList{{Epoch: 1, Start: 0}, {Epoch: 7, Start: 4096}}
	return []any{
		&replica.Hello{Group: "g", Cluster: "c", Node: "n1", Min: 1, Max: 2, Session: 3, Promised: 9,
			LogState: replica.LogState{Tail: 10, End: 5000, Stable: 4999, Applied: 4000, Epochs: epochs}, Known: 4500, Snapshot: true, Feature: 6},
		&replica.Welcome{Group: "g", Epoch: 9, Version: 1, Session: 3, TruncateTo: 4096, Chain: 0xabcd, Commit: 4095, Active: true, Epochs: epochs},
		&replica.Welcome{Group: "g", Epoch: 9, Version: 1, Session: 3, Snapshot: &replica.Manifest{ID: 4, At: 5, End: 6, Commit: 7, Active: true}},
		&replica.Data{Group: "g", Epoch: 9, Session: 3, Pos: 100, End: 164, Commit: 90},
		&replica.Ack{Group: "g", Epoch: 9, Session: 3, Written: 164, Stable: 160, Applied: 90, NoVote: true},
		&replica.Heartbeat{Group: "g", Epoch: 9, Commit: 90, Active: true},
		&replica.Refuse{Group: "g", Epoch: 9, Reason: replica.OtherCluster},
		&Get{Group: "g", Epoch: 9, Offer: 4, Part: PartSegment, Segment: 4096, Offset: 12, Length: MaxPiece},
		&Piece{Group: "g", Epoch: 9, Offer: 4, Part: PartIndex, Offset: 12, Last: true, Sum: 77, Length: 1000},
	}
}

func bodyOf(m any) int {
	switch m := m.(type) {
	case *replica.Data:
		return int(m.End - m.Pos)
	case *Piece:
		return int(m.Length)
	}
	return 0
}

func encode(t testing.TB, m any) []byte {
	t.Helper()
	b, err := Append(nil, m, bodyOf(m))
	if err != nil {
		t.Fatalf("%T: %v", m, err)
	}
	return b
}

func TestRoundTrip(t *testing.T) {
	var all []byte
	for _, m := range samples() {
		all = append(all, encode(t, m)...)
	}
	r := bytes.NewReader(all)
	var buf []byte
	for _, m := range samples() {
		var f Frame
		var err error
		if f, buf, err = Read(r, buf); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(m, f.Message); d != "" || f.Body != bodyOf(m) {
			t.Errorf("%T, body %d: (-sent +received)\n%s", m, f.Body, d)
		}
	}
	if _, _, err := Read(r, buf); !errors.Is(err, io.EOF) {
		t.Errorf("after the last frame: %v", err)
	}
}

// TestBytes keeps the format: other versions of the program read it.
func TestBytes(t *testing.T) {
	got := hex.EncodeToString(encode(t, samples()[4]))
	const want = "29000000040167090300000000000000a400000000000000a0000000000000005a0000000000000001"
	if len(got) != len(want)+8 || got[:len(want)] != want {
		t.Errorf("Ack: %s\nwant  %s and a checksum", got, want)
	}
}

// TestDamage: no changed byte and no shortened frame is taken for a frame.
func TestDamage(t *testing.T) {
	for _, m := range samples() {
		b := encode(t, m)
		for i := range b {
			bad := bytes.Clone(b)
			bad[i] ^= 1 << (i % 8)
			if f, err := Decode(bad); err == nil {
				t.Errorf("%T with byte %d changed is %+v", m, i, f.Message)
			}
			if _, _, err := Read(bytes.NewReader(b[:i]), nil); err == nil || i > 0 && errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%T cut at %d: %v", m, i, err)
			}
		}
	}
}

func TestLimits(t *testing.T) {
	long := make(store.EpochList, maxEpochs+1)
	name := string(make([]byte, 256))
	for _, m := range []any{
		&replica.Welcome{Epochs: long}, &replica.Ack{Group: name}, &replica.Hello{Node: replica.NodeID(name)}, 42,
		&replica.Data{Pos: 1, End: 9}, &replica.Data{Commit: 1},
	} {
		if b, err := Append([]byte("x"), m, 0); err == nil || string(b) != "x" {
			t.Errorf("%T: %d bytes, %v", m, len(b), err)
		}
	}
	if _, err := Append(nil, &replica.Data{}, MaxBody+1); err == nil {
		t.Error("a body beyond the limit is sent")
	}
	for _, n := range []uint32{0, 3, MaxControl, 1<<32 - 1} {
		head := []byte{byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24)}
		if _, _, err := Read(bytes.NewReader(head), nil); !errors.Is(err, ErrFrame) {
			t.Errorf("length %d: %v", n, err)
		}
	}
	full := make(store.EpochList, maxEpochs)
	for i := range full {
		full[i] = store.EpochStart{Epoch: replica.Epoch(i + 1), Start: replica.Position(i)}
	}
	w := &replica.Welcome{Epochs: full}
	f, err := Decode(encode(t, w))
	if err != nil || !reflect.DeepEqual(f.Message, w) {
		t.Errorf("the longest list of epochs: %v", err)
	}
}

// TestContradictions: frames whose fields contradict each other are refused.
func TestContradictions(t *testing.T) {
	for name, m := range map[string]any{
		"node":     &replica.Hello{Node: ""},
		"versions": &replica.Hello{Node: "n", Min: 2, Max: 1},
		"stable":   &replica.Hello{Node: "n", LogState: replica.LogState{Stable: 1}},
		"epochs":   &replica.Welcome{Epochs: store.EpochList{{Epoch: 2}, {Epoch: 1}}},
		"snapshot": &replica.Welcome{Snapshot: &replica.Manifest{At: 2, End: 1}},
		"empty":    &replica.Data{Pos: 1, End: 1},
		"piece":    &Piece{Part: PartList, Length: MaxPiece + 1},
		"part":     &Get{Part: 9},
	} {
		b, err := Append(nil, m, 0)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if f, err := Decode(b); !errors.Is(err, ErrFrame) {
			t.Errorf("%s: %+v, %v", name, f.Message, err)
		}
	}
}

// TestNumbers: a Data whose numbers overflow, or are not written in the shortest way, is refused.
func TestNumbers(t *testing.T) {
	const most = 1<<64 - 1
	for name, fields := range map[string][]uint64{
		"committed before the beginning": {3, 10, 5, 16},
		"longer than a body may be":      {3, 10, MaxBody + 1, 0},
		"around the end of all numbers":  {3, most, 5, 0},
	} {
		e := encoder{}
		e.head(typeData, "g", 9)
		for _, v := range fields {
			e.uvarint(v)
		}
		if f := (&decoder{b: e.b}); f.message().Message != nil && f.err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	for name, b := range map[string][]byte{
		"long for short": append([]byte{typeHeartbeat, 1, 'g', 0x89, 0}, make([]byte, 9)...),
		"too long":       append([]byte{typeHeartbeat, 1, 'g'}, bytes.Repeat([]byte{0xff}, 11)...),
	} {
		d := decoder{b: b}
		if d.message(); d.err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, m := range samples() {
		f.Add(encode(f, m))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		fr, err := Decode(b)
		if err != nil {
			return
		}
		again, err := Append(nil, fr.Message, fr.Body)
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%x decodes to %+v, which encodes to %x, %v", b, fr.Message, again, err)
		}
	})
}

// FuzzFields lets the fuzzer past the checksum.
func FuzzFields(f *testing.F) {
	for _, m := range samples() {
		b := encode(f, m)
		f.Add(b[4 : len(b)-4])
	}
	f.Fuzz(func(t *testing.T, fields []byte) {
		d := decoder{b: fields}
		fr := d.message()
		if d.err != nil || len(d.b) > 0 {
			return
		}
		b, err := Append(nil, fr.Message, fr.Body)
		if err != nil || !bytes.Equal(b[4:len(b)-4], fields) {
			t.Fatalf("%x decodes to %+v, which encodes to %x, %v", fields, fr.Message, b, err)
		}
	})
}
