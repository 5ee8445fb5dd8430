package broker

import (
	"encoding/json"
	"slices"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"treadmq/store"
)

// DurableOptions say what a durable subscription is: a queue that topics feed,
// whether anybody is there or not.
type DurableOptions struct {
	Name         string   // unique in the broker
	ClientID     string   // whose it is, "" = nobody's in particular
	Topics       []string // names and patterns
	Selector     string   // only what it matches is kept
	SelectorMode SelectorMode
	NoLocal      bool // not what its own client sends
}

func (o *DurableOptions) check() error {
	if err := CheckName(o.Name, false); err != nil {
		return err
	}
	if len(o.Topics) == 0 {
		return Errorf(CodeBadDestination, "the durable subscription %q names no topic", o.Name)
	}
	for _, name := range o.Topics {
		if err := CheckName(name, true); err != nil {
			return err
		}
	}
	if !utf8.ValidString(o.Selector) || !utf8.ValidString(o.ClientID) {
		return Errorf(CodeBadRequest, "the selector or the client id of the durable subscription %q is not UTF-8", o.Name)
	}
	return nil
}

// same reports whether both select the same messages.
func (o *DurableOptions) same(p *DurableOptions) bool {
	return slices.Equal(o.Topics, p.Topics) && o.Selector == p.Selector && o.SelectorMode == p.SelectorMode && o.NoLocal == p.NoLocal
}

// durableSub is what makes a queue a durable subscription.
type durableSub struct {
	opt    DurableOptions
	filter *filter
	last   atomic.Pointer[Conn] // the latest consumer, for no-local where there is no client id
	stored chan struct{}        // closed when the catalog has it
	err    error                // why it has not; after stored
}

// isLocal reports whether a message of this sender is left out.
func (s *durableSub) isLocal(from *Conn) bool {
	if !s.opt.NoLocal || from == nil {
		return false
	}
	if s.opt.ClientID != "" {
		return s.opt.ClientID == from.opt.ClientID
	}
	return s.last.Load() == from
}

// durableRecord is a durable subscription in the catalog.
type durableRecord struct {
	ID       uint32       `json:"id"`
	Created  int64        `json:"created"` // ms since 1970
	Client   string       `json:"client,omitempty"`
	Topics   []string     `json:"topics"`
	Selector string       `json:"selector,omitempty"`
	Mode     SelectorMode `json:"mode,omitempty"`
	NoLocal  bool         `json:"noLocal,omitempty"`
}

func (q *queue) durableRecord() []byte {
	o := &q.dsub.opt
	value, err := json.Marshal(durableRecord{uint32(q.id), q.created.UnixMilli(), o.ClientID, o.Topics, o.Selector, o.SelectorMode, o.NoLocal})
	if err != nil {
		panic(err) // strings and numbers only
	}
	return value
}

// recoverDurable makes a durable subscription of its catalog entry.
func (b *Broker) recoverDurable(name string, value []byte) (*queue, error) {
	var r durableRecord
	if err := json.Unmarshal(value, &r); err != nil {
		return nil, err
	}
	o := DurableOptions{Name: name, ClientID: r.Client, Topics: r.Topics, Selector: r.Selector, SelectorMode: r.Mode, NoLocal: r.NoLocal}
	sel, err := newFilter(o.Selector, o.SelectorMode)
	if err != nil {
		b.log.Error("the selector of a durable subscription is no longer valid, so it gets all messages", "dest", name, "err", err)
	}
	q := b.newDurable(o, sel, store.DestID(r.ID))
	q.created = time.UnixMilli(r.Created)
	close(q.dsub.stored)
	return q, nil
}

func (b *Broker) newDurable(o DurableOptions, sel *filter, id store.DestID) *queue {
	q := b.newQueue(Destination{DurableSub, o.Name}, id)
	q.dsub = &durableSub{opt: o, filter: sel, stored: make(chan struct{})}
	return q
}

