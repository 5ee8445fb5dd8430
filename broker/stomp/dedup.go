package stomp

import (
	"strconv"

	"treadmq/broker"
	"treadmq/broker/stomp/frame"
)

// Repeats of a message: SEND with x-dedup-id, or with x-producer-id and x-producer-seq. Semantics 5, 2.

// onceReceipt is a RECEIPT that tells whether its message was a repeat.
type onceReceipt struct {
	end  int // of the frame in ticket.receipts
	once *broker.Dedup
}

// dedup reads by what a repeat of the message is recognised.
func (s *session) dedup(h *sendHeaders) (*broker.Dedup, error) {
	d := &broker.Dedup{ID: string(h.dedupID), Producer: string(h.producerID)}
	if h.has(hDedupID) && len(h.dedupID) == 0 {
		return nil, requestFault(broker.CodeBadRequest, "bad header x-dedup-id", "x-dedup-id is empty")
	}
	if h.has(hProducerSeq) {
		if d.Producer == "" {
			d.Producer = s.producer
		}
		n, err := number("x-producer-seq", h.producerSeq)
		if err != nil {
			return nil, err
		}
		d.Seq = uint64(n)
	}
	return d, broker.CheckDedup(d)
}

// repeat is what the RECEIPT of a message says that was a repeat; nil if it was none.
func (s *session) repeat(once *broker.Dedup) []byte {
	if once == nil {
		return nil
	}
	first, is := once.Duplicate()
	if !is {
		return nil
	}
	line := frame.AppendHeader(nil, s.version, "x-duplicate", "true")
	if first != 0 {
		line = frame.AppendHeader(line, s.version, "x-message-id", s.srv.opts.Broker.AppendMessageID(nil, first))
	}
	return line
}

// tellRepeats adds to the receipts of the burst which messages were repeats.
func (t *ticket) tellRepeats() []byte {
	var dst []byte
	done := 0
	for _, r := range t.once {
		if line := t.s.repeat(r.once); line != nil {
			dst = appendToReceipt(dst, t.receipts[done:r.end], line)
			done = r.end
		}
	}
	if done == 0 {
		return t.receipts
	}
	return append(dst, t.receipts[done:]...)
}

// appendToReceipt appends RECEIPT frames with header lines added to the last one.
func appendToReceipt(dst, receipts, lines []byte) []byte {
	head := len(receipts) - len(frameEnd) - 1
	dst = append(dst, receipts[:head]...)
	dst = append(dst, lines...)
	return append(dst, receipts[head:]...)
}

func appendReceiptWith(dst []byte, v frame.Version, id, lines []byte) []byte {
	if lines == nil {
		return appendReceipt(dst, v, id)
	}
	return appendToReceipt(dst, appendReceipt(nil, v, id), lines)
}

// producerOf reads x-producer-id of CONNECT.
func (s *session) producerOf(f *frame.Frame) error {
	id, _ := f.Get("x-producer-id")
	if len(id) > broker.MaxDedupID {
		return protocolFault(broker.CodeLimit, "name too long", "x-producer-id may have %d bytes", broker.MaxDedupID)
	}
	s.producer = string(id)
	return nil
}

// appendProducerSeq appends to CONNECTED the last number of the producer that CONNECT named, if it is known.
func (s *session) appendProducerSeq(dst []byte) []byte {
	if s.producer == "" {
		return dst
	}
	last, known := s.conn.ProducerSeq(s.producer)
	if !known {
		return dst
	}
	return frame.AppendHeader(dst, frame.V10, "x-producer-seq", strconv.FormatUint(last, 10))
}
