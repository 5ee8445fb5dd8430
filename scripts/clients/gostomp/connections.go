package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/go-stomp/stomp/v3"
)

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
