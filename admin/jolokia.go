package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/gorilla/mux"
)

// The part of Jolokia, JMX over HTTP, that scalers, exporters and scripts ask ActiveMQ
// for: read, search, list and version. Nothing can be changed. As Jolokia does it, an
// answer is 200 for HTTP, and its own status tells of errors.

// jolokiaPath takes a request in its path; POST takes one, or a list, as JSON.
const (
	jolokiaPath = "/api/jolokia/{path:.*}"
	jolokiaBare = "/api/jolokia"
)

// maxJolokia is how many requests one POST may hold.
const maxJolokia = 1000

// jolokiaProtocol is the version of Jolokia's protocol that this follows.
const jolokiaProtocol = "7.2"

// jolokiaRequest is one request. Attribute is a name, or a list of them.
type jolokiaRequest struct {
	Type      string          `json:"type"`
	MBean     string          `json:"mbean,omitempty"`
	Attribute json.RawMessage `json:"attribute,omitempty"`
	Path      string          `json:"path,omitempty"`

	asked     []string        // the names of Attribute
	canonical bool            // names in answers have sorted keys
	given     json.RawMessage // the request as it came, to be repeated
}

// jolokiaAnswer is what one request gets.
type jolokiaAnswer struct {
	Request   any    `json:"request"`
	Value     any    `json:"value,omitempty"`
	Timestamp int64  `json:"timestamp"` // seconds since 1970
	Status    int    `json:"status"`
	Error     string `json:"error,omitempty"`
	ErrorType string `json:"error_type,omitempty"`
}

// jolokiaError is a refusal with the exception that Java would throw.
type jolokiaError struct {
	status int
	class  string
	text   string
}

func (e *jolokiaError) Error() string { return e.class + " : " + e.text }

func badJolokia(format string, args ...any) error {
	return &jolokiaError{http.StatusBadRequest, "java.lang.IllegalArgumentException", fmt.Sprintf(format, args...)}
}

// jolokiaGet is a request in the path.
func (s *Server) jolokiaGet(w http.ResponseWriter, r *http.Request) error {
	q, err := jolokiaOfPath(mux.Vars(r)["path"])
	return s.jolokiaWrite(w, r, func() any { return s.jolokia(r.URL.Query(), q, err) })
}

// jolokiaPost is one request as JSON, or several.
func (s *Server) jolokiaPost(w http.ResponseWriter, r *http.Request) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	var list []json.RawMessage
	if json.Unmarshal(body, &list) != nil {
		q, err := jolokiaOfJSON(body)
		return s.jolokiaWrite(w, r, func() any { return s.jolokia(r.URL.Query(), q, err) })
	}
	if len(list) > maxJolokia {
		return badRequest("One request may ask for at most " + strconv.Itoa(maxJolokia) + " things.")
	}
	return s.jolokiaWrite(w, r, func() any {
		answers := make([]jolokiaAnswer, 0, len(list))
		for _, raw := range list {
			q, err := jolokiaOfJSON(raw)
			answers = append(answers, s.jolokia(r.URL.Query(), q, err))
		}
		return answers
	})
}

// jolokiaWrite answers; few at a time, because a pattern may mean thousands of MBeans.
func (s *Server) jolokiaWrite(w http.ResponseWriter, r *http.Request, find func() any) error {
	release, err := s.takeHeavy(r.Context())
	if err != nil {
		return err
	}
	defer release()
	return writeJSON(w, http.StatusOK, find())
}

// jolokiaOfPath reads a request such as read/MBEAN/ATTRIBUTE/PATH. A slash within a part
// is written !/ there.
func jolokiaOfPath(raw string) (*jolokiaRequest, error) {
	text, err := url.PathUnescape(raw)
	if err != nil {
		return &jolokiaRequest{}, badJolokia("the path is not percent-encoded properly")
	}
	parts := splitJolokia(text)
	q := &jolokiaRequest{Type: parts[0]}
	if q.Type == "" {
		q.Type = "version"
	}
	rest := parts[1:]
	if q.Type == "list" {
		q.Path = strings.Join(rest, "/")
		return q, nil
	}
	if len(rest) > 0 {
		q.MBean = rest[0]
	}
	if len(rest) > 1 && rest[1] != "" {
		q.asked = strings.Split(rest[1], ",")
		q.Attribute, err = json.Marshal(q.asked)
		if len(q.asked) == 1 {
			q.Attribute, err = json.Marshal(rest[1])
		}
	}
	if len(rest) > 2 {
		q.Path = strings.Join(rest[2:], "/")
	}
	return q, err
}

// splitJolokia splits at slashes and takes the escapes away: ! stands before what is
// meant as it is.
func splitJolokia(text string) []string {
	var parts []string
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '!' && i+1 < len(text):
			i++
			b.WriteByte(text[i])
		case c == '/':
			parts = append(parts, b.String())
			b.Reset()
		default:
			b.WriteByte(c)
		}
	}
	return append(parts, b.String())
}

func jolokiaOfJSON(raw json.RawMessage) (*jolokiaRequest, error) {
	q := &jolokiaRequest{given: raw}
	if !json.Valid(raw) {
		q.given = nil
	}
	if err := json.Unmarshal(raw, q); err != nil {
		return q, badJolokia("the request is not understood: %v", err)
	}
	var one string
	switch {
	case len(q.Attribute) == 0 || string(q.Attribute) == "null":
	case json.Unmarshal(q.Attribute, &one) == nil:
		q.asked = []string{one}
	case json.Unmarshal(q.Attribute, &q.asked) != nil:
		return q, badJolokia("attribute is a name or a list of names")
	}
	return q, nil
}

