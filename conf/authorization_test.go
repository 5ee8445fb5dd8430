package conf

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAuthorization(t *testing.T) {
	c, err := Load(Sources{File: write(t, `
[[authorization]]
queue = "orders.>"
read = ["stock"]
write = ["shop", "${env:EXTRA}"]

[[authorization]]
queue = ">"
read = ["root"]
write = ["root"]
admin = ["root"]

[[authorization]]
queue = "${user}.*.box-$${user}"
read = ["*"]

[[authorization]]
topic = "news"
read = "anonymous, stock"
`), Env: []string{"EXTRA=web"}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range c.Authorization {
		c.Authorization[i].Where = ""
	}
	root := []string{"root"}
	want := Authorization{
		{Kind: Queue, Pattern: "orders.>", Read: []string{"stock"}, Write: []string{"shop", "web"}},
		{Kind: Queue, Pattern: ">", Read: root, Write: root, Admin: root},
		{Kind: Queue, Pattern: "${user}.*.box-${user}", Read: []string{"*"}},
		{Kind: Topic, Pattern: "news", Read: []string{"anonymous", "stock"}},
	}
	if diff := cmp.Diff(want, c.Authorization); diff != "" {
		t.Fatal(diff)
	}
	r, w, all, none := Rights{Read: true}, Rights{Write: true}, Rights{true, true, true}, Rights{}
	for _, x := range []struct {
		user, roles string
		kind        Kind
		name        string
		want        Rights
	}{
		{"a", "stock", Queue, "orders.new", r},
		{"a", "stock", Queue, "orders", r},
		{"a", "stock", Queue, "orders.a.b", r},
		{"a", "stock", Queue, "ordersx", none},
		{"a", "stock", Topic, "orders.new", none},
		{"a", "shop", Queue, "orders.new", w},
		{"a", "shop stock", Queue, "orders.new", Rights{Read: true, Write: true}},
		{"a", "root stock", Queue, "orders.new", all},
		{"a", "root", Queue, "x", all},
		{"a", "root", Topic, "x", none},
		{"a", "", Queue, "orders.new", none},
		{"stock", "", Queue, "orders.new", none}, // a user's name is no role
		{"a", "", Queue, "a.x.box-a", r},
		{"a", "", Queue, "b.x.box-a", none},
		{"a", "", Queue, "a.x.box-b", none},
		{"a.b", "", Queue, "a.b.box-a.b", none}, // would be in the area of a
		{"*", "", Queue, "*.x.box-*", none},
		{">", "", Queue, ">", none},
		{"", "", Queue, ".x.box-", none},
		{"", "", Topic, "news", r},
		{"", "stock", Topic, "news", r},
		{"a", "anonymous", Topic, "news", r},
		{"a", "", Topic, "news", none},
		{"a", "", Temporary, "x.1-1", all},
		// Names with wildcards, as subscriptions have them.
		{"a", "stock", Queue, "orders.>", r},
		{"a", "stock", Queue, "orders.*", r},
		{"a", "stock", Queue, "orders.*.b", r},
		{"a", "stock", Queue, "orders.#", r},
		{"a", "stock", Queue, "orders.>x", r},
		{"a", "stock", Queue, "*.new", none},
		{"a", "stock", Queue, "#", none},
		{"a", "stock", Queue, "#.orders.new", none},
		{"a", "stock", Queue, ">", none},
		{"a", "stock", Queue, ">.orders", none},
		{"a", "root", Queue, ">", all},
		{"a", "root", Queue, "#.x", all},
		{"a", "", Queue, "a.*.box-a", r},
		{"a", "", Queue, "a.>", none},
		{"a", "", Queue, "a.#.box-a", none},
		{"a", "", Queue, "*.*.box-a", none},
	} {
		if got := c.Authorization.Rights(x.user, strings.Fields(x.roles), x.kind, x.name); got != x.want {
			t.Errorf("%q (%s) on %s %q: %+v, want %+v", x.user, x.roles, x.kind, x.name, got, x.want)
		}
	}
	if got := Authorization(nil).Rights("", nil, Queue, "x"); got != all {
		t.Errorf("without entries: %+v", got)
	}
}

func TestAuthorizationOfTemporaryDestinations(t *testing.T) {
	c, err := Load(Sources{File: write(t, "[[authorization]]\ntemporary = true\nread = [\"a\"]\nwrite = [\"*\"]\nadmin = [\"a\"]\n")})
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Authorization.Rights("x", []string{"a"}, Temporary, ""); got != (Rights{true, true, true}) {
		t.Errorf("%+v", got)
	}
	if got := c.Authorization.Rights("x", []string{"b"}, Temporary, ""); got != (Rights{Write: true}) {
		t.Errorf("%+v", got)
	}
	shown := map[string]string{}
	for _, e := range c.Keys() {
		shown[e.Key] = e.Value
	}
	if shown["authorization[0].temporary"] != "true" || shown["authorization[0].read"] != "a" {
		t.Error(shown)
	}
}

func TestBadAuthorization(t *testing.T) {
	for text, words := range map[string]string{
		"[authorization]\nqueue = \"a\"\n":                                 "two brackets",
		"authorization = [1]\n":                                            "entry 1 of authorization is",
		"[[authorization]]\nread = [\"a\"]\n":                              `needs either queue = "pattern" or topic = "pattern"`,
		"[[authorization]]\nqueue = \"a\"\n":                               "needs read, write or admin",
		"[[authorization]]\nqueue = \"a\"\nraed = [\"a\"]\nread = [\"a\"]": "unknown authorization key raed; did you mean read?",
		"[[authorization]]\nqueue = \"a.>.b\"\nread = [\"a\"]":             "before its end",
		"[[authorization]]\nqueue = \"a.#\"\nread = [\"a\"]":               "wildcard of subscriptions only",
		"[[authorization]]\nqueue = \"${usr}\"\nread = [\"a\"]":            "${usr} is not known",
		"[[authorization]]\nqueue = \"a\"\nread = [\"a,b\"]":               "is no role",
		"[[authorization]]\nqueue = \"a\"\nread = [\"\"]":                  "is no role",
		"[[authorization]]\ntemporary = false\nread = [\"a\"]":             "temporary = true",
		"[[authorization]]\ntemporary = true\nqueue = \"a\"\nread = []":    "write it alone",
	} {
		_, err := Load(Sources{File: write(t, text)})
		if err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := Load(Sources{Set: []string{"authorization.queue=a"}}); err == nil || !strings.Contains(err.Error(), "[[authorization]]") {
		t.Error(err)
	}
}
