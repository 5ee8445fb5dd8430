package main

import (
	"context"
	"crypto/tls"
	"net"
	"time"

	"treadmq/admin"
	"treadmq/broker"
	"treadmq/webui"
)

// console is the admin web server of a node.
type console struct{ srv *admin.Server }

func (c *console) shutdown(ctx context.Context) error { return c.srv.Shutdown(ctx) }

// openConsole starts the console, unless its address is empty.
func (n *node) openConsole() error {
	c := n.cfg.Console
	if c.Listen == "" {
		return nil
	}
	srv, err := admin.New(admin.Options{
		Broker: n.broker, Auth: webUsers{n.users}, UI: webui.FS(), Info: n.info, Policy: n.policy, Logger: n.log,
		Ready: n.ready, Rules: n.rules, Settings: n.settings, Config: n.configEntries,
		SessionIdle: c.SessionIdle, SessionMax: c.SessionMax, PathPrefix: c.PathPrefix, TrustedOrigins: c.TrustedOrigins,
		Secure: c.HTTPS || n.webTLS != nil,
	})
	if err != nil {
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
	n.console = &console{srv}
	n.state.Console = scheme + "://" + reachable(addr) + c.PathPrefix + "/admin/"
	n.serve("console", func() error { return srv.Serve(l) })
	return nil
}

// ready says whether clients are taken.
func (n *node) ready() (bool, []string) {
	switch {
	case n.stopping.Load():
		return false, []string{"the broker is stopping"}
	case n.store.Stats().Failed != nil:
		return false, []string{"the store failed: " + n.store.Stats().Failed.Error()}
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
	for _, a := range n.state.Stomp {
		i.Listeners = append(i.Listeners, admin.Listener{Name: "stomp", Address: a, TLS: n.tls != nil})
	}
	return i
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
