package history

import (
	"fmt"
	"sort"
	"time"
)

// message is what the events say about one message.
type message struct {
	tx        int
	sent      Event
	receipted bool
	delivered int
	resent    bool    // the connection of its RECEIPT is not that of its SEND
	copies    []*copy // one, but for what was sent again
}

// copy is what the events say about one of those that are stored of a message.
type copy struct {
	id         string // message-id, "" if the events do not tell
	last       Event  // the newest delivery
	delivered  int
	newest     uint64 // epoch of the newest broker that delivered it
	unflagged  bool   // a delivery did not say redelivered:true
	acked      bool
	ackedEpoch uint64
	nacked     bool
}

// copy returns the copy that an event is about.
func (m *message) copy(id string) *copy {
	for _, c := range m.copies {
		if c.id == id {
			return c
		}
	}
	c := &copy{id: id}
	m.copies = append(m.copies, c)
	return c
}

// transaction is what the events say about one transaction.
type transaction struct {
	committing, committed, undone bool
	answered                      bool // its COMMIT has a receipt, now or later
	messages                      []Key
}

// settleTime is how much later than the broker a client may tell of the end of its connection.
const settleTime = 30 * time.Second

// checker goes through the events in their order.
type checker struct {
	single   func(queue string) bool
	messages map[Key]*message
	order    []*message // as they were sent
	txs      map[int]*transaction
	last     map[Key]int // per producer and queue (Seq 0): highest number of a first delivery
	newest   map[string]uint64
	lost     map[string][]raised // per queue: when a consumer lost its connection, and the epoch of its broker
	fence    []raised
	stale    int
	found    []string
}

// raised is a moment, such as that from which on receipts of an epoch had been seen.
type raised struct {
	at    time.Duration
	epoch uint64
}

// Verdict is what Check found.
type Verdict struct {
	// Faults has a sentence for every broken promise; it begins with the rule's word.
	Faults []string
	// Stale counts deliveries by brokers of an older epoch than one that had delivered from the
	// queue already: what a deposed master had put into its clients' sockets. They are no fault.
	Stale int
}

// Check judges events, which are in the order in which they happened and end when
// all queues were emptied. single says which queues had one consumer at a time, so
// that order can be told.
//
//   - phantom, uncommitted, garbled: nothing is delivered that was not sent or never committed, and nothing changed.
//   - lost: what was receipted, alone or by its COMMIT, is delivered; what was refused comes again.
//   - after ack: nothing is delivered after the receipt of its ACK, unless by a broker of an older epoch. A message that
//     was sent again may be there twice, under two message-ids: then this and redelivered:true are about each of them.
//   - torn: of a transaction all is delivered, or nothing.
//   - order: first deliveries of a producer's messages come in its order, but for what comes again because a consumer
//     left a broker that had another one already, and for a transaction whose COMMIT had no answer: it may still lie in a
//     connection that its client has left, and be read after what was sent over the next one.
//   - unflagged, flagged: every further delivery says redelivered:true. A first one does not, unless the epoch changed
//     since the message was sent, or a consumer of its queue lost its connection.
//   - fenced: nothing begun after a receipt of an epoch is receipted by an older epoch.
//   - twice: a message has one message-id, unless it was sent again and nothing marks it as the same.
//   - early: nothing scheduled comes before its time.
func Check(events []Event, single func(queue string) bool) Verdict {
	c := &checker{
		single: single, messages: map[Key]*message{}, txs: map[int]*transaction{}, last: map[Key]int{},
		newest: map[string]uint64{}, lost: map[string][]raised{},
	}
	for i := range events {
		switch e := &events[i]; e.Kind {
		case Lost:
			c.lost[e.Key.Queue] = append(c.lost[e.Key.Queue], raised{e.At, e.Epoch})
		case Committed:
			c.tx(e.Tx).answered = true
		}
	}
	for i := range events {
		c.event(&events[i])
	}
	c.end()
	return Verdict{Faults: c.found, Stale: c.stale}
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
		m := &message{tx: e.Tx, sent: *e}
		c.messages[e.Key] = m
		c.order = append(c.order, m)
		if e.Tx != 0 {
			t := c.tx(e.Tx)
			t.messages = append(t.messages, e.Key)
		}
	case Committing:
		c.tx(e.Tx).committing = true
	case Undone:
		c.tx(e.Tx).undone = true
	case Committed:
		c.tx(e.Tx).committed = true
		c.receipt(e, fmt.Sprintf("COMMIT of transaction %d", e.Tx))
	case Garbled:
		c.fault("garbled: %s", e.Note)
	case Refused:
		c.fault("refused: %s", e.Note)
	case Left:
		c.fault("left: %v was in a queue that should have been empty", e.Key)
	case Lost, Remark:
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
		m.resent = e.Conn != m.sent.Conn
		c.receipt(e, fmt.Sprintf("SEND of %v", e.Key))
	case Acked:
		k := m.copy(e.MessageID)
		k.acked, k.ackedEpoch = true, max(k.ackedEpoch, e.Epoch)
		c.receipt(e, fmt.Sprintf("ACK of %v", e.Key))
	case Nacked:
		m.copy(e.MessageID).nacked = true
	case Delivered:
		c.delivered(e, m)
	}
}

