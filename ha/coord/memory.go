package coord

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"sync"
)

// Memory is a coordination service inside this process. Its sessions never end
// by themselves; [Memory.Expire] ends them. The zero value is ready.
type Memory struct {
	mu       sync.Mutex
	exists   bool
	version  Version
	register []byte
	lease    []byte
	holder   *memSession
	members  map[string]memMember
	marks    map[string][]byte
	sessions map[*memSession]bool
}

type memMember struct {
	owner *memSession
	data  []byte
}

type memSession struct {
	m       *Memory
	changed chan struct{}
	lost    chan struct{}
	gone    bool // guarded by Memory.mu
}

// Open opens a session.
func (m *Memory) Open(ctx context.Context) (Session, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s := &memSession{m: m, changed: make(chan struct{}, 1), lost: make(chan struct{})}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.sessions == nil {
		m.sessions, m.members, m.marks = map[*memSession]bool{}, map[string]memMember{}, map[string][]byte{}
	}
	m.sessions[s] = true
	s.kick()
	return s, nil
}

// Expire ends all sessions, as a service does that has not heard of them for too long.
func (m *Memory) Expire() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for s := range maps.Clone(m.sessions) {
		s.end()
	}
}

func (s *memSession) kick() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// end is called with the lock held.
func (s *memSession) end() {
	if s.gone {
		return
	}
	s.gone = true
	close(s.lost)
	m := s.m
	delete(m.sessions, s)
	if m.holder == s {
		m.holder, m.lease = nil, nil
	}
	maps.DeleteFunc(m.members, func(_ string, e memMember) bool { return e.owner == s })
	m.notify()
}

func (m *Memory) notify() {
	for s := range m.sessions {
		s.kick()
	}
}

func (s *memSession) Changed() <-chan struct{} { return s.changed }
func (s *memSession) Lost() <-chan struct{}    { return s.lost }

func (s *memSession) Close() {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	s.end()
}

func (s *memSession) View() View {
	m := s.m
	m.mu.Lock()
	defer m.mu.Unlock()
	v := View{Connected: !s.gone, Read: true, Exists: m.exists, Version: m.version, Register: m.register,
		Leased: m.holder != nil, Own: m.holder == s, Lease: m.lease}
	for _, name := range slices.Sorted(maps.Keys(m.members)) {
		v.Members = append(v.Members, Entry{name, m.members[name].data})
	}
	for _, name := range slices.Sorted(maps.Keys(m.marks)) {
		v.Marks = append(v.Marks, Entry{name, m.marks[name]})
	}
	return v
}

// change runs f with the lock held if the session lives.
func (s *memSession) change(data []byte, f func(*Memory) Result) Result {
	if len(data) > MaxData {
		return Result{Outcome: Refused, Err: ErrTooLarge}
	}
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	if s.gone {
		return Result{Err: ErrLost}
	}
	r := f(s.m)
	if r.Outcome == Done {
		s.m.notify()
	}
	return r
}

func (s *memSession) Write(_ context.Context, c Change) Result {
	return s.change(c.Register, func(m *Memory) Result {
		stale := m.version != c.Version
		if c.Version == NoRegister {
			stale = m.exists
		}
		if stale || (c.Version != NoRegister && !m.exists) || (c.DropLease && m.holder == nil) ||
			(c.CreateLease != nil && !c.DropLease && m.holder != nil) {
			return Result{Outcome: Conflict, Err: errConflict}
		}
		if m.exists {
			m.version++
		}
		m.exists, m.register = true, bytes.Clone(c.Register)
		if c.DropLease {
			m.holder, m.lease = nil, nil
		}
		if c.CreateLease != nil {
			m.holder, m.lease = s, bytes.Clone(c.CreateLease)
		}
		return Result{Outcome: Done, Version: m.version}
	})
}

func (s *memSession) Reclaim(_ context.Context, v Version, lease []byte) Result {
	return s.change(lease, func(m *Memory) Result {
		if !m.exists || m.version != v || m.holder != nil {
			return Result{Outcome: Conflict, Err: errConflict}
		}
		m.holder, m.lease = s, bytes.Clone(lease)
		return Result{Outcome: Done, Version: v}
	})
}

func (s *memSession) Publish(_ context.Context, name string, data []byte) Result {
	return s.change(data, func(m *Memory) Result {
		m.members[name] = memMember{s, bytes.Clone(data)}
		return Result{Outcome: Done}
	})
}

func (s *memSession) Mark(_ context.Context, name string, data []byte) Result {
	return s.change(data, func(m *Memory) Result {
		m.marks[name] = bytes.Clone(data)
		return Result{Outcome: Done}
	})
}

func (s *memSession) Unmark(_ context.Context, name string) Result {
	return s.change(nil, func(m *Memory) Result {
		delete(m.marks, name)
		return Result{Outcome: Done}
	})
}
