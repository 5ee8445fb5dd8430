package stomp

import "math/bits"

// ackID names one delivery in the header ack of MESSAGE: conn-sub-seq-tag, all in hexadecimal. conn is a number that
// no other connection has, also over restarts, so that an id kept from an earlier connection is told from one that was
// never given out. seq is the message's place in its queue.
type ackID struct {
	conn uint64
	sub  uint32
	seq  uint64
	tag  uint64
}

func (a ackID) append(dst []byte) []byte {
	dst = append(appendHex(dst, a.conn), '-')
	dst = append(appendHex(dst, uint64(a.sub)), '-')
	dst = append(appendHex(dst, a.seq), '-')
	return appendHex(dst, a.tag)
}

// appendHex appends v in hexadecimal; for each delivery four times, where strconv takes its time.
func appendHex(dst []byte, v uint64) []byte {
	for shift := (bits.Len64(v|1) - 1) &^ 3; shift >= 0; shift -= 4 {
		dst = append(dst, "0123456789abcdef"[v>>shift&15])
	}
	return dst
}

// parseAckID is the inverse of append.
func parseAckID(b []byte) (a ackID, ok bool) {
	var sub uint64
	for i, p := range [...]*uint64{&a.conn, &sub, &a.seq, &a.tag} {
		n := 0
		*p, n = parseHex(b)
		if n == 0 {
			return ackID{}, false
		}
		b = b[n:]
		if i == 3 {
			break
		}
		if len(b) == 0 || b[0] != '-' {
			return ackID{}, false
		}
		b = b[1:]
	}
	a.sub = uint32(sub)
	return a, len(b) == 0 && sub == uint64(a.sub)
}

// parseHex reads up to 16 lower-case hexadecimal digits and returns how many there were.
func parseHex(b []byte) (v uint64, n int) {
	for n < len(b) && n < 16 {
		c := b[n]
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		default:
			return v, n
		}
		v = v<<4 | uint64(c)
		n++
	}
	return v, n
}

// connNumber makes the conn of an ackID from the second in which the server started, the epoch that its store began at
// this start, and the connection's serial. The epoch tells starts within one second apart, the time those of a data
// folder that was made anew. So two are equal only after 2^24 connections within one run, or 256 starts within a second.
func connNumber(started int64, epoch, serial uint64) uint64 {
	return uint64(started)<<32 | epoch&0xff<<24 | serial&(1<<24-1)
}
