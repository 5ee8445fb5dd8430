package broker

import "treadmq/broker/selector"

// nameTable says of each identifier of a selector what it means to a message. It is made once and does not change.
type nameTable struct {
	uses  []nameUse // by selector.Name.Index
	slots []string  // names of properties, the first maxSlots that the selector has
	sizes uint64    // a bit for each length that they have, modulo 64
}

// nameUse is what an identifier means.
type nameUse struct {
	jms   bool           // a name of JMS or Artemis: text or field says what it stands for
	text  Field          // a field of text
	field selector.Field // for other names: what a STOMP header of this name shows, if there is no property of this name
	slot  int            // of the property of this name; -1 for none
}

// maxSlots is how many properties of a message a selector reads once only.
const maxSlots = 16

func newNameTable(names []string) nameTable {
	t := nameTable{uses: make([]nameUse, len(names))}
	for i, name := range names {
		t.uses[i] = t.resolve(name)
	}
	return t
}

func (t *nameTable) resolve(name string) nameUse {
	if f, ok := selector.Canonical(name); ok {
		return nameUse{jms: true, text: jmsTexts[f], field: f, slot: -1}
	}
	if f, ok := textHeaders[name]; ok {
		return nameUse{text: f, slot: -1}
	}
	use := nameUse{field: stompNames[name], slot: -1}
	if len(t.slots) < maxSlots {
		use.slot = len(t.slots)
		t.slots = append(t.slots, name)
		t.sizes |= 1 << (len(name) % 64)
	}
	return use
}

// jmsTexts are the names of JMS that stand for a field of text.
var jmsTexts = map[selector.Field]Field{
	selector.FieldCorrelationID: FieldCorrelationID, selector.FieldType: FieldType,
	selector.FieldGroupID: FieldGroup, selector.FieldUserID: FieldUserID,
}

// textHeaders are the STOMP headers that a message keeps as fields of text. No property has such a name.
var textHeaders = map[string]Field{"type": FieldType, "correlation-id": FieldCorrelationID, "content-type": FieldContentType}

// stompNames are the other STOMP headers that are fields here.
var stompNames = map[string]selector.Field{
	"message-id": selector.FieldMessageID,
	"priority":   selector.FieldPriority, "timestamp": selector.FieldTimestamp, "expires": selector.FieldExpiration,
	"reply-to": selector.FieldReplyTo, "destination": selector.FieldDestination,
}

// wantedProps walks over the properties of a message once, as far as it must, and keeps those that have a slot.
type wantedProps struct {
	begun  bool
	left   uint64 // properties that were not read yet
	rest   []byte // they
	have   uint32 // a bit for each slot that has a value
	values [maxSlots]selector.Value
}

// reset lets go of what was kept in the first n slots.
func (w *wantedProps) reset(n int) {
	clear(w.values[:n])
	w.begun, w.left, w.rest, w.have = false, 0, nil, 0
}

// get returns the property of a slot, false if the message has none of its name. The first of a name counts.
func (w *wantedProps) get(m *Message, t *nameTable, slot int) (selector.Value, bool) {
	if w.have>>slot&1 == 0 {
		if !w.begun {
			w.begun = true
			w.left, w.rest = propertyCount(m.encodedProperties())
		}
		w.walk(t, slot)
	}
	return w.values[slot], w.have>>slot&1 != 0
}

// walk reads on until the slot has a value, or to the end.
func (w *wantedProps) walk(t *nameTable, slot int) {
	rest, left := w.rest, w.left
	for left > 0 && w.have>>slot&1 == 0 {
		if name, value, n := shortText(rest); n > 0 {
			rest, left = rest[n:], left-1
			if t.sizes>>(len(name)%64)&1 != 0 {
				if i := slotOf(t.slots, name); i >= 0 {
					w.keep(i, selector.Bytes(value))
				}
			}
			continue
		}
		it := PropIter{left: left, rest: rest}
		if !it.Next() {
			left = 0
			break
		}
		rest, left = it.rest, it.left
		if i := slotOf(t.slots, it.Name); i >= 0 {
			w.keep(i, propertyValue(&it.Property))
		}
	}
	w.rest, w.left = rest, left
}

// keep puts a value into a slot that has none.
func (w *wantedProps) keep(i int, v selector.Value) {
	if w.have>>i&1 == 0 {
		w.values[i] = v
		w.have |= 1 << i
	}
}

// slotOf returns the slot that has a name, or -1.
func slotOf(slots []string, name []byte) int {
	for i, s := range slots {
		if len(s) == len(name) && (len(s) == 0 || s[0] == name[0]) && s == string(name) {
			return i
		}
	}
	return -1
}