// OpenDurable makes a durable subscription, and returns when it is on disk. One
// that is there stays as it is, with its messages; one of other topics, or another
// selector, is deleted with its messages and made anew, as JMS has it, unless
// somebody is subscribed to it.
func (b *Broker) OpenDurable(o DurableOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	o.Topics = slices.Clone(o.Topics)
	slices.Sort(o.Topics)
	o.Topics = slices.Compact(o.Topics)
	sel, err := newFilter(o.Selector, o.SelectorMode)
	if err != nil {
		return err
	}
	for {
		q, err := b.findDurable(o, sel)
		if err != nil {
			return err
		}
		<-q.dsub.stored
		if q.dsub.err != nil {
			return q.dsub.err
		}
		if q.dsub.opt.same(&o) {
			return nil
		}
		if q.inUse() {
			return Errorf(CodeInUse, "the durable subscription %q is in use with other topics, another selector or another no-local; end its consumers before it is changed", o.Name)
		}
		b.log.Info("durable subscription changed: it is deleted and made anew", "dest", o.Name,
			"topics", q.dsub.opt.Topics, "selector", q.dsub.opt.Selector, "messages", q.depth.Load())
		if err := b.DeleteDurable(o.Name, false, func(error) {}); err != nil {
			return err
		}
	}
}

// findDurable returns the subscription of that name, or makes it.
func (b *Broker) findDurable(o DurableOptions, sel *filter) (*queue, error) {
	d := Destination{DurableSub, o.Name}
	b.destMu.Lock()
	defer b.destMu.Unlock()
	if q := b.queues[d]; q != nil {
		if old := q.dsub.opt.ClientID; old != o.ClientID {
			return nil, Errorf(CodeInUse, "the name %q belongs to a durable subscription of another client, %q; choose another name", o.Name, old)
		}
		return q, nil
	}
	if len(b.queues)+len(b.topics) >= b.opt.MaxDestinations {
		return nil, Errorf(CodeLimit, "there are %d destinations already, the most allowed; delete some", b.opt.MaxDestinations)
	}
	b.nextDest++
	q := b.newDurable(o, sel, store.DestID(b.nextDest))
	put := &store.Batch{Done: func(_ *store.Batch, err error) {
		if err != nil {
			q.dsub.err = b.storeError(err)
		}
		close(q.dsub.stored)
	}}
	b.putQueue(put, q)
	if err := b.store.Append(put); err != nil {
		return nil, b.storeError(err)
	}
	b.queues[d], b.byID[q.id] = q, q
	b.connectFeeds(q)
	for _, s := range b.wild {
		if s.opt.Browser && s.wants(d) {
			q.follow(s) // it was deleted and made again
		}
	}
	b.log.Info("durable subscription created", "dest", o.Name, "topics", o.Topics, "selector", o.Selector)
	return q, nil
}

// DeleteDurable removes a durable subscription with its messages. Unless force is
// set it is refused while somebody is subscribed. done is called when it is on disk.
func (b *Broker) DeleteDurable(name string, force bool, done func(error)) error {
	return b.deletePatiently(Destination{DurableSub, name}, force, nil, done)
}

func (q *queue) inUse() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.subs) > 0
}

// mayJoin says why a subscription must not consume from the queue beside those
// that do. q.mu is held.
func (q *queue) mayJoin(s *Subscription) error {
	if q.dsub == nil || len(q.subs) == 0 || slices.Contains(q.subs, s) {
		return nil
	}
	other := q.subs[0]
	if other.opt.Shared && s.opt.Shared {
		return nil
	}
	return Errorf(CodeInUse, "the durable subscription %q is in use by the connection from %s; end that first, or let all its consumers ask to share it", q.dest.Name, other.c.opt.Remote)
}

// DurableInfo is a snapshot of a durable subscription.
type DurableInfo struct {
	QueueInfo
	DurableOptions
}

// DurableSubscriptions returns all durable subscriptions in order of name. filter
// may be nil.
func (b *Broker) DurableSubscriptions(filter func(Destination) bool) []DurableInfo {
	var infos []DurableInfo
	for _, q := range b.queueList(func(d Destination) bool { return d.Kind == DurableSub && (filter == nil || filter(d)) }) {
		infos = append(infos, DurableInfo{q.info(), q.dsub.opt})
	}
	slices.SortFunc(infos, func(a, b DurableInfo) int { return compareNames(a.QueueInfo, b.QueueInfo) })
	return infos
}

// DurableSubscription returns one durable subscription.
func (b *Broker) DurableSubscription(name string) (DurableInfo, error) {
	q, err := b.existing(Destination{DurableSub, name})
	if err != nil {
		return DurableInfo{}, err
	}
	return DurableInfo{q.info(), q.dsub.opt}, nil
}
