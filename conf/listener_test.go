package conf

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestListeners(t *testing.T) {
	c := Default()
	c.Stomp.Dialect, c.Stomp.WebSocket.Enabled = "artemis", false
	c.Stomp.Listen = []string{"127.0.0.1:0", "[::1]:61613?dialect=rabbitmq&webSocket=true", ":1?pathSeparatorAlias=%2F", ":2?pathSeparatorAlias=/&dialect=apollo&maxConnections=7"}
	want := []Listener{
		{Address: "127.0.0.1:0", Dialect: "artemis"},
		{Address: "[::1]:61613", Dialect: "rabbitmq", WebSocket: true},
		{Address: ":1", Dialect: "artemis", PathSeparator: "/"},
		{Address: ":2", Dialect: "apollo", PathSeparator: "/", MaxConnections: 7},
	}
	if diff := cmp.Diff(want, c.Listeners()); diff != "" {
		t.Error(diff)
	}
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	c.Stomp.Listen = []string{"127.0.0.1:1?dialect=rabbitmq", "127.0.0.1:1"}
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("one address twice: %v", err)
	}
}

func TestBadListeners(t *testing.T) {
	for text, words := range map[string]string{
		"127.0.0.1":                        "host:port",
		"127.0.0.1:1?dialect=kafka":        "activemq, rabbitmq, artemis, apollo",
		"127.0.0.1:1?dialekt=rabbitmq":     "no option",
		"127.0.0.1:1?webSocket=maybe":      "true",
		"127.0.0.1:1?pathSeparatorAlias=.": "ASCII",
		"127.0.0.1:1?pathSeparatorAlias=":  "ASCII",
		"127.0.0.1:1?maxConnections=few":   "a number",
		"127.0.0.1:1?a=%zz":                "cannot be read",
	} {
		if err := checkListener(text); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestOriginPatterns(t *testing.T) {
	for text, ok := range map[string]bool{
		"*": true, "null": true, "https://shop.example.com": true, "https://*.example.com": true, "http://localhost:*": false,
		"http://localhost:3000": true, "shop.example.com": false, "https://a/b": false, "https://[a]": false, "": false, "ws://a": false,
	} {
		if err := checkOriginPattern(text); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
}
