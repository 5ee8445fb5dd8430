// Command gostomp runs github.com/go-stomp/stomp against TreadMQ: see
// treadmq/scripts/clients for how it talks to the test.
package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/go-stomp/stomp/v3"
	"github.com/go-stomp/stomp/v3/frame"
)

// patience ends a step that hangs.
const patience = 30 * time.Second

type step struct {
	name string
	run  func() error
}

func main() {
	for _, s := range steps() {
		if err := s.run(); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", s.name, err)
			os.Exit(1)
		}
		fmt.Println("ok", s.name)
	}
	fmt.Println("done")
}

func steps() []step {
	return []step{
		{"login", loggingIn},
		{"login-refused", refused},
		{"escaped-connect", escapedConnect},
		{"send-receipt", sendReceipt},
		{"subscribe-auto", subscribeAuto},
		{"ack-client", ackClient},
		{"redelivery", redelivery},
		{"ack-individual", ackIndividual},
		{"nack", nack},
		{"transaction-commit", commit},
		{"transaction-abort", abort},
		{"binary", binary},
		{"utf8", utf8},
		{"topic", topic},
		{"selector", selectors},
		{"browser", browser},
		{"error-frame", errorFrame},
		{"temp-queue", tempQueue},
		{"heart-beat", heartBeat},
		{"receipt-of-unsubscribe", unsubscribe},
		{"reconnect-term", func() error { return reconnect("term") }},
		{"reconnect-kill", func() error { return reconnect("kill") }},
		{"tls", overTLS},
		{"versions", versions},
	}
}

var stdin = bufio.NewReader(os.Stdin)

// ask asks the test for something and waits until it is done.
func ask(format string, args ...any) error {
	line := fmt.Sprintf(format, args...)
	fmt.Println(line)
	if answer, err := stdin.ReadString('\n'); err != nil || answer != "done\n" {
		return fmt.Errorf("the test gave up on: %s", line)
	}
	return nil
}

func address() string { return net.JoinHostPort(os.Getenv("STOMP_HOST"), os.Getenv("STOMP_PORT")) }

// options are those of every connection, with heart-beats off unless they are the step's subject.
func options(more ...func(*stomp.Conn) error) []func(*stomp.Conn) error {
	return append([]func(*stomp.Conn) error{
		stomp.ConnOpt.Login(os.Getenv("STOMP_LOGIN"), os.Getenv("STOMP_PASSCODE")),
		stomp.ConnOpt.Host("localhost"), stomp.ConnOpt.HeartBeat(0, 0), stomp.ConnOpt.RcvReceiptTimeout(patience),
	}, more...)
}

func dial(more ...func(*stomp.Conn) error) (*stomp.Conn, error) {
	return stomp.Dial("tcp", address(), options(more...)...)
}

// with runs f with a connection, which must end in order.
func with(f func(c *stomp.Conn) error, more ...func(*stomp.Conn) error) error {
	c, err := dial(more...)
	if err != nil {
		return err
	}
	if err := f(c); err != nil {
		_ = c.MustDisconnect()
		return err
	}
	return c.Disconnect()
}

// send sends and waits for the receipt.
func send(c *stomp.Conn, dest, body string, opts ...func(*frame.Frame) error) error {
	return c.Send(dest, "text/plain", []byte(body), append(opts, stomp.SendOpt.Receipt)...)
}

// receive waits for the next message of a subscription.
func receive(s *stomp.Subscription) (*stomp.Message, error) {
	select {
	case m, ok := <-s.C:
		if !ok {
			return nil, errors.New("the subscription ended")
		}
		return m, m.Err
	case <-time.After(patience):
		return nil, errors.New("no message came")
	}
}

// expect waits for a message with a body, flagged as redelivered or not.
func expect(s *stomp.Subscription, body string, redelivered bool) (*stomp.Message, error) {
	m, err := receive(s)
	if err != nil {
		return nil, err
	}
	return m, errors.Join(equal("body", string(m.Body), body), equal("redelivered", m.Header.Get("redelivered") == "true", redelivered))
}

func equal[T comparable](what string, got, want T) error {
	if got != want {
		return fmt.Errorf("%s is %#v, not %#v", what, got, want)
	}
	return nil
}

func loggingIn() error {
	return with(func(c *stomp.Conn) error { return equal("version", c.Version(), stomp.V12) })
}

func refused() error {
	c, err := dial(stomp.ConnOpt.Login(os.Getenv("STOMP_LOGIN"), "wrong"))
	if err == nil {
		_ = c.MustDisconnect()
		return errors.New("a wrong passcode was accepted")
	}
	return nil
}

// escapedConnect: go-stomp escapes the headers of CONNECT, which the protocol forbids.
func escapedConnect() error {
	if err := equal("first special character of the passcode", os.Getenv("STOMP_PASSCODE")[2:3], ":"); err != nil {
		return err
	}
	return with(func(*stomp.Conn) error { return nil })
}

