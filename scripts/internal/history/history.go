// Package history records what clients of a broker did and saw, and checks it
// against the broker's promises. The checker is told of no broker and no client:
// it judges events. Tests that kill brokers, alone or in a group, feed it.
package history

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Key names a message: its producer, the number that producer gave it, and the
// queue it was sent to. A producer's numbers rise.
type Key struct {
	Producer, Seq int
	Queue         string
}

func (k Key) String() string {
	return fmt.Sprintf("message %d of producer %d in %s", k.Seq, k.Producer, k.Queue)
}

// Text is the key in one word; ParseKey reads it.
func (k Key) Text() string { return fmt.Sprintf("%d.%d.%s", k.Producer, k.Seq, k.Queue) }

// ParseKey reads what Text made.
func ParseKey(s string) (k Key, err error) {
	part := strings.SplitN(s, ".", 3)
	if len(part) != 3 {
		return k, fmt.Errorf("%q names no message", s)
	}
	k.Queue = part[2]
	if k.Producer, err = strconv.Atoi(part[0]); err != nil {
		return k, err
	}
	k.Seq, err = strconv.Atoi(part[1])
	return k, err
}

// Body makes a message's body: what it is, size random bytes, and a checksum over both.
func Body(r *rand.Rand, k Key, size int) []byte {
	b := fmt.Appendf(nil, "%s\n", k.Text())
	for range size {
		b = append(b, byte(r.Uint32()))
	}
	return fmt.Appendf(b, "\n%08x", crc32.ChecksumIEEE(b))
}

// ParseBody reads a body that came from a queue. The key has that queue: a message
// in the wrong one is one that nobody sent.
func ParseBody(body []byte, queue string) (Key, error) {
	i := bytes.LastIndexByte(body, '\n')
	if i < 0 {
		return Key{}, fmt.Errorf("a body of %d bytes without a checksum", len(body))
	}
	if sum := fmt.Sprintf("%08x", crc32.ChecksumIEEE(body[:i])); sum != string(body[i+1:]) {
		return Key{}, fmt.Errorf("a body of %d bytes has the checksum %s, not %s", len(body), sum, body[i+1:])
	}
	head, _, _ := bytes.Cut(body, []byte{'\n'})
	k, err := ParseKey(string(head))
	if err == nil {
		k.Queue = queue
	}
	return k, err
}

// Kind says what an Event is about.
type Kind uint8

const (
	Sent       Kind = iota + 1 // a SEND is about to be written; in transaction Tx if not 0
	Receipted                  // its RECEIPT came
	Committing                 // COMMIT of Tx is about to be written
	Committed                  // its RECEIPT came
	Undone                     // the client was told that COMMIT of Tx did nothing
	Delivered                  // a MESSAGE came
	Acked                      // the RECEIPT of its ACK came
	Nacked                     // a NACK is about to be written: it comes back at once
	Garbled                    // a MESSAGE came whose body is not what anybody sent; Note says how
	Refused                    // an ERROR came that nothing explains; Note is its text
	Left                       // a MESSAGE came from a queue that should be empty
	Lost                       // a consumer of Key.Queue lost or left its connection with messages not acknowledged
	Remark                     // Note is what was done to the brokers; nothing is judged by it
)

var kindNames = [...]string{
	Sent: "sent", Receipted: "receipted", Committing: "committing", Committed: "committed", Undone: "undone", Delivered: "delivered", Acked: "acked",
	Nacked: "nacked", Garbled: "garbled", Refused: "refused", Left: "left", Lost: "lost", Remark: "remark",
}

func (k Kind) String() string { return kindNames[k] }

// MarshalText makes a Kind readable in a written history.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// Event is one thing that a client did or saw.
type Event struct {
	At   time.Duration // since the Recorder was made, by the monotonic clock
	Kind Kind
	Key  Key
	Tx   int `json:",omitempty"` // of Sent, Committing and Committed; 0 is none

	// Epoch is that of the broker at the other end: of a group as CONNECTED says, of a
	// single broker the number of its start.
	Epoch uint64 `json:",omitempty"`
	// Conn is the connection, a number that no other has; 0 = not told.
	Conn int `json:",omitempty"`
	// Began is when the operation whose receipt this is was begun; 0 = not told.
	Began time.Duration `json:",omitempty"`

	Due         time.Duration `json:",omitempty"` // of Sent: it must not come earlier than so long after it
	Once        bool          `json:",omitempty"` // of Sent: it is never sent again, or the broker recognises that
	MessageID   string        `json:",omitempty"` // of Delivered, Acked and Nacked
	Redelivered bool          `json:",omitempty"`
	Note        string        `json:",omitempty"`
}

// Recorder collects events in the order in which they happen. The zero value is not usable.
type Recorder struct {
	start time.Time

	mu     sync.Mutex // guards what follows
	events []Event
	next   map[string]int
}

// NewRecorder makes a Recorder whose time begins now.
func NewRecorder() *Recorder { return &Recorder{start: time.Now(), next: map[string]int{}} }

// Now is the time of an event that happens now.
func (r *Recorder) Now() time.Duration { return time.Since(r.start) }

// Add records an event that happens now.
func (r *Recorder) Add(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e.At = r.Now()
	r.events = append(r.events, e)
}

// Next gives out the numbers of a series: 1, 2, 3...
func (r *Recorder) Next(series string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next[series]++
	return r.next[series]
}

// Events are those recorded so far.
func (r *Recorder) Events() []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.events)
}

// Write writes events as JSON, one per line.
func Write(w io.Writer, events []Event) error {
	enc := json.NewEncoder(w)
	for i := range events {
		if err := enc.Encode(&events[i]); err != nil {
			return err
		}
	}
	return nil
}
