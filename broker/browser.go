package broker

import (
	"slices"
	"strings"

	"treadmq/store"
)

// Bounds of one read of a browsing subscription.
const (
	browsePage  = 256
	browseBytes = 1 << 20
)

// browser is the state of a subscription that looks at queues without taking
// anything: it shows what was there when it subscribed, as its credit allows, and
// then an end mark; or (tail.go) also what comes later, and has no end.
// Guarded by Conn.mu but for what run owns.
type browser struct {
	tail    *tail
	queues  []Destination
	upto    store.Seq // messages from here on came later
	at      Cursor    // of the first of queues; run's
	running bool
	ended   bool
}

// startBrowser finds the queues to show: those that are there now.
func (b *Broker) startBrowser(s *Subscription) error {
	br := &browser{upto: b.store.NextSeq()}
	for _, d := range s.opt.Dests {
		if !d.IsPattern() {
			if _, err := b.existing(d); err != nil && d.Kind.IsTemporary() {
				return err
			}
			br.queues = append(br.queues, d)
			continue
		}
		for _, q := range b.Queues(func(x Destination) bool { return x.Kind == d.Kind && d.Covers(x.Name) }) {
			br.queues = append(br.queues, q.Destination)
		}
	}
	slices.SortFunc(br.queues, func(a, b Destination) int { return strings.Compare(a.Name, b.Name) })
	br.queues = slices.Compact(br.queues)
	s.browser = br
	return nil
}

// runBrowser goes on showing when there is credit. c.mu is held.
func (s *Subscription) runBrowser() {
	br := s.browser
	if br == nil || br.running || br.ended || !s.started || s.closed || s.credit <= 0 || s.creditBytes <= 0 {
		return
	}
	if br.tail == nil {
		br.running = true
		s.c.b.spawn(s.showPages)
	} else if br.tail.next() != nil {
		br.running = true
		s.c.b.spawn(s.showNews)
	}
}

// showPages reads and delivers until the credit or the queues are used up.
func (s *Subscription) showPages() {
	br := s.browser
	for {
		list, next, more := s.nextPage()
		var k wakes
		s.c.mu.Lock()
		if s.closed || s.stopped {
			br.running = false
			s.c.mu.Unlock()
			return
		}
		n := s.show(list, &k)
		if n > 0 {
			last := list[n-1]
			br.at = Cursor{last.Lane, last.Seq}
		}
		full := n < len(list)
		switch {
		case full:
		case more:
			br.at = next
		case len(br.queues) > 1:
			br.queues, br.at = br.queues[1:], Cursor{}
		default:
			br.queues = nil
			br.ended = true
			s.c.out = append(s.c.out, Delivery{Sub: s, BrowseEnd: true})
			k.note(s.c)
		}
		stop := full || br.ended
		if stop {
			br.running = false
		}
		s.c.mu.Unlock()
		k.flush()
		if stop {
			return
		}
	}
}

// nextPage reads what comes next of the first queue. A queue that is gone is over.
func (s *Subscription) nextPage() (list []Browsed, next Cursor, more bool) {
	br := s.browser
	if len(br.queues) == 0 {
		return nil, Cursor{}, false
	}
	list, next, more, err := s.c.b.Browse(br.queues[0], br.at, browsePage, browseBytes)
	if err != nil {
		return nil, Cursor{}, false
	}
	return list, next, more
}

// show delivers from a page as far as the credit goes and returns how many of
// the page are done with. c.mu is held.
func (s *Subscription) show(list []Browsed, k *wakes) int {
	now := s.c.b.now().UnixMilli()
	for i := range list {
		m := &list[i]
		if m.Seq >= s.browser.upto || (m.Expiration != 0 && m.Expiration <= now) ||
			!s.filter.matches(s.c.b, m.Message, m.Dest, m.Attempts, m.Expiration, m.Overlay) {
			continue
		}
		if !s.started || s.closed || s.credit <= 0 || s.creditBytes <= 0 {
			return i
		}
		size := m.Message.Size()
		s.credit--
		s.creditBytes -= int64(size)
		tag := uint64(0)
		if !s.auto {
			tag = s.push(slot{id: m.Message.ID(), size: uint32(size), state: slotOut})
		}
		s.countDelivery()
		s.c.out = append(s.c.out, Delivery{Sub: s, Message: m.Message, Dest: m.Dest, Tag: tag, Seq: m.Seq,
			Attempts: m.Attempts + 1, Redelivered: m.Attempts > 0, Expiration: m.Expiration, Overlay: m.Overlay})
		k.note(s.c)
	}
	return len(list)
}