func sendReceipt() error {
	if err := with(func(c *stomp.Conn) error { return send(c, "/queue/go.send", "hello") }); err != nil {
		return err
	}
	return ask("count go.send 1")
}

func subscribeAuto() error {
	err := with(func(c *stomp.Conn) error {
		s, err := c.Subscribe("/queue/go.send", stomp.AckAuto)
		if err != nil {
			return err
		}
		m, err := expect(s, "hello", false)
		if err != nil {
			return err
		}
		return errors.Join(equal("destination", m.Destination, "/queue/go.send"), equal("content type", m.ContentType, "text/plain"))
	})
	return errors.Join(err, ask("count go.send 0"))
}

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

func binary() error {
	body := make([]byte, 70_000) // more than one write buffer, every byte value
	for i := range body {
		body[i] = byte(i)
	}
	return with(func(c *stomp.Conn) error {
		s, err := c.Subscribe("/queue/go.binary", stomp.AckAuto)
		if err != nil {
			return err
		}
		if err := c.Send("/queue/go.binary", "application/octet-stream", body, stomp.SendOpt.Receipt); err != nil {
			return err
		}
		_, err = expect(s, string(body), false)
		return err
	})
}

func utf8() error {
	const value = "Grüße: 日本\\n 🎉\nnext line\rand\\c"
	return with(func(c *stomp.Conn) error {
		s, err := c.Subscribe("/queue/go.ütf8", stomp.AckAuto)
		if err != nil {
			return err
		}
		if err := send(c, "/queue/go.ütf8", "Wörld 🌍", stomp.SendOpt.Header("schlüssel", value), stomp.SendOpt.Header("a:b", " x ")); err != nil {
			return err
		}
		m, err := expect(s, "Wörld 🌍", false)
		if err != nil {
			return err
		}
		return errors.Join(equal("header", m.Header.Get("schlüssel"), value), equal("header with a colon", m.Header.Get("a:b"), " x "))
	})
}

