package zk

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-zookeeper/zk"

	"treadmq/ha/coord"
)

const rereadInterval = time.Second // a watch tells that something changed, and may be late

// session is one connection of the client library and the one session that it may have.
type session struct {
	c    *Coordinator
	conn *zk.Conn

	up      atomic.Bool   // connected to a server, as far as is known
	kick    chan struct{} // capacity 1: read again
	changed chan struct{} // capacity 1
	lost    chan struct{}
	lose    sync.Once
	wg      sync.WaitGroup // readLoop, and who closes the connection

	// writing holds one token: changes take effect in the order of the calls, so the next one
	// waits for the answer to one before that nobody waits for any more.
	writing chan struct{}

	mu      sync.Mutex // guards what follows
	view    coord.View
	watched map[string]bool // nodes with a watch that has not fired
	mine    map[string]bool // members that this session made
}

func newSession(c *Coordinator) *session {
	return &session{
		c: c, kick: make(chan struct{}, 1), changed: make(chan struct{}, 1), lost: make(chan struct{}),
		writing: make(chan struct{}, 1), watched: map[string]bool{}, mine: map[string]bool{},
	}
}

// impatient caps the time that the library waits for an answer: it would hold a
// server that accepts and says nothing for ten times as long.
type impatient struct {
	net.Conn
	limit time.Duration
}

func (c impatient) SetReadDeadline(t time.Time) error {
	if last := time.Now().Add(c.limit); t.IsZero() || t.After(last) {
		t = last
	}
	return c.Conn.SetReadDeadline(t)
}

// quiet lets the library's lines through at the lowest level.
type quiet struct{ log *slog.Logger }

func (q quiet) Printf(format string, args ...any) {
	q.log.Debug("ZooKeeper client: " + fmt.Sprintf(format, args...))
}

func (s *session) connect() error {
	o := s.c.opt
	dial := func(network, addr string, limit time.Duration) (net.Conn, error) {
		conn, err := o.Dial(network, addr, min(limit, o.Timeout/3))
		if err != nil {
			return nil, err
		}
		return impatient{conn, o.Timeout * 2 / 3}, nil
	}
	// The callback is called from the library's goroutines and must not wait.
	conn, _, err := zk.Connect(o.Servers, o.Timeout, zk.WithLogInfo(false), zk.WithLogger(quiet{o.Log}),
		zk.WithMaxBufferSize(maxPacket), zk.WithDialer(dial), zk.WithEventCallback(s.onEvent))
	if err != nil {
		return err
	}
	s.conn = conn
	s.wg.Go(func() { // the library would go on with another session
		<-s.lost
		conn.Close()
	})
	return nil
}

// onEvent is the only place where expiry is learnt: before the library's next
// step, which would be a new session.
func (s *session) onEvent(e zk.Event) {
	if s.ended() {
		return
	}
	if e.Type != zk.EventSession {
		s.mu.Lock()
		delete(s.watched, e.Path)
		s.mu.Unlock()
		signal(s.kick)
		return
	}
	switch e.State {
	case zk.StateExpired:
		s.end()
	case zk.StateHasSession:
		s.up.Store(true)
		signal(s.kick)
		signal(s.changed)
	case zk.StateDisconnected, zk.StateConnecting:
		if s.up.Swap(false) {
			signal(s.changed)
		}
	}
}

