//go:build !windows

package main

import (
	"strings"
	"testing"
)

// Logins over STOMP against argon2id hashes: one of ours, and a bare one of another program (argon2-cffi) that also
// shows that the roles behind it count.
func TestRealmOfArgon2(t *testing.T) {
	dir := t.TempDir()
	ours := call{args: []string{"realm", "hash", "ours", "--kind", "argon2", "--roles", "shops"}, stdin: strings.NewReader("pw\n")}.run(t).want(t, 0)
	writeIn(t, dir, "treadmq.toml", "[[authorization]]\nqueue = \"orders.>\"\nwrite = [\"shops\"]\nadmin = [\"shops\"]\n")
	writeIn(t, dir, "realm", ours.stdout+
		"theirs=$argon2id$v=19$m=512,t=2,p=4$c2FsdHNhbHRzYWx0MTZieQ$NmhI5bmLTXDjrILexiKhct6HyUWJznDmFWsap0mVhgE, shops\n"+
		"bad: ARGON2:$argon2id$v=19$m=999999999,t=3,p=4$AAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA, shops\n")
	p := serve(t, dir, nil, "--config", "treadmq.toml", "--realm", "realm")
	for _, user := range []string{"ours", "theirs"} {
		l := p.line(user)
		l.send(sendOrder)
		l.expect("RECEIPT")
	}
	for _, login := range []string{"login:ours\npasscode:pw2\n", "login:theirs\npasscode:x\n", "login:bad\npasscode:pw\n"} {
		newStompLine(t, dialLine(t, p.state.Stomp[0]), login).expect("ERROR")
	}
}
