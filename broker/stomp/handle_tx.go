package stomp

import (
	"treadmq/broker"
	"treadmq/broker/stomp/frame"
)

// txName returns the header transaction of BEGIN, COMMIT and ABORT.
func txName(f *frame.Frame) (string, error) {
	name, ok := f.Get("transaction")
	if !ok || len(name) == 0 {
		return "", requestFault(broker.CodeBadRequest, f.Command.String()+" without transaction", "it needs a header transaction")
	}
	if len(name) > maxName {
		return "", requestFault(broker.CodeLimit, "transaction name too long", "it has %d bytes, more than %d", len(name), maxName)
	}
	return string(name), nil
}

// openTx returns the transaction that a SEND, ACK or NACK belongs to.
func (s *session) openTx(name []byte) (*broker.Tx, error) {
	if tx := s.conn.Tx(string(name)); tx != nil {
		return tx, nil
	}
	return nil, requestFault(broker.CodeNoTransaction, "unknown transaction",
		"there is no open transaction %q; BEGIN opens one, and COMMIT or ABORT ends it", cut(string(name), maxErrorMessage))
}

// failTx keeps a transaction from being committed without a frame that was to be part of it.
func (s *session) failTx(f *frame.Frame, why error) {
	switch f.Command {
	case frame.SEND, frame.ACK, frame.NACK:
	default:
		return
	}
	if name, ok := f.Get("transaction"); ok {
		if tx := s.conn.Tx(string(name)); tx != nil {
			tx.Fail(why)
		}
	}
}

// handleBegin carries out BEGIN. STOMP 1.2, BEGIN.
func (s *session) handleBegin(f *frame.Frame) error {
	name, err := txName(f)
	if err != nil {
		return err
	}
	if _, err := s.conn.Begin(name); err != nil {
		return err
	}
	return s.receipt(f)
}

// handleCommit carries out COMMIT, in a Work of its own. STOMP 1.2, COMMIT.
func (s *session) handleCommit(f *frame.Frame) error {
	receipt, wanted, err := receiptOf(f)
	if err != nil {
		return err
	}
	name, err := txName(f)
	if err != nil {
		return err
	}
	tx, err := s.openTx([]byte(name))
	if err != nil {
		return err
	}
	t := s.gather()
	if err := t.work.Commit(tx); err != nil {
		return err
	}
	if wanted {
		t.receipts = appendReceipt(t.receipts, s.version, receipt)
	}
	s.flush()
	return nil
}

// handleAbort carries out ABORT. STOMP 1.2, ABORT.
func (s *session) handleAbort(f *frame.Frame) error {
	name, err := txName(f)
	if err != nil {
		return err
	}
	tx, err := s.openTx([]byte(name))
	if err != nil {
		return err
	}
	tx.Abort()
	return s.receipt(f)
}
