package stomp

import (
	"time"

	"treadmq/broker"
	"treadmq/broker/stomp/frame"
)

// settling is what an ACK or NACK is about: deliveries of one subscription. sub is nil if there are none.
type settling struct {
	sub         *subscription
	first, last uint64
}

// handleNack carries out NACK. STOMP 1.2, NACK; headers as semantics 2.5.
func (s *session) handleNack(f *frame.Frame) error {
	if s.version == frame.V10 {
		return protocolFault(codeProtocol, "no NACK in STOMP 1.0", "NACK came with STOMP 1.1; connect with accept-version:1.2")
	}
	a := broker.Ack{Kind: broker.AckRetry}
	if reason, ok := f.Get("x-reason"); ok {
		a.Reason = cut(string(reason), maxReason)
	}
	switch v, ok := f.Get("requeue"); {
	case !ok && s.listener.Dialect == DialectRabbitMQ:
		a.Kind = broker.AckRequeue
	case !ok:
	case string(v) == "true":
		a.Kind = broker.AckRequeue
	case string(v) == "false":
		a.Kind = broker.AckDeadLetter
	default:
		return requestFault(broker.CodeBadRequest, "bad header requeue", "requeue is %q; it must be true or false", v)
	}
	if v, ok := f.Get("x-delay"); ok && a.Kind != broker.AckDeadLetter {
		ms, err := number("x-delay", v)
		if err != nil {
			return err
		}
		if ms > maxNackDelay.Milliseconds() {
			return requestFault(broker.CodeLimit, "x-delay too long", "x-delay is %d ms, more than %v", ms, maxNackDelay)
		}
		a.Kind, a.Delay, a.HasDelay = broker.AckRetry, time.Duration(ms)*time.Millisecond, true
	}
	return s.handleAck(f, a)
}

// maxReason is how much of x-reason is kept, in bytes.
const maxReason = 1 << 10

// handleAck carries out ACK, or NACK with what it means. STOMP 1.2, ACK; semantics 1.5.
func (s *session) handleAck(f *frame.Frame, a broker.Ack) error {
	receipt, wanted, err := receiptOf(f)
	if err != nil {
		return err
	}
	var tx *broker.Tx
	if name, ok := f.Get("transaction"); ok {
		if tx, err = s.openTx(name); err != nil {
			return err
		}
	}
	what, err := s.findDeliveries(f)
	if err != nil {
		return err
	}
	if what.sub != nil && what.sub.browser && f.Command == frame.NACK {
		return requestFault(broker.CodeBadRequest, "NACK of a browsed message", "a browser only looks; its messages can be acknowledged, not refused")
	}
	n := 0
	switch {
	case what.sub == nil || what.sub.mode == modeAuto:
	case tx != nil:
		n, err = tx.Ack(what.sub.core, what.first, what.last, a)
	default:
		n = s.gather().work.Ack(what.sub.core, what.first, what.last, a)
	}
	if n == 0 && err == nil {
		s.srv.opts.Broker.CountStale() // semantics 0.9
	}
	if wanted && err == nil {
		s.acknowledged(receipt, tx != nil)
	}
	return err
}

// acknowledged answers an ACK or NACK.
func (s *session) acknowledged(receipt []byte, inTx bool) {
	if inTx {
		s.flush()
		s.out.receipt(s.version, receipt, nil, nil)
		return
	}
	t := s.gather()
	t.receipts = appendReceipt(t.receipts, s.version, receipt)
}

// findDeliveries finds what an ACK or NACK is about. All ways of naming it are accepted in every version: id with the
// header ack of the MESSAGE, id with its message-id, message-id with subscription, or message-id alone.
func (s *session) findDeliveries(f *frame.Frame) (settling, error) {
	id, hasID := f.Get("id")
	if hasID {
		if a, ok := parseAckID(id); ok {
			return s.byAckID(a)
		}
	}
	messageID, ok := f.Get("message-id")
	if !ok {
		messageID = id
	}
	if !ok && !hasID {
		return settling{}, requestFault(broker.CodeBadRequest, f.Command.String()+" names no message",
			"it needs the header id (STOMP 1.2) or message-id and subscription (1.1)")
	}
	msg, ok := s.srv.opts.Broker.ParseMessageID(messageID)
	if !ok {
		return settling{}, unknownAck(messageID)
	}
	if name, ok := f.Get("subscription"); ok {
		sub := s.byID[string(name)]
		if sub == nil {
			return settling{}, nil // it may have ended; nothing of it is outstanding
		}
		tag, _ := sub.core.FindMessage(msg)
		return s.settling(sub, tag), nil
	}
	return s.byMessage(msg, hasID)
}

// unknownAck is the answer to an id that this broker cannot have given out.
func unknownAck(id []byte) error {
	return requestFault(broker.CodeUnknownAck, "unknown message", "%q is not an id that this broker gave out", cut(string(id), maxErrorMessage))
}

// byAckID finds the delivery of an ackID. One that was settled, or is from an earlier connection, is none.
func (s *session) byAckID(a ackID) (settling, error) {
	if a.conn != s.number {
		return settling{}, nil
	}
	sub := s.bySerial(a.sub)
	if sub == nil {
		return settling{}, nil
	}
	if !sub.core.Issued(a.tag) {
		return settling{}, unknownAck(a.append(nil))
	}
	return s.settling(sub, a.tag), nil
}

// byMessage finds who holds a message. If several subscriptions do, the first has it, as 1.0 clients expect; but with
// sole set that is an error.
func (s *session) byMessage(msg uint64, sole bool) (settling, error) {
	var found settling
	for _, sub := range s.subscriptions() {
		tag, ok := sub.core.FindMessage(msg)
		if !ok || sub.mode == modeAuto {
			continue
		}
		if found.sub != nil {
			return settling{}, requestFault(broker.CodeBadRequest, "ambiguous id",
				"several subscriptions of the connection hold that message; use the header ack of the MESSAGE, or name the subscription")
		}
		found = s.settling(sub, tag)
		if !sole {
			break
		}
	}
	return found, nil
}

// settling is about the delivery tag of sub, and in mode client all before it. Tag 0 is none.
func (s *session) settling(sub *subscription, tag uint64) settling {
	if tag == 0 {
		return settling{}
	}
	first := tag
	if sub.mode == modeClient {
		if oldest, ok := sub.core.Oldest(); ok {
			first = min(oldest, tag)
		}
	}
	return settling{sub: sub, first: first, last: tag}
}
