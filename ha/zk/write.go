package zk

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-zookeeper/zk"

	"treadmq/ha/coord"
)

// Write changes the register by compare-and-set; with the lease it is one ZooKeeper transaction.
func (s *session) Write(ctx context.Context, ch coord.Change) coord.Result {
	state, lease := s.c.node("state"), s.c.node("master")
	var ops []any
	if ch.Version == coord.NoRegister {
		ops = append(ops, &zk.CreateRequest{Path: state, Data: ch.Register, Acl: s.c.acl})
	} else {
		ops = append(ops, &zk.SetDataRequest{Path: state, Data: ch.Register, Version: int32(ch.Version)})
	}
	if ch.DropLease {
		ops = append(ops, &zk.DeleteRequest{Path: lease, Version: -1})
	}
	if ch.CreateLease != nil {
		ops = append(ops, &zk.CreateRequest{Path: lease, Data: ch.CreateLease, Acl: s.c.acl, Flags: zk.FlagEphemeral})
	}
	version := coord.Version(0)
	r := s.change(ctx, max(len(ch.Register), len(ch.CreateLease)), func() error {
		res, err := s.conn.Multi(ops...)
		if err == nil && len(res) > 0 && res[0].Stat != nil {
			version = coord.Version(res[0].Stat.Version)
		}
		return err
	})
	if r.Outcome == coord.Done {
		r.Version = version
	}
	return r
}

// Reclaim makes the lease again if nobody changed the register meanwhile.
func (s *session) Reclaim(ctx context.Context, v coord.Version, lease []byte) coord.Result {
	r := s.change(ctx, len(lease), func() error {
		_, err := s.conn.Multi(
			&zk.CheckVersionRequest{Path: s.c.node("state"), Version: int32(v)},
			&zk.CreateRequest{Path: s.c.node("master"), Data: lease, Acl: s.c.acl, Flags: zk.FlagEphemeral})
		return err
	})
	if r.Outcome == coord.Done {
		r.Version = v
	}
	return r
}

// Publish sets the member's entry. A node that an earlier session made would vanish
// with that session, so it is replaced and not set.
func (s *session) Publish(ctx context.Context, name string, data []byte) coord.Result {
	node := s.c.node("members", name)
	return s.change(ctx, len(data), func() error {
		if s.made(name) {
			if _, err := s.conn.Set(node, data, -1); !errors.Is(err, zk.ErrNoNode) {
				return err
			}
		}
		create := &zk.CreateRequest{Path: node, Data: data, Acl: s.c.acl, Flags: zk.FlagEphemeral}
		_, err := s.conn.Multi(create)
		if errors.Is(err, zk.ErrNodeExists) {
			_, err = s.conn.Multi(&zk.DeleteRequest{Path: node, Version: -1}, create)
		}
		if err == nil {
			s.mu.Lock()
			s.mine[name] = true
			s.mu.Unlock()
		}
		return err
	})
}

func (s *session) made(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mine[name]
}

// Mark sets a node that outlives the session.
func (s *session) Mark(ctx context.Context, name string, data []byte) coord.Result {
	node := s.c.node("suspect", name)
	return s.change(ctx, len(data), func() error {
		_, err := s.conn.Set(node, data, -1)
		if errors.Is(err, zk.ErrNoNode) {
			_, err = s.conn.Create(node, data, 0, s.c.acl)
		}
		return err
	})
}

// Unmark removes a mark; none there is as good.
func (s *session) Unmark(ctx context.Context, name string) coord.Result {
	node := s.c.node("suspect", name)
	return s.change(ctx, 0, func() error {
		if err := s.conn.Delete(node, -1); !errors.Is(err, zk.ErrNoNode) {
			return err
		}
		return nil
	})
}

// change runs one change and says what is known of it.
func (s *session) change(ctx context.Context, size int, f func() error) coord.Result {
	if size > coord.MaxData {
		return coord.Result{Outcome: coord.Refused, Err: fmt.Errorf("%d bytes: %w", size, coord.ErrTooLarge)}
	}
	select {
	case s.writing <- struct{}{}:
	case <-s.lost:
		return coord.Result{Err: coord.ErrLost}
	case <-ctx.Done():
		return coord.Result{Err: ctx.Err()}
	}
	err := s.call(ctx, func() error {
		defer func() { <-s.writing }() // also when nobody waits any more
		return f()
	})
	if s.ended() { // whatever was answered: it may have been another session's
		return coord.Result{Err: coord.ErrLost}
	}
	signal(s.kick)
	switch {
	case err == nil:
		return coord.Result{Outcome: coord.Done}
	case errors.Is(err, zk.ErrBadVersion), errors.Is(err, zk.ErrNodeExists), errors.Is(err, zk.ErrNoNode):
		return coord.Result{Outcome: coord.Conflict, Err: err}
	case errors.Is(err, zk.ErrNoAuth), errors.Is(err, zk.ErrInvalidACL), errors.Is(err, zk.ErrBadArguments), errors.Is(err, zk.ErrInvalidPath):
		return coord.Result{Outcome: coord.Refused, Err: err}
	}
	return coord.Result{Err: err}
}