func (s *session) ended() bool {
	select {
	case <-s.lost:
		return true
	default:
		return false
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (s *session) end() {
	s.lose.Do(func() {
		s.up.Store(false)
		close(s.lost)
		signal(s.changed)
	})
}

func (s *session) Changed() <-chan struct{} { return s.changed }
func (s *session) Lost() <-chan struct{}    { return s.lost }

func (s *session) View() coord.View {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.view
	v.Connected = s.up.Load()
	return v
}

// Close ends the session. It waits at most a second or so for a server's answer.
func (s *session) Close() {
	s.end()
	s.wg.Wait()
}

// call runs a call of the library, which has no time limit, for at most the
// session's time-out. What answers later is not heard.
func (s *session) call(ctx context.Context, f func() error) error {
	if s.ended() {
		return coord.ErrLost
	}
	done := make(chan error, 1)
	go func() { done <- f() }() // ends with its answer or with the connection
	limit := time.NewTimer(s.c.opt.Timeout)
	defer limit.Stop()
	select {
	case err := <-done:
		return err
	case <-s.lost:
		return coord.ErrLost
	case <-ctx.Done():
		return ctx.Err()
	case <-limit.C:
		return fmt.Errorf("no answer within %v", s.c.opt.Timeout)
	}
}

// readLoop keeps the view up to date until the session ends.
func (s *session) readLoop() {
	tick := time.NewTicker(rereadInterval)
	defer tick.Stop()
	for {
		if v, err := s.read(); err == nil {
			s.show(v)
		} else if !errors.Is(err, errMoved) {
			s.c.opt.Log.Debug("ZooKeeper was not read", "path", s.c.root, "error", err)
		} else {
			signal(s.kick)
		}
		select {
		case <-s.kick:
		case <-tick.C:
		case <-s.lost:
			return
		}
	}
}

func (s *session) show(v coord.View) {
	s.mu.Lock()
	same := s.view.Read && equal(s.view, v)
	s.view = v
	s.mu.Unlock()
	if !same {
		signal(s.changed)
	}
}

// errMoved: a node came or went while it was read; read again.
var errMoved = errors.New("changed while it was read")

func (s *session) read() (coord.View, error) {
	v := coord.View{Read: true}
	data, stat, err := s.get(s.c.node("state"))
	if err != nil {
		return v, err
	}
	if stat != nil {
		v.Exists, v.Version, v.Register = true, coord.Version(stat.Version), data
	}
	if data, stat, err = s.get(s.c.node("master")); err != nil {
		return v, err
	}
	if stat != nil {
		v.Leased, v.Own, v.Lease = true, stat.EphemeralOwner == s.conn.SessionID(), data
	}
	if v.Members, err = s.children("members"); err != nil {
		return v, err
	}
	v.Marks, err = s.children("suspect")
	return v, err
}

// watch reports whether a node needs a watch, and notes that it will have one.
// The library keeps every watch until it fires, so there must not be two.
func (s *session) watch(node string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.watched[node] {
		return false
	}
	s.watched[node] = true
	return true
}

func (s *session) unwatch(node string) {
	s.mu.Lock()
	delete(s.watched, node)
	s.mu.Unlock()
}

// get returns a node's data, or no stat if there is no such node.
func (s *session) get(node string) (data []byte, stat *zk.Stat, err error) {
	if !s.watch(node) {
		data, stat, err = s.conn.Get(node)
	} else if data, stat, _, err = s.conn.GetW(node); err != nil {
		s.unwatch(node)
	}
	if !errors.Is(err, zk.ErrNoNode) {
		return data, stat, err
	}
	// Wait for its coming.
	if !s.watch(node) {
		return nil, nil, nil
	}
	found, _, _, err := s.conn.ExistsW(node)
	if err != nil {
		s.unwatch(node)
		return nil, nil, err
	}
	if found {
		return nil, nil, errMoved
	}
	return nil, nil, nil
}

func (s *session) children(name string) ([]coord.Entry, error) {
	node := s.c.node(name)
	var names []string
	var err error
	if !s.watch(node) {
		names, _, err = s.conn.Children(node)
	} else if names, _, _, err = s.conn.ChildrenW(node); err != nil {
		s.unwatch(node)
	}
	if errors.Is(err, zk.ErrNoNode) {
		return nil, nil // somebody removed the group's nodes: the view has to say so
	}
	if err != nil {
		return nil, err
	}
	if len(names) > coord.MaxEntries {
		return nil, fmt.Errorf("%s has %d nodes, more than %d; something else writes there", node, len(names), coord.MaxEntries)
	}
	slices.Sort(names)
	var entries []coord.Entry
	for _, n := range names {
		data, stat, err := s.get(s.c.node(name, n))
		if err != nil {
			return nil, err
		}
		if stat == nil {
			return nil, errMoved
		}
		entries = append(entries, coord.Entry{Name: n, Data: data})
	}
	return entries, nil
}

func equal(a, b coord.View) bool {
	same := func(x, y coord.Entry) int {
		return cmp.Or(cmp.Compare(x.Name, y.Name), cmp.Compare(string(x.Data), string(y.Data)))
	}
	return a.Exists == b.Exists && a.Version == b.Version && string(a.Register) == string(b.Register) &&
		a.Leased == b.Leased && a.Own == b.Own && string(a.Lease) == string(b.Lease) &&
		slices.CompareFunc(a.Members, b.Members, same) == 0 && slices.CompareFunc(a.Marks, b.Marks, same) == 0
}
