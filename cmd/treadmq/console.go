package main

import (
	"context"
	"crypto/tls"
	"net"
	"path/filepath"
	"time"

	"treadmq/admin"
	"treadmq/broker"
	"treadmq/notice"
	"treadmq/webui"
)

// webConsole is an admin.Server, or an admin.Switch of a member of a group.
type webConsole interface {
	Serve(net.Listener) error
	Shutdown(context.Context) error
}

// openConsole starts the console, unless its address is empty.
func (n *node) openConsole() error {
	c := n.cfg.Console
	if c.Listen == "" {
		return nil
	}
	var err error
	if n.console, err = n.newConsole(); err != nil {
		return exitError(exitConfig, "%v", err)
	}
	l, err := listen(c.Listen)
	if err != nil {
		return err
	}
	scheme := "http"
	addr := l.Addr().String()
	if n.webTLS != nil {
		scheme, l = "https", tls.NewListener(l, n.webTLS.config())
	}
	n.state.Console = scheme + "://" + reachable(addr) + c.PathPrefix + "/admin/"
	n.serve(&n.serving, "console", func() error { return n.console.Serve(l) })
	return nil
}

func (n *node) newConsole() (webConsole, error) {
	c := n.cfg.Console
	tokens, err := admin.OpenTokens(filepath.Join(n.cfg.Data, "tokens.json"))
	if err != nil {
		return nil, err
	}
	links, err := admin.OpenLinks(filepath.Join(n.cfg.Data, "links.json"))
	if err != nil {
		return nil, err
	}
	n.users.tokens.Store(tokens)
	o := admin.Options{
		Tokens: tokens, Links: links,
		Auth: webUsers{n.users}, UI: webui.FS(), Info: n.info, Policy: n.policy, Logger: n.log,
		Ready: n.ready, Rules: n.rules, Settings: n.settings, Config: n.configEntries,
		SessionIdle: c.SessionIdle, SessionMax: c.SessionMax, PathPrefix: c.PathPrefix, TrustedOrigins: c.TrustedOrigins, ReadOnly: c.ReadOnly,
		Secure: c.HTTPS || n.webTLS != nil,
	}
	if n.cfg.Replicated.Enabled {
		o.Cluster = n.member
		return admin.NewSwitch(o)
	}
	o.Broker = n.current.Load().broker
	return admin.New(o)
}

// ready says whether clients are taken.
func (n *node) ready() (bool, []notice.Notice) {
	no := func(code, format string, facts ...any) (bool, []notice.Notice) {
		return false, []notice.Notice{notice.New(code, format, facts...)}
	}
	if n.stopping.Load() {
		return no("ready.stopping", "the broker is stopping")
	}
	s := n.current.Load()
	switch {
	case s == nil && n.cfg.Replicated.Enabled:
		return false, []notice.Notice{n.member.whyNotReady()}
	case s == nil:
		return no("ready.starting", "the broker is starting")
	case n.cfg.Replicated.Enabled && n.member.holding.Load():
		return no("ready.quorum", "no quorum of the group answers: what is sent waits for its receipt")
	case s.store.Stats().Failed != nil:
		return no("ready.store", "the store failed: %s", s.store.Stats().Failed)
	}
	return true, nil
}

// policy is what holds for a destination now.
func (n *node) policy(d broker.Destination) broker.Policy { return (*n.policies.Load())(d) }

// reachable is an address that a browser on this machine can open.
func reachable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); err == nil && ip != nil && ip.IsUnspecified() {
		return net.JoinHostPort("localhost", port)
	}
	return addr
}

// info is what the console says of the process.
func (n *node) info() admin.BrokerInfo {
	i := admin.BrokerInfo{Name: n.cfg.BrokerName, Version: version, Role: "alone", DataDir: n.cfg.Data}
	if n.cfg.Replicated.Enabled {
		i.Role = n.member.role()
	}
	for _, w := range n.weakUsers() {
		i.WeakUsers = append(i.WeakUsers, w.User)
	}
	if s := n.current.Load(); s != nil {
		for _, a := range s.addresses() {
			i.Listeners = append(i.Listeners, admin.Listener{Name: "stomp", Address: a, TLS: n.tls != nil})
		}
	}
	return i
}

// where is what the broker's statistics tell of the process.
func (n *node) where() broker.Where {
	w := broker.Where{DataDir: n.cfg.Data}
	if full, err := filepath.Abs(n.cfg.Data); err == nil {
		w.DataDir = full
	}
	s := n.current.Load()
	if s == nil || len(s.listeners) == 0 {
		return w
	}
	addr := reachable(s.listeners[0].Addr().String())
	if !n.cfg.Stomp.TLS.Required {
		w.Stomp = "stomp://" + addr
	}
	if n.tls != nil {
		w.StompTLS = "stomp+ssl://" + addr
	}
	return w
}

// webUsers answers the console's logins from the realm.
type webUsers struct{ *users }

// Authenticate implements admin.Authenticator.
func (u webUsers) Authenticate(user, password, remote string) (admin.User, bool, time.Duration) {
	found, ok, wait := u.login(user, password, remote)
	return admin.User{Name: found.Name, Roles: found.Roles, Stamp: found.Stamp}, ok, wait
}

// Lookup implements admin.UserSource.
func (u webUsers) Lookup(name string) (admin.User, bool) {
	found, ok := u.realm.Lookup(name)
	return admin.User{Name: found.Name, Roles: found.Roles, Stamp: found.Stamp}, ok
}
