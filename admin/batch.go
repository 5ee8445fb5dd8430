package admin

import (
	"errors"
	"net/http"
	"slices"
	"strconv"

	"treadmq/broker"
)

// maxBatch messages are sent by one request.
const maxBatch = 500

// messageBatch are messages that are sent together: all of them, or none.
type messageBatch struct {
	Messages []*outgoing `json:"messages"`
}

// batchView is the answer to a batch.
type batchView struct {
	IDs        []string `json:"ids"`                  // in the order of the messages; of a repeat that of the first one, "" if it is not known any more
	Duplicates []int    `json:"duplicates,omitempty"` // which messages were repeats (x-dedup-id) and were left out, counted from 1
}

func (s *Server) apiQueueBatch(w http.ResponseWriter, r *http.Request) error {
	d, err := s.apiQueueDest(r)
	if err != nil {
		return err
	}
	return s.apiBatch(w, r, d)
}

func (s *Server) apiTopicBatch(w http.ResponseWriter, r *http.Request) error {
	d, err := s.apiTopicDest(r)
	if err != nil {
		return err
	}
	return s.apiBatch(w, r, d)
}

func (s *Server) apiBatch(w http.ResponseWriter, r *http.Request, d broker.Destination) error {
	release, err := s.takeHeavy(r.Context())
	if err != nil {
		return err
	}
	defer release()
	var b messageBatch
	if err := readJSON(r, &b); err != nil {
		return err
	}
	if len(b.Messages) == 0 || len(b.Messages) > maxBatch {
		return badRequest("A batch has 1 to " + strconv.Itoa(maxBatch) + " messages.")
	}
	if i := slices.Index(b.Messages, nil); i >= 0 {
		return badRequest("Message " + strconv.Itoa(i+1) + " of the batch is null. Leave it out, or give it a body. Nothing was sent.")
	}
	return s.answerSent(w, r, d, &b, func(r *http.Request) (any, error) { return s.sendBatch(r, d, b.Messages) })
}

// sendBatch sends messages in the user's name, as one transaction, and returns their ids when they are stored.
func (s *Server) sendBatch(r *http.Request, d broker.Destination, list []*outgoing) (v batchView, err error) {
	defer func() { s.audit(r, "send", destPath(d), err, "messages", len(list)) }()
	if err := checkTarget(s.b, d); err != nil {
		return v, err
	}
	conn, err := s.connect(r)
	if err != nil {
		return v, err
	}
	defer conn.Close()
	tx, err := conn.Begin("batch")
	if err != nil {
		return v, err
	}
	sent := make([]*broker.Message, len(list))
	once := make([]*broker.Dedup, len(list))
	when := make([]*broker.Schedule, len(list))
	for i := range list {
		if sent[i], once[i], when[i], err = buildMessage(conn, d, list[i], s.b.Now()); err != nil {
			return v, numberedError(i, err)
		}
	}
	for i, m := range sent {
		if when[i] != nil {
			err = tx.Schedule([]broker.Destination{d}, m, when[i])
		} else {
			err = tx.Send([]broker.Destination{d}, m)
		}
		if err != nil {
			return v, numberedError(i, err)
		}
	}
	w := conn.NewWork()
	if err := w.Commit(tx); err != nil {
		return v, err
	}
	done := make(chan error, 1)
	w.Flush(func(err error) { done <- err })
	if err := committed(r.Context(), done); err != nil {
		return v, err
	}
	for i, m := range sent {
		id, repeat := s.sentID(m, once[i])
		v.IDs = append(v.IDs, id)
		if repeat {
			v.Duplicates = append(v.Duplicates, i+1)
		}
	}
	return v, nil
}

// numberedError says which message of a batch an error is about. None was sent.
func numberedError(i int, err error) error {
	p := problemOf(err)
	if errors.Is(err, broker.ErrWouldBlock) {
		p = problemOf(broker.Errorf(broker.CodeFull, "the destination is full, and its policy makes senders wait, which this one does not"))
	}
	return &httpError{p.Status, p.Code, "Message " + strconv.Itoa(i+1) + " of the batch: " + p.Detail + " Nothing was sent."}
}
