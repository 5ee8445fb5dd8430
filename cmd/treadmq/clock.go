package main

import (
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// clockPoll is how soon a change of the offset is seen.
const clockPoll = 50 * time.Millisecond

// jumpingClock is the broker's clock for tests that let it jump. It differs from the
// machine's by the duration in the file, such as 1h or -24h, which is read again all
// the time until the process ends; as long as the file cannot be read it stays what it was.
func jumpingClock(file string) func() time.Time {
	var offset atomic.Int64
	read := func() {
		text, err := os.ReadFile(file)
		if err != nil {
			return
		}
		if d, err := time.ParseDuration(strings.TrimSpace(string(text))); err == nil {
			offset.Store(int64(d))
		}
	}
	read()
	go func() {
		for range time.Tick(clockPoll) {
			read()
		}
	}()
	// Without its monotonic part: that of a machine does not jump with the wall clock.
	return func() time.Time { return time.Now().Round(0).Add(time.Duration(offset.Load())) }
}

// clock is the broker's clock; nil is the machine's.
func (f *serverFlags) clock() func() time.Time {
	if f.clockOffset == "" {
		return nil
	}
	return jumpingClock(f.clockOffset)
}
