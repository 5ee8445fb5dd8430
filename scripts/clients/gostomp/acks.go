package main

import (
	"errors"

	"github.com/go-stomp/stomp/v3"
)

// three sends three messages and returns them as delivered.
func three(c *stomp.Conn, queue string, mode stomp.AckMode) (list []*stomp.Message, err error) {
	s, err := c.Subscribe(queue, mode)
	if err != nil {
		return nil, err
	}
	for _, body := range []string{"one", "two", "three"} {
		if err := send(c, queue, body); err != nil {
			return nil, err
		}
	}
	for _, body := range []string{"one", "two", "three"} {
		m, err := expect(s, body, false)
		if err != nil {
			return nil, err
		}
		list = append(list, m)
	}
	return list, nil
}

func ackClient() error {
	err := with(func(c *stomp.Conn) error {
		list, err := three(c, "/queue/go.client", stomp.AckClient)
		if err != nil {
			return err
		}
		return c.Ack(list[1])
	})
	return errors.Join(err, ask("count go.client 1"))
}

func redelivery() error {
	err := with(func(c *stomp.Conn) error {
		s, err := c.Subscribe("/queue/go.client", stomp.AckClient)
		if err != nil {
			return err
		}
		m, err := expect(s, "three", true)
		if err != nil {
			return err
		}
		return errors.Join(equal("delivery count", m.Header.Get("JMSXDeliveryCount"), "2"), c.Ack(m))
	})
	return errors.Join(err, ask("count go.client 0"))
}

func ackIndividual() error {
	err := with(func(c *stomp.Conn) error {
		list, err := three(c, "/queue/go.individual", stomp.AckClientIndividual)
		if err != nil {
			return err
		}
		return c.Ack(list[1])
	})
	if err = errors.Join(err, ask("count go.individual 2")); err != nil {
		return err
	}
	err = with(func(c *stomp.Conn) error {
		s, err := c.Subscribe("/queue/go.individual", stomp.AckClientIndividual)
		if err != nil {
			return err
		}
		for _, body := range []string{"one", "three"} {
			m, err := expect(s, body, true)
			if err != nil {
				return err
			}
			if err := c.Ack(m); err != nil {
				return err
			}
		}
		return nil
	})
	return errors.Join(err, ask("count go.individual 0"))
}

func nack() error {
	err := with(func(c *stomp.Conn) error {
		s, err := c.Subscribe("/queue/go.nack", stomp.AckClientIndividual)
		if err != nil {
			return err
		}
		if err := send(c, "/queue/go.nack", "again"); err != nil {
			return err
		}
		first, err := expect(s, "again", false)
		if err != nil {
			return err
		}
		if err := c.Nack(first); err != nil {
			return err
		}
		second, err := expect(s, "again", true)
		if err != nil {
			return err
		}
		return errors.Join(equal("message-id", second.Header.Get("message-id"), first.Header.Get("message-id")), c.Ack(second))
	})
	return errors.Join(err, ask("count go.nack 0"))
}

// transact consumes a message of go.tx.in and sends two to go.tx.out in a transaction that finish ends.
func transact(finish func(c *stomp.Conn, tx *stomp.Transaction, m *stomp.Message) error) error {
	return with(func(c *stomp.Conn) error {
		if err := send(c, "/queue/go.tx.in", "work"); err != nil {
			return err
		}
		s, err := c.Subscribe("/queue/go.tx.in", stomp.AckClientIndividual)
		if err != nil {
			return err
		}
		m, err := expect(s, "work", false)
		if err != nil {
			return err
		}
		tx, err := c.BeginWithError()
		if err != nil {
			return err
		}
		for range 2 {
			if err := tx.Send("/queue/go.tx.out", "text/plain", []byte("result")); err != nil {
				return err
			}
		}
		if err := tx.Ack(m); err != nil {
			return err
		}
		return finish(c, tx, m)
	})
}

func commit() error {
	err := transact(func(_ *stomp.Conn, tx *stomp.Transaction, _ *stomp.Message) error {
		return errors.Join(ask("count go.tx.out 0"), ask("count go.tx.in 1"), tx.CommitWithReceipt())
	})
	return errors.Join(err, ask("count go.tx.out 2"), ask("count go.tx.in 0"))
}

func abort() error {
	err := transact(func(c *stomp.Conn, tx *stomp.Transaction, m *stomp.Message) error {
		return errors.Join(tx.AbortWithReceipt(), ask("count go.tx.out 2"), ask("count go.tx.in 1"), c.Ack(m))
	})
	return errors.Join(err, ask("count go.tx.in 0"))
}
