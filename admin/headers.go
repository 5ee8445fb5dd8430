package admin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"treadmq/broker"
)

// header is one header of a message as STOMP shows it.
type header struct {
	Name, Value string
}

// headerList is a JSON object that keeps its order. The first of a name counts.
type headerList []header

// MarshalJSON writes the list as an object.
func (l headerList) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, h := range l {
		if i > 0 {
			b.WriteByte(',')
		}
		name, err := json.Marshal(h.Name)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(h.Value)
		if err != nil {
			return nil, err
		}
		b.Write(name)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// UnmarshalJSON reads an object of strings with at most maxSendHeaders members.
func (l *headerList) UnmarshalJSON(data []byte) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return fmt.Errorf("headers must be an object of strings")
	}
	for dec.More() {
		if len(*l) >= maxSendHeaders {
			return fmt.Errorf("a message has at most %d headers", maxSendHeaders)
		}
		name, err := dec.Token()
		if err != nil {
			return err
		}
		value, err := dec.Token()
		if err != nil {
			return err
		}
		text, ok := value.(string)
		if !ok {
			return fmt.Errorf("the header %q must be a string", name)
		}
		l.add(name.(string), text)
	}
	return nil
}

// add appends a header unless there is one of that name.
func (l *headerList) add(name, value string) {
	for _, h := range *l {
		if h.Name == name {
			return
		}
	}
	*l = append(*l, header{name, value})
}

// destPath is a destination as STOMP clients name it.
func destPath(d broker.Destination) string {
	switch d.Kind {
	case broker.Queue:
		return "/queue/" + d.Name
	case broker.Topic:
		return "/topic/" + d.Name
	case broker.TempQueue:
		return "/remote-temp-queue/" + d.Name
	case broker.TempTopic:
		return "/remote-temp-topic/" + d.Name
	case broker.DurableSub:
		return "/dsub/" + d.Name
	}
	return d.Name
}

// messageHeaders renders a message's fields, properties and overlay as the headers
// that a STOMP client would get (semantics 2.6), without those of a delivery.
func messageHeaders(b *broker.Broker, m *broker.Browsed) headerList {
	msg := m.Message
	l := headerList{
		{"destination", destPath(m.Dest)},
		{"message-id", string(b.AppendMessageID(nil, msg.ID()))},
		{"timestamp", strconv.FormatInt(msg.Timestamp(), 10)},
		{"expires", strconv.FormatInt(m.Expiration, 10)},
		{"priority", strconv.Itoa(int(msg.Priority()))},
	}
	if msg.Persistent() {
		l.add("persistent", "true")
	}
	if m.Attempts > 0 {
		l.add("redelivered", "true")
		l.add("JMSXDeliveryCount", strconv.FormatUint(uint64(m.Attempts), 10))
	}
	if reply, ok := msg.ReplyTo(); ok {
		l.add("reply-to", destPath(reply))
	}
	for it := msg.Fields(); it.Next(); {
		if name := fieldHeader(it.Field); name != "" {
			l.add(name, string(it.Value))
		}
	}
	for it := broker.IterProperties(m.Overlay); it.Next(); {
		l.add(string(it.Name), propertyText(&it.Property))
	}
	for it := msg.Properties(); it.Next(); {
		l.add(string(it.Name), propertyText(&it.Property))
	}
	if body := msg.Body(); msg.Flags()&broker.FlagHasLength != 0 || bytes.IndexByte(body, 0) >= 0 {
		l.add("content-length", strconv.Itoa(len(body)))
	}
	return l
}

// fieldHeader is the header a field shows as, "" for those that are shown otherwise.
func fieldHeader(f broker.Field) string {
	switch f {
	case broker.FieldCorrelationID:
		return "correlation-id"
	case broker.FieldType:
		return "type"
	case broker.FieldGroup:
		return "JMSXGroupID"
	case broker.FieldGroupSeq:
		return "JMSXGroupSeq"
	case broker.FieldUserID:
		return "JMSXUserID"
	case broker.FieldContentType:
		return "content-type"
	}
	return ""
}

func propertyText(p *broker.Property) string {
	if d, ok := p.Destination(); ok {
		return destPath(d)
	}
	return strings.ToValidUTF8(string(p.AppendText(nil)), string(utf8.RuneError))
}

// get returns the value of a header.
func (l headerList) get(name string) string {
	for _, h := range l {
		if h.Name == name {
			return h.Value
		}
	}
	return ""
}
