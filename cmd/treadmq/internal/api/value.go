package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// newDecoder keeps numbers as they are written: a 64-bit count must not pass
// through a float.
func newDecoder(b []byte) *json.Decoder {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	return d
}

func text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	case bool:
		return strconv.FormatBool(v)
	case []any:
		return listText(v)
	}
	return ""
}

// short is text with one digit behind the point of a number that has one. A name that looks
// like a number stays as it is.
func short(v any) string {
	if n, ok := v.(json.Number); ok && strings.Contains(n.String(), ".") {
		if f, err := n.Float64(); err == nil {
			return strconv.FormatFloat(f, 'f', 1, 64)
		}
	}
	return text(v)
}

// Field is a field of an object for people; objects within have names like a.b.
type Field struct{ Name, Text string }

// Fields are all fields of the object, in the order they came. Of a list of objects
// only the length is told.
func (i *Item) Fields() []Field { return appendFields(nil, "", i.RawMessage) }

func appendFields(to []Field, prefix string, raw json.RawMessage) []Field {
	d := newDecoder(raw)
	d.Token() // {
	for d.More() {
		name, _ := d.Token()
		var v json.RawMessage
		if d.Decode(&v) != nil {
			break // it was valid JSON when it was decoded first
		}
		to = appendField(to, prefix+fmt.Sprint(name), v)
	}
	return to
}

func appendField(to []Field, name string, raw json.RawMessage) []Field {
	if raw[0] == '{' {
		return appendFields(to, name+".", raw)
	}
	var v any
	newDecoder(raw).Decode(&v)
	if list, ok := v.([]any); ok {
		return append(to, Field{name, listText(list)})
	}
	return append(to, Field{name, short(v)})
}

func listText(list []any) string {
	words := make([]string, len(list))
	for i, v := range list {
		if words[i] = text(v); words[i] == "" {
			return strconv.Itoa(len(list)) + " entries"
		}
	}
	return strings.Join(words, ", ")
}
