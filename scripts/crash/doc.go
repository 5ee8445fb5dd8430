// Package crash runs producers and consumers against a real broker that is
// killed again and again with SIGKILL, and checks what they saw:
//
//	go test -tags crash ./scripts/crash                  5 rounds
//	CRASH_ROUNDS=30 go test -tags crash ./scripts/crash  more
//
// CRASH_SEED repeats the choices of a run (not its timing), CRASH_RACE=1 builds
// the broker with the race detector, BROKER_BINARY names one that is there. The
// checker is treadmq/scripts/internal/history.
package crash
