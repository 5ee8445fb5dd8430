package stomp

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"strconv"
	"strings"

	"treadmq/broker"
)

// hdrTransformation asks for another form of a map: on SUBSCRIBE, or on a request for statistics.
const hdrTransformation = "transformation"

// Forms of the broker's figures, as ActiveMQ names them and writes maps over STOMP.
const (
	formJSON = "jms-map-json"
	formXML  = "jms-map-xml"
)

// figuresForm is the form that a header transformation asks for, "" for plain JSON.
func figuresForm(v []byte) string {
	switch strings.ToLower(string(bytes.TrimSpace(v))) {
	case formJSON, "jms-json":
		return formJSON
	case formXML, "jms-xml":
		return formXML
	}
	return ""
}

// appendFigures appends a MESSAGE with figures, in the form that the subscription asked for, or else the request.
func (s *session) appendFigures(w *writer, d *broker.Delivery) {
	form := w.sub.form
	if form == "" {
		form = figuresForm(propertyOf(d.Message, hdrTransformation))
	}
	shown := *d
	shown.Message = inForm(d.Message, form)
	s.appendMessage(w, &shown)
}

// propertyOf returns a property's text, nil if the message has none of that name.
func propertyOf(m *broker.Message, name string) []byte {
	for it := m.Properties(); it.Next(); {
		if string(it.Name) == name {
			return it.AppendText(nil)
		}
	}
	return nil
}

// inForm returns the message with its body, an object in JSON, in another form. One that cannot be read stays as it is.
func inForm(m *broker.Message, form string) *broker.Message {
	if form == "" {
		return m
	}
	entries, ok := readFigures(m.Body())
	if !ok {
		return m
	}
	body, contentType := mapJSON(entries), "application/json"
	if form == formXML {
		body, contentType = mapXML(entries), "application/xml"
	}
	var b broker.Builder
	b.Reset()
	b.Kind, b.Flags, b.Priority = broker.BodyMap, m.Flags(), m.Priority()
	b.Timestamp, b.Expiration = m.Timestamp(), m.Expiration()
	for it := m.Fields(); it.Next(); {
		switch it.Field {
		case broker.FieldDestination:
		case broker.FieldContentType:
			b.SetField(it.Field, []byte(contentType))
		default:
			b.SetField(it.Field, it.Value)
		}
	}
	b.AddString([]byte(hdrTransformation), []byte(form))
	shown, err := broker.DecodeMessage(b.Build(m.Destination(), body).Encoded(), m.ID())
	if err != nil {
		return m
	}
	return shown
}

// figure is one entry of a map: its name, Java type and value.
type figure struct{ name, kind, value string }

// readFigures reads an object of text, numbers and truth values.
func readFigures(body []byte) (all []figure, ok bool) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, false
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, false
		}
		value, err := d.Token()
		if err != nil {
			return nil, false
		}
		f := figure{name: name.(string)}
		switch v := value.(type) {
		case string:
			f.kind, f.value = "string", v
		case bool:
			f.kind, f.value = "boolean", strconv.FormatBool(v)
		case json.Number:
			f.kind, f.value = javaNumber(f.name, v.String())
		default:
			return nil, false
		}
		all = append(all, f)
	}
	return all, true
}

// javaNumber returns the Java type that ActiveMQ's statistics have for a number, and the number as that is written.
func javaNumber(name, v string) (kind, text string) {
	switch {
	case strings.HasPrefix(name, "average") || strings.HasSuffix(name, "EnqueueTime") || strings.ContainsAny(v, ".eE"):
		if !strings.ContainsAny(v, ".eE") {
			v += ".0"
		}
		return "double", v
	case strings.HasSuffix(name, "PercentUsage") || name == "prefetchSize" || name == "maximumPendingMessageLimit":
		return "int", v
	}
	return "long", v
}

// mapXML writes entries as XStream writes a Java map.
func mapXML(all []figure) []byte {
	if len(all) == 0 {
		return []byte("<map/>")
	}
	var b bytes.Buffer
	element := func(kind, text string) {
		b.WriteString("    <" + kind + ">")
		_ = xml.EscapeText(&b, []byte(text)) // a buffer takes everything
		b.WriteString("</" + kind + ">\n")
	}
	b.WriteString("<map>\n")
	for _, f := range all {
		b.WriteString("  <entry>\n")
		element("string", f.name)
		element(f.kind, f.value)
		b.WriteString("  </entry>\n")
	}
	b.WriteString("</map>")
	return b.Bytes()
}

// mapJSON writes entries as XStream writes a Java map in JSON, which is what it makes of its XML: an element that comes
// twice is an array.
func mapJSON(all []figure) []byte {
	entries := make([]string, 0, len(all))
	for _, f := range all {
		name := quoted(f.name)
		if f.kind == "string" {
			entries = append(entries, `{"string":[`+name+`,`+quoted(f.value)+`]}`)
		} else {
			entries = append(entries, `{"string":`+name+`,"`+f.kind+`":`+f.value+`}`)
		}
	}
	switch len(entries) {
	case 0:
		return []byte(`{"map":""}`)
	case 1:
		return []byte(`{"map":{"entry":` + entries[0] + `}}`)
	}
	return []byte(`{"map":{"entry":[` + strings.Join(entries, ",") + `]}}`)
}

func quoted(s string) string {
	text, _ := json.Marshal(s) // text can always be written
	return string(text)
}