// jolokia answers one request.
func (s *Server) jolokia(v url.Values, q *jolokiaRequest, err error) jolokiaAnswer {
	a := jolokiaAnswer{Request: q, Timestamp: s.opt.Now().Unix(), Status: http.StatusOK}
	if q.given != nil {
		a.Request = q.given
	}
	q.canonical = v.Get("canonicalNaming") != "false"
	if err == nil {
		a.Value, err = s.jolokiaValue(q)
	}
	if err != nil {
		no := &jolokiaError{http.StatusInternalServerError, "java.lang.RuntimeException", err.Error()}
		errors.As(err, &no)
		a.Value, a.Status, a.Error, a.ErrorType = nil, no.status, no.Error(), no.class
	}
	return a
}

func (s *Server) jolokiaValue(q *jolokiaRequest) (any, error) {
	switch q.Type {
	case "version":
		info := s.opt.Info()
		return map[string]any{"protocol": jolokiaProtocol, "agent": info.Version,
			"info": map[string]string{"product": "treadmq", "vendor": "TreadMQ", "version": info.Version}, "config": map[string]string{}}, nil
	case "read":
		return s.jolokiaRead(q)
	case "search":
		n, err := parseObjectName(q.MBean)
		if err != nil {
			return nil, badJolokia("%v", err)
		}
		names := []string{}
		for _, b := range s.beans(n) {
			names = append(names, q.nameOf(b.name))
		}
		slices.Sort(names)
		return names, nil
	case "list":
		return s.jolokiaList(q)
	case "exec", "write", "notification":
		return nil, &jolokiaError{http.StatusForbidden, "java.lang.SecurityException",
			"only read, search, list and version are answered here; use /api/v1 to change something"}
	}
	return nil, badJolokia("there is no request of the type %q", q.Type)
}

func (q *jolokiaRequest) nameOf(n objectName) string {
	if q.canonical {
		return n.canonical()
	}
	return n.String()
}

// jolokiaRead returns attributes: the value of one, an object of several or all of them;
// for a pattern an object of such objects by name.
func (s *Server) jolokiaRead(q *jolokiaRequest) (any, error) {
	n, err := parseObjectName(q.MBean)
	if err != nil {
		return nil, badJolokia("%v", err)
	}
	list := s.beans(n)
	if !n.isPattern() {
		if len(list) == 0 {
			return nil, &jolokiaError{http.StatusNotFound, "javax.management.InstanceNotFoundException", q.MBean}
		}
		return list[0].read(q)
	}
	if q.Path != "" {
		return nil, badJolokia("a path cannot be given with a pattern")
	}
	all := map[string]any{}
	for _, b := range list {
		some := map[string]any{}
		attrs := b.attributes()
		if len(q.asked) == 0 {
			some = attrs
		}
		for _, name := range q.asked {
			if v, ok := attrs[name]; ok {
				some[name] = v
			}
		}
		if len(some) > 0 {
			all[q.nameOf(b.name)] = some
		}
	}
	if len(all) == 0 {
		return nil, &jolokiaError{http.StatusNotFound, "javax.management.InstanceNotFoundException",
			"No MBean with pattern " + q.MBean + " found for reading attributes"}
	}
	return all, nil
}

// read returns what a request asks of one MBean.
func (b *bean) read(q *jolokiaRequest) (any, error) {
	attrs := b.attributes()
	var value any = attrs
	some := map[string]any{}
	for _, name := range q.asked {
		v, ok := attrs[name]
		if !ok {
			return nil, &jolokiaError{http.StatusNotFound, "javax.management.AttributeNotFoundException", "No such attribute: " + name}
		}
		some[name] = v
	}
	switch len(q.asked) {
	case 0:
	case 1:
		value = some[q.asked[0]]
		if len(q.Attribute) > 0 && q.Attribute[0] == '[' {
			value = some
		}
	default:
		value = some
	}
	return inner(value, q.Path)
}

// inner goes down into a value.
func inner(value any, path string) (any, error) {
	for _, step := range strings.Split(path, "/") {
		if step == "" {
			continue
		}
		m, _ := value.(map[string]any)
		next, ok := m[step]
		if !ok {
			return nil, &jolokiaError{http.StatusNotFound, "java.lang.IllegalArgumentException", "there is nothing at the path " + path}
		}
		value = next
	}
	return value, nil
}

// jolokiaList tells of all MBeans and their attributes, by domain and keys.
func (s *Server) jolokiaList(q *jolokiaRequest) (any, error) {
	all := map[string]any{}
	for _, b := range s.beans(objectName{domain: "*", more: true}) {
		attr := map[string]any{}
		for name, v := range b.attributes() {
			attr[name] = map[string]any{"rw": false, "type": javaType(v), "desc": name}
		}
		beans, _ := all[b.name.domain].(map[string]any)
		if beans == nil {
			beans = map[string]any{}
			all[b.name.domain] = beans
		}
		_, keys, _ := strings.Cut(q.nameOf(b.name), ":")
		beans[keys] = map[string]any{"attr": attr, "op": map[string]any{}, "desc": "Information on the management interface of the MBean"}
	}
	return inner(all, q.Path)
}

func javaType(v any) string {
	switch v.(type) {
	case bool:
		return "boolean"
	case string:
		return "java.lang.String"
	case float64:
		return "double"
	case map[string]any:
		return "javax.management.openmbean.CompositeData"
	case []map[string]string:
		return "[Ljavax.management.ObjectName;"
	}
	return "long"
}
