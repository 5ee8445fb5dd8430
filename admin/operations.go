package admin

import (
	"fmt"
	"net/http"
	"strconv"

	"treadmq/broker"
)

// What pages and API do, once for both. Each change is audited here.

// queueDest finds out which queue a name means: one of that kind if it is given,
// else the queue, or a temporary queue if there is no such queue.
func (s *Server) queueDest(name, kind string) (broker.Destination, error) {
	return s.dest(name, kind, broker.Queue, broker.TempQueue, func(d broker.Destination) bool {
		_, err := s.b.Queue(d)
		return err == nil
	})
}

func (s *Server) topicDest(name, kind string) (broker.Destination, error) {
	return s.dest(name, kind, broker.Topic, broker.TempTopic, func(d broker.Destination) bool {
		_, err := s.topic(d)
		return err == nil
	})
}

func (s *Server) dest(name, kind string, plain, temp broker.Kind, exists func(broker.Destination) bool) (broker.Destination, error) {
	d, t := broker.Destination{Kind: plain, Name: name}, broker.Destination{Kind: temp, Name: name}
	switch kind {
	case kindName(broker.DurableSub):
		if plain == broker.Queue {
			return broker.Destination{Kind: broker.DurableSub, Name: name}, nil
		}
	case kindName(plain):
		return d, nil
	case kindName(temp):
		return t, nil
	case "":
	default:
		return d, bad("error.kind", "kind is %s or %s.", kindName(plain), kindName(temp))
	}
	if !exists(d) && exists(t) {
		return t, nil
	}
	return d, nil
}

func (s *Server) topic(d broker.Destination) (broker.TopicInfo, error) {
	list := s.b.Topics(func(x broker.Destination) bool { return x == d })
	if len(list) == 0 {
		return broker.TopicInfo{}, broker.Errorf(broker.CodeNoDestination, "there is no %s %q", d.Kind, d.Name)
	}
	return list[0], nil
}

// exists reports whether there is such a destination.
func (s *Server) exists(d broker.Destination) bool {
	var err error
	if d.Kind.IsQueue() {
		_, err = s.b.Queue(d)
	} else {
		_, err = s.topic(d)
	}
	return err == nil
}

// createQueue makes a queue and reports whether it is new.
func (s *Server) createQueue(r *http.Request, name string) (created bool, err error) {
	_, missing := s.b.Queue(broker.Destination{Kind: broker.Queue, Name: name})
	err = s.b.CreateQueue(name)
	if missing == nil && err == nil {
		return false, nil
	}
	s.audit(r, "create", "/queue/"+name, err)
	return err == nil, err
}

// purgeQueue removes what no consumer holds; with undo to the trash, if there is one.
func (s *Server) purgeQueue(r *http.Request, d broker.Destination, undo bool) (removed int64, t *broker.Trashed, err error) {
	if undo {
		removed, t, err = s.b.PurgeToTrash(d, userOf(r).Name)
	} else {
		done := make(chan error, 1)
		if removed, err = s.b.Purge(d, func(err error) { done <- err }); err == nil {
			err = committed(r.Context(), done)
		}
	}
	s.audit(r, "purge", destPath(d), err, "removed", removed, "undo", t != nil)
	return removed, t, err
}

// deleteQueue deletes a queue or a durable subscription; with undo to the trash, if there is one.
func (s *Server) deleteQueue(r *http.Request, d broker.Destination, force, undo bool) (t *broker.Trashed, err error) {
	done := make(chan error, 1)
	switch {
	case undo:
		t, err = s.b.DeleteToTrash(d, force, userOf(r).Name)
		done <- nil
	case d.Kind == broker.DurableSub:
		err = s.b.DeleteDurable(d.Name, force, func(err error) { done <- err })
	default:
		err = s.b.DeleteQueue(d, force, func(err error) { done <- err })
	}
	if err == nil {
		err = committed(r.Context(), done)
	}
	s.audit(r, "delete", destPath(d), err, "force", force, "undo", t != nil)
	return t, err
}

func (s *Server) deleteTopic(r *http.Request, d broker.Destination) error {
	err := s.b.DeleteTopic(d)
	s.audit(r, "delete", destPath(d), err)
	return err
}

// closeConnection asks a connection to go, saying why.
func (s *Server) closeConnection(r *http.Request, serial uint64, reason string) (err error) {
	defer func() {
		s.audit(r, "close-connection", strconv.FormatUint(serial, 10), err, "reason", reason)
	}()
	if len(reason) > maxReason {
		return bad("error.reason", "The reason is longer than %d bytes.", maxReason)
	}
	text := "an administrator has closed the connection"
	if reason != "" {
		text += ": " + reason
	}
	if !s.b.Kill(serial, text) {
		return broker.Errorf(broker.CodeNoDestination, "there is no connection %d; it may have ended by itself", serial)
	}
	return nil
}

// pauseQueue stops or resumes the deliveries of a queue.
func (s *Server) pauseQueue(r *http.Request, d broker.Destination, paused bool) error {
	action := "resume"
	if paused {
		action = "pause"
	}
	err := s.b.Pause(d, paused)
	s.audit(r, action, destPath(d), err)
	return err
}

// closeSubscription ends one subscription of a connection.
func (s *Server) closeSubscription(r *http.Request, conn uint64, serial uint32) (err error) {
	defer func() { s.audit(r, "close-subscription", fmt.Sprintf("%d/%d", conn, serial), err) }()
	if !s.b.CloseSubscription(conn, serial) {
		return broker.Errorf(broker.CodeNoSubscription, "the connection %d has no subscription %d; it may have ended by itself", conn, serial)
	}
	return nil
}
