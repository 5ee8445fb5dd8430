// Command gostomp runs github.com/go-stomp/stomp against TreadMQ: see
// treadmq/scripts/clients for how it talks to the test.
package main

import (
	"bufio"
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
