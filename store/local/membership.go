package local

import (
	"errors"
	"fmt"
	"syscall"

	"treadmq/store"
)

// Membership is what a member keeps durably beside its store.
type Membership struct {
	Cluster  string      // that the folder belongs to; never changes once it is set
	Promised store.Epoch // nothing of an epoch below is accepted; never falls
	Suspect  bool        // see ReplicaState
	Extra    []byte      // the caller's, JSON
}

func (m *meta) set(x Membership) {
	m.Cluster, m.Promised, m.Suspect, m.Extra = x.Cluster, x.Promised, x.Suspect, x.Extra
}

// Membership returns what was saved last.
func (r *Replica) Membership() Membership {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := &r.s.meta
	return Membership{m.Cluster, m.Promised, m.Suspect, m.Extra}
}

// SaveMembership makes a membership durable.
func (r *Replica) SaveMembership(x Membership) error {
	s := r.s
	if err := s.failed(); err != nil {
		return err
	}
	r.mu.Lock()
	m := s.meta
	r.mu.Unlock()
	if x.Promised < m.Promised {
		return fmt.Errorf("promise epoch %d: %d is promised already", x.Promised, m.Promised)
	}
	if m.Cluster != "" && m.Cluster != x.Cluster {
		return fmt.Errorf("folder %s belongs to cluster %q, not %q", s.opts.Dir, m.Cluster, x.Cluster)
	}
	m.set(x)
	err := m.save(s.opts.FS, s.opts.Dir)
	if errors.Is(err, syscall.ENOSPC) && s.giveReserve() {
		err = m.save(s.opts.FS, s.opts.Dir)
	}
	if err != nil {
		return s.fail(err)
	}
	r.mu.Lock()
	s.meta = m
	r.mu.Unlock()
	return nil
}

// Membership is the member's, while it leads.
func (s *Store) Membership() Membership { return s.replica.Membership() }

// SaveMembership is the member's, while it leads.
func (s *Store) SaveMembership(x Membership) error { return s.replica.SaveMembership(x) }
