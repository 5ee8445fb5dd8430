package stomp

import (
	"sync"

	"treadmq/broker"
)

// aliases are a connection's own names of its temporary destinations. They live as long as the connection.
type aliases struct {
	mu     sync.RWMutex // guards both; the reader writes, the writer reads
	byName map[broker.Destination]broker.Destination
	real   map[broker.Destination]string // to the alias
	reply  bool                          // temporary queues of others are called /reply-queue/; does not change
}

// temp returns the temporary destination that the connection calls alias, and creates it on first use.
func (s *session) temp(kind broker.Kind, alias string) (broker.Destination, error) {
	if err := broker.CheckName(alias, false); err != nil {
		return broker.Destination{}, err
	}
	a := &s.aliases
	key := broker.Destination{Kind: kind, Name: alias}
	if d, ok := a.byName[key]; ok {
		return d, nil
	}
	if len(a.byName) >= maxTemporaries {
		return broker.Destination{}, requestFault(broker.CodeLimit, "too many temporary destinations",
			"a connection may have %d; use one for many replies and tell them apart by correlation-id", maxTemporaries)
	}
	d, err := s.conn.CreateTemp(kind)
	if err != nil {
		return broker.Destination{}, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.byName == nil {
		a.byName = make(map[broker.Destination]broker.Destination)
		a.real = make(map[broker.Destination]string)
	}
	a.byName[key], a.real[d] = d, alias
	return d, nil
}

// appendDest appends a destination as this connection sees it: its own temporary ones by their alias.
func (a *aliases) appendDest(dst []byte, d broker.Destination) []byte {
	if !d.Kind.IsTemporary() {
		return appendDest(dst, d)
	}
	a.mu.RLock()
	alias, own := a.real[d]
	a.mu.RUnlock()
	switch {
	case !own && a.reply && d.Kind == broker.TempQueue:
		return append(append(dst, prefixReplyQueue...), d.Name...)
	case !own:
		return appendDest(dst, d)
	}
	if d.Kind == broker.TempQueue {
		dst = append(dst, prefixTempQueue...)
	} else {
		dst = append(dst, prefixTempTopic...)
	}
	return append(dst, alias...)
}
