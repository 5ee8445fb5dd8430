package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/go-stomp/stomp/v3"
)

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