// receipt holds a receipt against those that had come before its operation began.
func (c *checker) receipt(e *Event, what string) {
	if e.Began > 0 {
		i := sort.Search(len(c.fence), func(i int) bool { return c.fence[i].at >= e.Began })
		if i > 0 && c.fence[i-1].epoch > e.Epoch {
			c.fault("fenced: %s began at %v, after a receipt of epoch %d at %v, and epoch %d receipted it at %v",
				what, e.Began, c.fence[i-1].epoch, c.fence[i-1].at, e.Epoch, e.At)
		}
	}
	if n := len(c.fence); n == 0 || e.Epoch > c.fence[n-1].epoch {
		c.fence = append(c.fence, raised{e.At, e.Epoch})
	}
}

func (c *checker) delivered(e *Event, m *message) {
	if m.tx != 0 && !c.tx(m.tx).committing {
		c.fault("uncommitted: %v was delivered, but its transaction was never committed", e.Key)
	}
	if e.At < m.sent.At+m.sent.Due {
		c.fault("early: %v came %v after it was sent, not %v", e.Key, e.At-m.sent.At, m.sent.Due)
	}
	stale := e.Epoch < c.newest[e.Key.Queue]
	if stale {
		c.stale++
	} else {
		c.newest[e.Key.Queue] = e.Epoch
	}
	m.delivered++
	c.again(e, m.copy(e.MessageID))
	if m.delivered > 1 {
		return
	}
	if e.Redelivered && m.sent.Epoch == e.Epoch && !c.lostIn(e.Key.Queue, m.sent.At, e.At+settleTime, 0) {
		c.fault("flagged: the first delivery of %v says redelivered:true, and nothing happened to its broker or consumers", e.Key)
	}
	late := m.tx != 0 && !c.tx(m.tx).answered
	if stale || late || !c.single(e.Key.Queue) || e.Redelivered && c.lostIn(e.Key.Queue, m.sent.At, e.At, e.Epoch) {
		return
	}
	of := Key{Producer: e.Key.Producer, Queue: e.Key.Queue}
	if last, ok := c.last[of]; ok && e.Key.Seq < last {
		c.fault("order: %v came after number %d", e.Key, last)
	}
	c.last[of] = max(c.last[of], e.Key.Seq)
}

// again holds a delivery against those of the same copy before it.
func (c *checker) again(e *Event, k *copy) {
	if k.acked && e.Epoch >= k.ackedEpoch {
		c.fault("after ack: %v was delivered again after the receipt of its ACK", e.Key)
	}
	k.delivered++
	switch {
	case k.delivered == 1 || e.Redelivered || e.Epoch < k.newest:
	case k.unflagged || e.Epoch > k.newest || e.Conn == k.last.Conn:
		c.fault("unflagged: delivery %d of %v does not say redelivered:true", k.delivered, e.Key)
	default: // of two connections the later one was told of first
	}
	k.unflagged = k.unflagged || !e.Redelivered
	k.newest = max(k.newest, e.Epoch)
	k.last = *e
}

// lostIn says whether a consumer of the queue lost its connection within a time: to a broker of that epoch, or with
// 0 to any.
func (c *checker) lostIn(queue string, from, to time.Duration, epoch uint64) bool {
	for _, l := range c.lost[queue] {
		if l.at >= from && l.at <= to && (epoch == 0 || l.epoch == epoch) {
			return true
		}
	}
	return false
}

// end checks what can be told only when all is over.
func (c *checker) end() {
	for _, m := range c.order {
		key := m.sent.Key
		switch {
		case m.tx == 0 && m.receipted && m.delivered == 0:
			c.fault("lost: %v was receipted and never delivered", key)
		case len(m.copies) > 1 && (m.sent.Once || m.receipted && !m.resent):
			c.fault("twice: %v is stored as %s and %s", key, m.copies[0].id, m.copies[1].id)
		}
		for _, k := range m.copies {
			if k.nacked && k.delivered == 1 && !k.acked {
				c.fault("lost: %v was refused by its consumer and never delivered again", key)
			}
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
		case t.undone && seen > 0:
			c.fault("uncommitted: %d messages of transaction %d were delivered, of which the client was told that nothing was done", seen, id)
		case t.committed && seen < len(t.messages):
			c.fault("lost: transaction %d was committed, but %d of its %d messages were delivered", id, seen, len(t.messages))
		case seen > 0 && seen < len(t.messages):
			c.fault("torn: %d of the %d messages of transaction %d were delivered", seen, len(t.messages), id)
		}
	}
}
