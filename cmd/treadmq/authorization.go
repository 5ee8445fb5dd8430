package main

import (
	"time"

	"treadmq/broker"
	"treadmq/conf"
	"treadmq/conf/realm"
)

// guard answers the broker with the configuration's entries and the roles that the realm
// file gives.
type guard struct {
	rules conf.Authorization
	users *users
}

// Rights implements broker.Guard.
func (g guard) Rights(user string, d broker.Destination) broker.Right {
	kind := conf.Temporary
	switch d.Kind {
	case broker.Queue:
		kind = conf.Queue
	case broker.Topic:
		kind = conf.Topic
	}
	found, known := g.users.realm.Lookup(user)
	if role := g.users.tokens.Load().Role(user, time.Now()); role != "" && !known {
		found.Roles = []string{role}
	}
	r := g.rules.Rights(user, found.Roles, kind, d.Name)
	var right broker.Right
	for _, x := range []struct {
		has bool
		broker.Right
	}{{r.Read, broker.RightRead}, {r.Write, broker.RightWrite}, {r.Admin, broker.RightAdmin}} {
		if x.has {
			right |= x.Right
		}
	}
	return right
}

// authorize has the broker follow the entries that are in force, and the roles as they
// are now.
func (s *service) authorize() {
	rules := s.n.inForce.Load().Authorization
	if len(rules) == 0 {
		s.broker.SetGuard(nil)
		return
	}
	s.broker.SetGuard(guard{rules, s.n.users})
}

// authorize is that of the broker that serves clients, if there is one. It comes after each
// change of what it depends on, and after a broker is there: so none is missed.
func (n *node) authorize() {
	if s := n.current.Load(); s != nil {
		s.authorize()
	}
}

// refreshUsers reads a changed realm file. Who is not in it any more is not connected any
// more.
func (n *node) refreshUsers() {
	before := n.users.realm.Users()
	if !n.users.refresh(n.log) {
		return
	}
	n.authorize()
	n.reportWeak()
	n.state.Warnings = n.warnings()
	if err := n.state.write(); err != nil {
		n.log.Warn("the run file cannot be written, so the status is that of before", "err", err)
	}
	gone := map[string]bool{}
	for _, u := range before {
		if _, still := n.users.realm.Lookup(u.Name); !still {
			gone[u.Name] = true
		}
	}
	s := n.current.Load()
	if s == nil || len(gone) == 0 {
		return
	}
	for _, c := range s.broker.Connections() {
		if user := c.ConnOptions.User; gone[user] && s.broker.Kill(c.Serial, "the user "+user+" is not in the file of users any more") {
			n.log.Info("connection ended: its user is not in the realm file any more", "user", user, "conn", c.ConnOptions.Remote)
		}
	}
}

// readCertUsers reads which distinguished name is which user.
func (n *node) readCertUsers() error {
	file := n.cfg.Stomp.TLS.CertUsers
	if file == "" {
		return nil
	}
	names, err := realm.ReadNames(file)
	if err == nil {
		n.names.Store(&names)
	}
	return err
}

// certUsers is what the STOMP front end asks, nil without a file of names.
func (n *node) certUsers() func(dn string) string {
	if n.names.Load() == nil {
		return nil
	}
	return func(dn string) string { return n.names.Load().User(dn) }
}
