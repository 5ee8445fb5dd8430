// Package clients drives real STOMP clients and applications of other authors and
// languages against a real broker: one program per client, each in its own idiom,
// under clients_test.go. It runs with
//
//	scripts/deps.sh clients
//	go test -tags clients ./scripts/clients
//
// A program finds the broker in its environment (STOMP_HOST, STOMP_PORT,
// STOMP_LOGIN, STOMP_PASSCODE, STOMP_CA) and talks to the test line by line:
//
//	ok STEP          the named step is proven
//	count QUEUE N    asks the test to see, from outside, that QUEUE comes to
//	                 hold N messages; the answer on standard input is "done"
//	there QUEUE      asks the test to see that QUEUE exists, or
//	gone QUEUE       that it does not
//	restart term     asks for a restart of the broker by SIGTERM, or
//	restart kill     by SIGKILL; the answer is "done"
//	done             every step was run
//
// # Failover
//
// The programs called failover are for the tests of a replicated group in
// scripts/cluster. They find the brokers in STOMP_HOSTS, send STOMP_COUNT numbered
// messages to STOMP_QUEUE, print "confirmed N" when the receipt of one came, connect to
// another broker by their client's own means when theirs dies, send again what has no
// receipt, then receive everything and print "received COUNT".
//
// Everything else a program prints is shown when the test fails. BROKER_BINARY names a
// treadmq to use instead of building one, BROKER_RACE=1 builds it with the race
// detector.
package clients
