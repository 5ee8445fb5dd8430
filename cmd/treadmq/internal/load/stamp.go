package load

// stamp is what every body begins with, as hexadecimal digits.
type stamp struct {
	run    uint32 // chosen at random for each run
	stream uint32 // one producer to one destination
	seq    uint64 // from 0 within the stream
	at     int64  // Unix time in ns when the message was, or should have been, sent
}

const (
	runDigits, streamDigits, seqDigits, atDigits = 8, 8, 10, 16

	stampSize = runDigits + streamDigits + seqDigits + atDigits
	maxSeq    = 1 << (4 * seqDigits)
)

func appendHex(b []byte, v uint64, digits int) []byte {
	for shift := 4 * (digits - 1); shift >= 0; shift -= 4 {
		b = append(b, "0123456789abcdef"[v>>shift&15])
	}
	return b
}

func (s stamp) append(b []byte) []byte {
	b = appendHex(b, uint64(s.run), runDigits)
	return s.appendID(b)
}

// appendID is the stamp without the run: it is the receipt's id too, so that the time
// between message and receipt needs no table.
func (s stamp) appendID(b []byte) []byte {
	b = appendHex(b, uint64(s.stream), streamDigits)
	b = appendHex(b, s.seq, seqDigits)
	return appendHex(b, uint64(s.at), atDigits)
}

func parseHex(b []byte) (v uint64, ok bool) {
	for _, c := range b {
		switch {
		case c >= '0' && c <= '9':
			v = v<<4 | uint64(c-'0')
		case c >= 'a' && c <= 'f':
			v = v<<4 | uint64(c-'a'+10)
		default:
			return 0, false
		}
	}
	return v, true
}

func parseStamp(b []byte) (s stamp, ok bool) {
	if len(b) < stampSize {
		return s, false
	}
	run, ok := parseHex(b[:runDigits])
	if !ok {
		return s, false
	}
	s, ok = parseID(b[runDigits:stampSize])
	s.run = uint32(run)
	return s, ok
}

func parseID(b []byte) (s stamp, ok bool) {
	if len(b) != stampSize-runDigits {
		return s, false
	}
	stream, ok1 := parseHex(b[:streamDigits])
	seq, ok2 := parseHex(b[streamDigits : streamDigits+seqDigits])
	at, ok3 := parseHex(b[streamDigits+seqDigits:])
	return stamp{stream: uint32(stream), seq: seq, at: int64(at)}, ok1 && ok2 && ok3
}
