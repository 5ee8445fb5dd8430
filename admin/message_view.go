package admin

import (
	"unicode/utf8"

	"treadmq/broker"
)

// messageView is a message as a browser sees it.
type messageView struct {
	ID            string     `json:"id"`
	Timestamp     int64      `json:"timestamp"` // ms since 1970
	Expires       int64      `json:"expires"`   // ms since 1970, 0: never
	Priority      int        `json:"priority"`
	Persistent    bool       `json:"persistent"`
	Redelivered   bool       `json:"redelivered"`
	DeliveryCount uint32     `json:"deliveryCount"`
	Size          int        `json:"size"` // bytes of the body
	Headers       headerList `json:"headers"`
	Body          *string    `json:"body,omitempty"`
	BodyBase64    []byte     `json:"bodyBase64,omitempty"`
	Cursor        string     `json:"cursor"` // to go on behind this message

	raw []byte
}

func (s *Server) messageView(m *broker.Browsed, withBody bool) messageView {
	msg := m.Message
	v := messageView{
		ID: string(s.b.AppendMessageID(nil, msg.ID())), Timestamp: msg.Timestamp(), Expires: m.Expiration, Priority: int(msg.Priority()),
		Persistent: m.Persistent, Redelivered: m.Attempts > 0, DeliveryCount: m.Attempts, Size: len(msg.Body()),
		Headers: messageHeaders(s.b, m), Cursor: broker.Cursor{Lane: m.Lane, Seq: m.Seq}.String(),
	}
	if !withBody {
		return v
	}
	v.raw = msg.Body()
	if utf8.Valid(v.raw) {
		text := string(v.raw)
		v.Body = &text
	} else {
		v.BodyBase64 = v.raw
	}
	return v
}

// browsePage is one page of a queue's messages.
type browsePage struct {
	Items []messageView `json:"items"`
	Next  string        `json:"next"` // empty at the end
	// Looked is how many messages a search has looked at, whether they matched or not.
	Looked int `json:"looked,omitempty"`
}

// browse returns up to max messages behind a cursor. Nothing about them changes.
func (s *Server) browse(d broker.Destination, cursor string, max int, withBody bool) (browsePage, error) {
	after, err := broker.ParseCursor(cursor)
	if err != nil {
		return browsePage{}, err
	}
	list, next, more, err := s.b.Browse(d, after, max+1, maxBrowseBytes) // one more tells whether there is a next page
	if err != nil {
		return browsePage{}, err
	}
	p := browsePage{Items: make([]messageView, 0, min(len(list), max))}
	if len(list) > max {
		list = list[:max]
		next, more = broker.Cursor{Lane: list[max-1].Lane, Seq: list[max-1].Seq}, true
	} else if len(list) == 0 {
		more = false
	}
	for i := range list {
		p.Items = append(p.Items, s.messageView(&list[i], withBody))
	}
	if more {
		p.Next = next.String()
	}
	return p, nil
}

// one returns the message at a place of a queue.
func (s *Server) one(d broker.Destination, at string) (*broker.Browsed, error) {
	c, err := broker.ParseCursor(at)
	if err != nil {
		return nil, err
	}
	gone := broker.Errorf(broker.CodeNoDestination, "the message is no longer in the queue: it was consumed, has expired or was removed")
	if c.Seq == 0 {
		return nil, gone
	}
	list, _, _, err := s.b.Browse(d, broker.Cursor{Lane: c.Lane, Seq: c.Seq - 1}, 1, 1)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 || list[0].Seq != c.Seq || list[0].Lane != c.Lane {
		return nil, gone
	}
	return &list[0], nil
}

// oldestAge is the age in seconds of the queue's oldest message, 0 if it is empty:
// each priority's first message is looked at.
func (s *Server) oldestAge(d broker.Destination) (float64, error) {
	oldest, found := int64(0), false
	for at := (broker.Cursor{}); ; at = (broker.Cursor{Lane: at.Lane + 1}) {
		list, _, _, err := s.b.Browse(d, at, 1, 1)
		if err != nil {
			return 0, err
		}
		if len(list) == 0 {
			break
		}
		if t := list[0].Message.Timestamp(); !found || t < oldest {
			oldest, found = t, true
		}
		at.Lane = list[0].Lane
		if at.Lane+1 >= lanes {
			break
		}
	}
	if !found {
		return 0, nil
	}
	return max(0, float64(s.opt.Now().UnixMilli()-oldest)/1000), nil
}

// lanes is the number of priorities.
const lanes = 10
