// Package zk is the coordination service of ha/coord on ZooKeeper.
//
// Its nodes, below <path>/<group>:
//
//	state         the register, persistent
//	master        the lease, ephemeral
//	members/NAME  ephemeral
//	suspect/NAME  marks, persistent
//
// One connection of the client library is one session: on expiry the library would
// go on with another session at once, so the connection is given up instead.
// Whatever is not a definite answer of a server is coord.Unknown. Calls of the
// library have no time limit of their own and get one here.
package zk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"

	"treadmq/ha/coord"
)

// Defaults and limits.
const (
	DefaultTimeout = 6 * time.Second
	MinTimeout     = time.Second
	MaxTimeout     = 10 * time.Minute
	user           = "treadmq" // of the digest that zkPassword makes
	maxPacket      = 4 << 20   // bytes of one answer of a server
)

// Options say where the service is.
type Options struct {
	Servers  []string      // host:port
	Path     string        // zkPath: absolute, the parent of all groups
	Group    string        // a path segment
	Password string        // zkPassword; empty: the nodes are open to all
	Timeout  time.Duration // zkSessionTimeout; 0 = DefaultTimeout. Servers clamp it to 2 to 20 of their ticks
	Log      *slog.Logger
	// Dial replaces net.DialTimeout, for TLS and for tests; nil = plain TCP.
	Dial func(network, address string, timeout time.Duration) (net.Conn, error)
}

// Coordinator opens sessions with ZooKeeper.
type Coordinator struct {
	opt  Options
	root string
	acl  []zk.ACL
}

// New checks the options. It connects to nothing.
func New(o Options) (*Coordinator, error) {
	if len(o.Servers) == 0 {
		return nil, errors.New("zkAddress names no ZooKeeper server")
	}
	for _, s := range o.Servers {
		if _, port, err := net.SplitHostPort(s); err != nil || port == "" {
			return nil, fmt.Errorf("zkAddress: %q is not host:port", s)
		}
	}
	if err := checkPath(o.Path); err != nil {
		return nil, err
	}
	if o.Group == "" || strings.Contains(o.Group, "/") || o.Group == "." || o.Group == ".." || strings.ContainsFunc(o.Group, control) {
		return nil, fmt.Errorf("%q cannot be the name of a group: it must be one segment of a path", o.Group)
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Timeout < MinTimeout || o.Timeout > MaxTimeout {
		return nil, fmt.Errorf("zkSessionTimeout is %v; it must be between %v and %v", o.Timeout, MinTimeout, MaxTimeout)
	}
	if strings.ContainsFunc(o.Password, control) {
		return nil, errors.New("zkPassword has a control character")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Dial == nil {
		o.Dial = net.DialTimeout
	}
	c := &Coordinator{opt: o, root: path.Join(o.Path, o.Group), acl: zk.WorldACL(zk.PermAll)}
	if o.Password != "" {
		c.acl = zk.DigestACL(zk.PermAll, user, o.Password)
	}
	return c, nil
}

func control(r rune) bool { return r < ' ' || r == 0x7f }

func checkPath(p string) error {
	switch {
	case !strings.HasPrefix(p, "/") || p == "/":
		return fmt.Errorf("zkPath is %q; it must begin with / and name at least one node, for example /treadmq", p)
	case path.Clean(p) != p:
		return fmt.Errorf("zkPath is %q; write it as %q", p, path.Clean(p))
	case p == "/zookeeper" || strings.HasPrefix(p, "/zookeeper/"):
		return errors.New("zkPath lies below /zookeeper, which is ZooKeeper's own")
	case strings.ContainsFunc(p, control):
		return errors.New("zkPath has a control character")
	}
	return nil
}

// Root is the node below which the group's nodes are.
func (c *Coordinator) Root() string { return c.root }

func (c *Coordinator) node(name ...string) string {
	return path.Join(slices.Concat([]string{c.root}, name)...)
}

// Open connects, proves the password and makes the group's nodes where they are missing.
func (c *Coordinator) Open(ctx context.Context) (coord.Session, error) {
	s := newSession(c)
	if err := s.connect(); err != nil {
		return nil, fmt.Errorf("connect to ZooKeeper at %s: %w", strings.Join(c.opt.Servers, ", "), err)
	}
	if err := s.prepare(ctx); err != nil {
		s.Close()
		return nil, err
	}
	s.wg.Go(s.readLoop)
	return s, nil
}

// prepare makes the group's nodes. Parents of the path stay open, so that groups
// with other passwords can live beside this one; a parent with children cannot be removed.
func (s *session) prepare(ctx context.Context) error {
	c := s.c
	if c.opt.Password != "" {
		secret := []byte(user + ":" + c.opt.Password)
		if err := s.call(ctx, func() error { return s.conn.AddAuth("digest", secret) }); err != nil {
			return s.openError(err)
		}
	}
	segments := strings.Split(strings.Trim(c.opt.Path, "/"), "/")
	parent := ""
	for _, seg := range segments {
		parent += "/" + seg
		if err := s.ensure(ctx, parent, zk.WorldACL(zk.PermAll)); err != nil {
			return err
		}
	}
	for _, p := range []string{c.root, c.node("members"), c.node("suspect")} {
		if err := s.ensure(ctx, p, c.acl); err != nil {
			return err
		}
	}
	if err := s.checkAccess(ctx); err != nil {
		return err
	}
	// What is read from now on is not older than this: a server may lag behind the others.
	if err := s.call(ctx, func() error { _, err := s.conn.Sync(c.root); return err }); err != nil {
		return s.openError(err)
	}
	return nil
}

func (s *session) ensure(ctx context.Context, node string, acl []zk.ACL) error {
	err := s.call(ctx, func() error {
		if found, _, err := s.conn.Exists(node); err != nil || found {
			return err
		}
		_, err := s.conn.Create(node, nil, 0, acl)
		if errors.Is(err, zk.ErrNodeExists) { // another broker was faster
			err = nil
		}
		return err
	})
	if errors.Is(err, zk.ErrNoAuth) {
		return fmt.Errorf("ZooKeeper does not let us create %s: its parent has other rights; give zkPath another value or change the rights there: %w", node, err)
	}
	if err != nil {
		return s.openError(err)
	}
	return nil
}

// checkAccess finds out whether the password is the one that the nodes were made with.
func (s *session) checkAccess(ctx context.Context) error {
	root := s.c.root
	err := s.call(ctx, func() error { _, _, err := s.conn.Get(root); return err })
	if errors.Is(err, zk.ErrNoAuth) {
		return fmt.Errorf("ZooKeeper refuses access to %s: zkPassword is not the one that the group was made with: %w", root, err)
	}
	if err != nil {
		return s.openError(err)
	}
	if s.c.opt.Password == "" {
		return nil
	}
	var acl []zk.ACL
	if err := s.call(ctx, func() (err error) { acl, _, err = s.conn.GetACL(root); return err }); err != nil {
		return s.openError(err)
	}
	if slices.ContainsFunc(acl, func(a zk.ACL) bool { return a.Scheme == "world" && a.Perms&^zk.PermRead != 0 }) {
		s.c.opt.Log.Warn("the group's nodes in ZooKeeper are open to everybody: they were made without zkPassword; remove them while no broker runs, they are made again with it", "path", root)
	}
	return nil
}

func (s *session) openError(err error) error {
	return fmt.Errorf("ZooKeeper at %s does not serve: %w", strings.Join(s.c.opt.Servers, ", "), err)
}
