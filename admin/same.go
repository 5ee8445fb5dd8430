package admin

import (
	"encoding/json"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"treadmq/broker"
)

// Where commands look for the console and the broker unless they are told.
const (
	usualConsole = "http://127.0.0.1:8161"
	usualBroker  = "tcp://127.0.0.1:61613"
)

// apiCall is a request of the API that does what a page does. It is written for a shell.
type apiCall struct {
	origin, user string
	method       string
	path         string
	query        []string // names and values
	body         string
}

// API begins a request; names are escaped as a path needs it, and empty ones left out.
func (p *page) API(method string, segments ...string) *apiCall {
	c := &apiCall{origin: p.origin, user: p.User.Name, method: method, path: p.ui.prefix + "/api/v1"}
	if c.user == "" || p.Link != nil { // a link's maker is not who looks
		c.user = "USER"
	}
	for _, s := range segments {
		if s != "" {
			c.path += "/" + url.PathEscape(s)
		}
	}
	return c
}

// With adds parameters, given as names and values; empty ones are left out, and the kind that is meant anyway.
func (c *apiCall) With(pairs ...string) *apiCall {
	for i := 0; i+1 < len(pairs); i += 2 {
		usual := pairs[i] == "kind" && (pairs[i+1] == kindName(broker.Queue) || pairs[i+1] == kindName(broker.Topic))
		if pairs[i+1] != "" && !usual {
			c.query = append(c.query, pairs[i], pairs[i+1])
		}
	}
	return c
}

// List adds what a list is asked for by.
func (c *apiCall) List(q listQuery) *apiCall { return c.With(q.values()...) }

// Sends gives the request a body.
func (c *apiCall) Sends(v any) (*apiCall, error) {
	b, err := json.Marshal(v)
	c.body = string(b)
	return c, err
}

// String is the request as a shell takes it. curl asks for the password.
func (c *apiCall) String() string {
	words := []string{"curl"}
	if slices.ContainsFunc(strings.Split(c.path, "/"), func(s string) bool { return s == "." || s == ".." }) {
		words = append(words, "--path-as-is")
	}
	words = append(words, "-u", c.user)
	if c.method != "GET" && (c.method != "POST" || c.body == "") {
		words = append(words, "-X", c.method)
	}
	if c.body != "" {
		words = append(words, "-H", "Content-Type: application/json", "-d", c.body)
	}
	address := c.origin + c.path
	if len(c.query) > 0 {
		parts := make([]string, 0, len(c.query)/2)
		for i := 0; i < len(c.query); i += 2 {
			parts = append(parts, c.query[i]+"="+url.QueryEscape(c.query[i+1]))
		}
		address += "?" + strings.Join(parts, "&")
	}
	return shellLine(append(words, address)...)
}

// CLI is a command of treadmq that asks this console; empty words are left out.
func (p *page) CLI(words ...string) string {
	words = append([]string{"treadmq"}, slices.DeleteFunc(words, func(w string) bool { return w == "" })...)
	if at := p.origin + p.ui.prefix; at != usualConsole {
		words = append(words, "--console", at)
	}
	return shellLine(words...)
}

// CLIList is the command that shows a list in the order and with the filter of the page.
func (p *page) CLIList(what string, q listQuery) string {
	words := []string{what, "ls"}
	if q.Filter != "" {
		words = append(words, "--filter", q.Filter)
	}
	if q.Sort != "name" {
		words = append(words, "--sort", q.Sort)
	}
	if q.Desc {
		words = append(words, "--desc")
	}
	return p.CLI(words...)
}

// CLISend is the command that sends a message, over STOMP.
func (p *page) CLISend(destination string) string {
	words := []string{"treadmq", "send", destination, "--body", "hello"}
	at, err := url.Parse(p.origin)
	if err != nil {
		return shellLine(words...)
	}
	for _, l := range p.Broker.Listeners {
		if _, port, err := net.SplitHostPort(l.Address); err == nil && !l.TLS && l.Name == "stomp" {
			if u := "tcp://" + net.JoinHostPort(at.Hostname(), port); u != usualBroker {
				words = append(words, "--url", u)
			}
			break
		}
	}
	return shellLine(words...)
}

// CLIOf is the command that does something with one destination, none for a kind that no command takes.
func (p *page) CLIOf(kind, do, name string) string {
	if group := map[string]string{"queue": "queue", "topic": "topic", "subscription": "sub"}[kind]; group != "" {
		return p.CLI(group, do, nameWord(kind, name))
	}
	return ""
}

// CLIBrowse is the command that shows the messages of a queue, or one of them.
func (p *page) CLIBrowse(kind, name, selector, text string) string {
	if kind != kindName(broker.Queue) {
		return ""
	}
	words := []string{"browse", nameWord(kind, name)}
	for _, f := range [][2]string{{"--selector", selector}, {"--text", text}} {
		if f[1] != "" {
			words = append(words, f[0], f[1])
		}
	}
	if p.MayRead() {
		words = append(words, "--body")
	}
	return p.CLI(words...)
}

// Command is the command line that does what the page of an action asks about; single messages have none.
func (d *actData) Command(p *page) string {
	if !d.All || d.Kind != kindName(broker.Queue) {
		return ""
	}
	b := &d.Bulk
	queue := nameWord(d.Kind, d.Name)
	words := []string{b.Action, queue, nameWord(d.Kind, b.To)}
	switch b.Action {
	case "delete":
		words = []string{"queue", "purge", queue}
	case "retry":
		words = []string{"dlq", "retry", queue}
	}
	for _, f := range [][2]string{{"--selector", b.Selector}, {"--text", b.Text}} {
		if f[1] != "" {
			words = append(words, f[0], f[1])
		}
	}
	if b.Rate > 0 && b.Action != "delete" {
		words = append(words, "--rate", strconv.Itoa(b.Rate))
	}
	return p.CLI(words...)
}

// nameWord is a destination's name as commands take it: names that look like something else are spelt out.
func nameWord(kind, name string) string {
	begins := func(s string) bool { return strings.HasPrefix(name, s) }
	if !begins("/") && !begins("-") && !begins("queue:") && !begins("topic:") {
		return name
	}
	return map[string]string{"queue": "/queue/", "topic": "/topic/", "subscription": "/dsub/"}[kind] + name
}

// byID is the selector that finds one message.
func byID(id string) string { return "JMSMessageID = " + selectorText(id) }

// shellLine is a command as a shell takes it.
func shellLine(words ...string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = shellWord(w)
	}
	return strings.Join(quoted, " ")
}

func shellWord(w string) string {
	plain := func(c rune) bool {
		return c == '-' || c == '_' || c == '.' || c == '/' || c == ':' || ('0' <= c && c <= '9') || ('a' <= c && c <= 'z') || ('A' <= c && c <= 'Z')
	}
	if w != "" && strings.TrimFunc(w, plain) == "" {
		return w
	}
	return "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
}