func topic() error {
	return with(func(one *stomp.Conn) error {
		return with(func(two *stomp.Conn) error {
			var subs []*stomp.Subscription
			for _, c := range []*stomp.Conn{one, two} {
				s, err := c.Subscribe("/topic/go.news.>", stomp.AckAuto)
				if err != nil {
					return err
				}
				// A frame of the same connection behind the SUBSCRIBE was answered: that is in force.
				if err := send(c, "/queue/go.barrier", ""); err != nil {
					return err
				}
				subs = append(subs, s)
			}
			if err := send(one, "/topic/go.news.today", "extra"); err != nil {
				return err
			}
			for _, s := range subs {
				if _, err := expect(s, "extra", false); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

func selectors() error {
	return with(func(c *stomp.Conn) error {
		s, err := c.Subscribe("/queue/go.selector", stomp.AckAuto, stomp.SubscribeOpt.Header("selector", "colour = 'blue' AND weight > 2"))
		if err != nil {
			return err
		}
		for _, m := range []struct{ body, colour, weight string }{
			{"1", "red", "3"}, {"2", "blue", "1"}, {"3", "blue", "2.5"}, {"4", "blue", "heavy"}, {"5", "blue", "30"},
		} {
			err := send(c, "/queue/go.selector", m.body, stomp.SendOpt.Header("colour", m.colour), stomp.SendOpt.Header("weight", m.weight))
			if err != nil {
				return err
			}
		}
		for _, body := range []string{"3", "5"} {
			if _, err := expect(s, body, false); err != nil {
				return err
			}
		}
		return ask("count go.selector 3")
	})
}

// browser looks at a queue twice, the second time with a selector; nothing is taken away.
func browser() error {
	return with(func(c *stomp.Conn) error {
		for _, body := range []string{"a", "b", "c"} {
			if err := send(c, "/queue/go.browse", body, stomp.SendOpt.Header("name", body)); err != nil {
				return err
			}
		}
		for selector, want := range map[string][]string{"": {"a", "b", "c"}, "name <> 'b'": {"a", "c"}} {
			s, err := c.Subscribe("/queue/go.browse", stomp.AckAuto, stomp.SubscribeOpt.Header("browser", "true"),
				stomp.SubscribeOpt.Header("selector", selector))
			if err != nil {
				return err
			}
			for _, body := range want {
				if _, err := expect(s, body, false); err != nil {
					return err
				}
			}
			m, err := receive(s)
			if err != nil {
				return err
			}
			if err := equal("end of browsing", m.Header.Get("browser"), "end"); err != nil {
				return err
			}
		}
		return ask("count go.browse 3")
	})
}

// errorFrame: what is refused comes back as an error that says why.
func errorFrame() error {
	c, err := dial()
	if err != nil {
		return err
	}
	var refusal stomp.Error
	if err := send(c, "/queue/", "to nowhere"); !errors.As(err, &refusal) || refusal.Message == "" {
		return fmt.Errorf("a message without a destination got: %v", err)
	}
	return nil // go-stomp closes the connection itself
}

// tempQueue is a request and its answer over a temporary queue.
func tempQueue() error {
	return with(func(asks *stomp.Conn) error {
		return with(func(answers *stomp.Conn) error {
			replies, err := asks.Subscribe("/temp-queue/replies", stomp.AckAuto)
			if err != nil {
				return err
			}
			if err := send(asks, "/queue/go.requests", "2+2", stomp.SendOpt.Header("reply-to", "/temp-queue/replies")); err != nil {
				return err
			}
			requests, err := answers.Subscribe("/queue/go.requests", stomp.AckAuto)
			if err != nil {
				return err
			}
			m, err := expect(requests, "2+2", false)
			if err != nil {
				return err
			}
			if err := send(answers, m.Header.Get("reply-to"), "4"); err != nil {
				return err
			}
			_, err = expect(replies, "4", false)
			return err
		})
	})
}

func heartBeat() error {
	return with(func(c *stomp.Conn) error {
		s, err := c.Subscribe("/queue/go.beat", stomp.AckAuto)
		if err != nil {
			return err
		}
		select {
		case m := <-s.C: // go-stomp gives up when the broker's heart-beats stay away
			return fmt.Errorf("the idle connection ended: %w", m.Err)
		case <-time.After(5 * time.Second): // the idle pause; the broker gives up after 4 s without ours
		}
		if err := send(c, "/queue/go.beat", "still here"); err != nil {
			return err
		}
		_, err = expect(s, "still here", false)
		return err
	}, stomp.ConnOpt.HeartBeat(time.Second, time.Second), stomp.ConnOpt.HeartBeatError(time.Second))
}

// unsubscribe: go-stomp closes the channel of a subscription when the RECEIPT of its UNSUBSCRIBE comes.
func unsubscribe() error {
	return with(func(c *stomp.Conn) error {
		s, err := c.Subscribe("/queue/go.unsubscribe", stomp.AckAuto, stomp.SubscribeOpt.Id("mine"))
		if err != nil {
			return err
		}
		// It announces the RECEIPT without the lock under which Unsubscribe waits for it, so that this now and then
		// runs into its time-out although all is done: what counts is that the channel is closed, and empty.
		if err := s.Unsubscribe(); err != nil && !errors.Is(err, &stomp.ErrUnsubscribeReceiptTimeout) {
			return err
		}
		if m, ok := <-s.C; ok {
			return fmt.Errorf("a message came after UNSUBSCRIBE: %v", m)
		}
		if err := send(c, "/queue/go.unsubscribe", "left"); err != nil {
			return err
		}
		return ask("count go.unsubscribe 1")
	}, stomp.ConnOpt.UnsubscribeReceiptTimeout(5*time.Second))
}

func reconnect(how string) error {
	c, err := dial()
	if err != nil {
		return err
	}
	s, err := c.Subscribe("/queue/go.restart", stomp.AckClientIndividual)
	if err != nil {
		return err
	}
	if err := send(c, "/queue/go.restart", how); err != nil {
		return err
	}
	if _, err := expect(s, how, false); err != nil {
		return err
	}
	if err := ask("restart %s", how); err != nil {
		return err
	}
	if _, err := receive(s); err == nil {
		return errors.New("the client did not notice the restart")
	}
	err = with(func(c *stomp.Conn) error {
		s, err := c.Subscribe("/queue/go.restart", stomp.AckClientIndividual)
		if err != nil {
			return err
		}
		m, err := expect(s, how, true)
		if err != nil {
			return err
		}
		return c.Ack(m)
	})
	return errors.Join(err, ask("count go.restart 0"))
}

func overTLS() error {
	pem, err := os.ReadFile(os.Getenv("STOMP_CA"))
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	raw, err := tls.Dial("tcp", address(), &tls.Config{RootCAs: roots})
	if err != nil {
		return err
	}
	c, err := stomp.Connect(raw, options()...)
	if err != nil {
		return err
	}
	if err := send(c, "/queue/go.tls", "sealed"); err != nil {
		return err
	}
	return errors.Join(c.Disconnect(), ask("count go.tls 1"))
}

func versions() error {
	for _, v := range []stomp.Version{stomp.V11, stomp.V10} {
		err := with(func(c *stomp.Conn) error {
			if err := equal("version", c.Version(), v); err != nil {
				return err
			}
			list, err := three(c, "/queue/go.versions", stomp.AckClient)
			if err != nil {
				return err
			}
			return c.Ack(list[2])
		}, stomp.ConnOpt.AcceptVersion(v))
		if err = errors.Join(err, ask("count go.versions 0")); err != nil {
			return fmt.Errorf("STOMP %s: %w", v, err)
		}
	}
	return nil
}
