package stomp

import "time"

// probePause is how often a probe looks for its answer.
const probePause = 10 * time.Millisecond

// Alive implements broker.Prober: a heart-beat is written, and the client's system acknowledges it unless it is gone or
// cannot be reached. A client that is there and does not read is alive.
func (s *session) Alive(patience time.Duration) bool {
	before, known := heard(s.raw)
	if !known {
		return true
	}
	s.out.heartBeat()
	late := time.NewTimer(patience)
	defer late.Stop()
	tick := time.NewTicker(probePause)
	defer tick.Stop()
	for {
		select {
		case <-s.done:
			return true // it ends by itself
		case <-late.C:
			return false
		case <-tick.C:
		}
		if now, known := heard(s.raw); !known || now != before {
			return true
		}
	}
}
