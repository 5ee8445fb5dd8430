package stomp

import "time"

// probePause is how often a probe sends a heart-beat and looks for its answer.
const probePause = 50 * time.Millisecond

// Alive implements broker.Prober: heart-beats are written, and the client's system acknowledges them unless it is gone or
// cannot be reached. A client that is there and does not read is alive.
func (s *session) Alive(patience time.Duration) bool {
	before, known := heard(s.raw)
	if !known {
		return true
	}
	late := time.NewTimer(patience)
	defer late.Stop()
	tick := time.NewTicker(probePause)
	defer tick.Stop()
	for over := false; ; {
		if now, known := heard(s.raw); !known || now != before {
			return true
		}
		if over {
			return false
		}
		s.out.heartBeat() // nothing is written while the writer is at work, so once may be too little
		select {
		case <-s.done:
			return true // it ends by itself
		case <-late.C:
			over = true
		case <-tick.C:
		}
	}
}
