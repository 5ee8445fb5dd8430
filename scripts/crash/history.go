// Package crash runs producers and consumers against a real broker that is
// killed again and again with SIGKILL, and checks what they saw:
//
//	go test -tags crash ./scripts/crash                  5 rounds
//	CRASH_ROUNDS=30 go test -tags crash ./scripts/crash  more
//
// CRASH_SEED repeats the choices of a run (not its timing), CRASH_RACE=1 builds
// the broker with the race detector, BROKER_BINARY names one that is there. The
// checker itself is tested without tags.
package crash

import "fmt"

// Key names a message: its producer, the number that producer gave it, and the
// queue it was sent to. A producer's numbers rise.
type Key struct {
	Producer, Seq int
	Queue         string
}

func (k Key) String() string {
	return fmt.Sprintf("message %d of producer %d in %s", k.Seq, k.Producer, k.Queue)
}

// Kind says what an Event is about.
type Kind uint8

const (
	Sent       Kind = iota + 1 // a SEND is about to be written; in transaction Tx if not 0
	Receipted                  // its RECEIPT came
	Committing                 // COMMIT of Tx is about to be written
	Committed                  // its RECEIPT came
	Delivered                  // a MESSAGE came
	Acked                      // the RECEIPT of its ACK came
	Nacked                     // a NACK is about to be written: it comes back at once
	Garbled                    // a MESSAGE came whose body is not what anybody sent; Note says how
	Refused                    // an ERROR came that nothing explains; Note is its text
	Left                       // a MESSAGE came from a queue that should be empty
)

// Event is one thing that a client did or saw.
type Event struct {
	Kind        Kind
	Key         Key
	Tx          int // of Sent, Committing and Committed; 0 is none
	Life        int // of the broker: counts its starts
	Redelivered bool
	Note        string
}

// message is what the events say about one message.
type message struct {
	tx        int
	sentIn    int // life
	receipted bool
	delivered int
	acked     bool
	nacked    bool
}

// transaction is what the events say about one transaction.
type transaction struct {
	committing, committed bool
	messages              []Key
}

// checker goes through the events in their order.
type checker struct {
	single   func(queue string) bool
	messages map[Key]*message
	txs      map[int]*transaction
	last     map[Key]int // per producer and queue (Seq 0): highest number of a first delivery
	found    []string
}

// Check returns a sentence for every broken promise. The events are in the order
// in which they happened, and end when all queues were emptied. single says
// which queues had one consumer at a time, so that order can be told.
//
//   - Nothing is delivered that was not sent, or that was never committed, and nothing garbled.
//   - What was receipted, alone or by its COMMIT, is delivered.
//   - Nothing is delivered after the receipt of its ACK.
//   - Of a transaction all is delivered, or nothing.
//   - First deliveries of a producer's messages come in its order.
//   - Every further delivery says redelivered:true. A first one does not, unless the broker died since the message was sent.
func Check(events []Event, single func(queue string) bool) []string {
	c := &checker{single: single, messages: map[Key]*message{}, txs: map[int]*transaction{}, last: map[Key]int{}}
	for i := range events {
		c.event(&events[i])
	}
	c.end()
	return c.found
}

func (c *checker) fault(format string, args ...any) {
	c.found = append(c.found, fmt.Sprintf(format, args...))
}

func (c *checker) tx(id int) *transaction {
	if c.txs[id] == nil {
		c.txs[id] = &transaction{}
	}
	return c.txs[id]
}

func (c *checker) event(e *Event) {
	switch e.Kind {
	case Sent:
		c.messages[e.Key] = &message{tx: e.Tx, sentIn: e.Life}
		if e.Tx != 0 {
			t := c.tx(e.Tx)
			t.messages = append(t.messages, e.Key)
		}
	case Committing:
		c.tx(e.Tx).committing = true
	case Committed:
		c.tx(e.Tx).committed = true
	case Garbled:
		c.fault("garbled: %s", e.Note)
	case Refused:
		c.fault("refused: %s", e.Note)
	case Left:
		c.fault("left: %v was in a queue that should have been empty", e.Key)
	default:
		c.aboutMessage(e)
	}
}

func (c *checker) aboutMessage(e *Event) {
	m := c.messages[e.Key]
	if m == nil {
		c.fault("phantom: %v was never sent", e.Key)
		return
	}
	switch e.Kind {
	case Receipted:
		m.receipted = true
	case Acked:
		m.acked = true
	case Nacked:
		m.nacked = true
	case Delivered:
		c.delivered(e, m)
	}
}

func (c *checker) delivered(e *Event, m *message) {
	if m.tx != 0 && !c.tx(m.tx).committing {
		c.fault("uncommitted: %v was delivered, but its transaction was never committed", e.Key)
	}
	if m.acked {
		c.fault("after ack: %v was delivered again after the receipt of its ACK", e.Key)
	}
	m.delivered++
	if m.delivered > 1 {
		if !e.Redelivered {
			c.fault("unflagged: delivery %d of %v does not say redelivered:true", m.delivered, e.Key)
		}
		return
	}
	if e.Redelivered && m.sentIn == e.Life {
		c.fault("flagged: the first delivery of %v says redelivered:true, and the broker did not die in between", e.Key)
	}
	if !c.single(e.Key.Queue) {
		return
	}
	of := Key{Producer: e.Key.Producer, Queue: e.Key.Queue}
	if last, ok := c.last[of]; ok && e.Key.Seq < last {
		c.fault("order: %v came after number %d", e.Key, last)
	}
	c.last[of] = max(c.last[of], e.Key.Seq)
}

// end checks what can be told only when all is over.
func (c *checker) end() {
	for key, m := range c.messages {
		switch {
		case m.tx == 0 && m.receipted && m.delivered == 0:
			c.fault("lost: %v was receipted and never delivered", key)
		case m.nacked && m.delivered == 1 && !m.acked:
			c.fault("lost: %v was refused by its consumer and never delivered again", key)
		}
	}
	for id, t := range c.txs {
		seen := 0
		for _, key := range t.messages {
			if c.messages[key].delivered > 0 {
				seen++
			}
		}
		switch {
		case t.committed && seen < len(t.messages):
			c.fault("lost: transaction %d was committed, but %d of its %d messages were delivered", id, seen, len(t.messages))
		case seen > 0 && seen < len(t.messages):
			c.fault("torn: %d of the %d messages of transaction %d were delivered", seen, len(t.messages), id)
		}
	}
}
