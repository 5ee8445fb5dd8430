package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"treadmq/admin"
	"treadmq/conf"
	"treadmq/conf/realm"
)

// users answers logins of all front ends from one realm file, and slows down who
// keeps guessing.
type users struct {
	realm    *realm.Realm
	throttle *realm.Throttle
	limit    time.Duration // for a comparison that has to queue
	reported error
	tokens   atomic.Pointer[admin.Tokens] // nil without console
}

// Authenticate implements the STOMP front end's Authenticator.
func (u *users) Authenticate(user, password, remote string) (ok bool, principal string, wait time.Duration) {
	found, ok, wait := u.login(user, password, remote)
	return ok, found.Name, wait
}

func (u *users) login(user, password, remote string) (realm.User, bool, time.Duration) {
	wait := u.throttle.Delay(remote, user)
	ctx, cancel := context.WithTimeout(context.Background(), u.limit)
	defer cancel()
	found, ok := u.realm.AuthenticateContext(ctx, user, password)
	if ok {
		u.throttle.OK(remote, user)
	} else {
		u.throttle.Fail(remote, user)
	}
	return found, ok, wait
}

// refresh reads a changed realm file and reports whether it had changed. An error is
// logged once, not every time.
func (u *users) refresh(log *slog.Logger) bool {
	changed, err := u.realm.Refresh()
	switch {
	case err != nil && (u.reported == nil || u.reported.Error() != err.Error()):
		log.Error("the realm file cannot be read, so the users stay as they were", "err", err)
	case changed:
		log.Info("users read again", "users", len(u.realm.Users()))
		reportRealm(u.realm, log)
	}
	u.reported = err
	return changed
}

func reportRealm(r *realm.Realm, log *slog.Logger) {
	for _, p := range r.Problems() {
		log.Warn("a user cannot log in", "problem", p.String())
	}
}

// openUsers opens the realm file, or writes one with a generated password, which
// is shown this once.
func (n *node) openUsers() error {
	path := n.cfg.Realm
	r, err := realm.OpenWithGroups(path, n.cfg.Groups)
	if _, missing := os.Stat(path); errors.Is(missing, fs.ErrNotExist) {
		password, gerr := realm.Generate(path)
		if gerr != nil {
			return exitError(73, "there is no realm file %s and it cannot be written: %v", path, gerr)
		}
		fmt.Fprintf(os.Stdout, "login    admin / %s  (written to %s, shown only now)\n", password, path)
		n.log.Info("realm file written with the user admin", "file", path)
		r, err = realm.OpenWithGroups(path, n.cfg.Groups)
	}
	if err != nil {
		return exitError(78, "realm file %s: %v", path, err)
	}
	n.users = &users{realm: r, throttle: realm.NewThrottle(), limit: n.cfg.Stomp.ConnectTimeout}
	reportRealm(r, n.log)
	n.reportWeak()
	return nil
}

// weakUsers are the entries whose password can be read or guessed, while others than this
// machine can reach the broker: then it matters.
func (n *node) weakUsers() []realm.Weakness {
	if n.onlyLoopback() {
		return nil
	}
	return slices.DeleteFunc(n.users.realm.Weak(), func(w realm.Weakness) bool { return w.User == "" })
}

func (n *node) reportWeak() {
	for _, w := range n.weakUsers() {
		n.log.Warn("a weak password is in use on an address that others can reach", "user", w.User, "line", w.Line, "why", w.Text.Text)
	}
}

// warnings are for who asks for the status. They name no users: the run file is everybody's.
func (n *node) warnings() []string {
	weak := n.weakUsers()
	if len(weak) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("others can reach this broker, and %s can be read or guessed; see treadmq realm check %s", plural(len(weak), "password"), n.cfg.Realm)}
}

func (n *node) onlyLoopback() bool {
	for _, a := range append([]string{n.cfg.Console.Listen}, n.cfg.Stomp.Listen...) {
		if a != "" && !conf.Loopback(a) {
			return false
		}
	}
	return true
}
