package conf

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestForwards(t *testing.T) {
	c, err := Load(Sources{File: write(t, `
[virtualTopics]
topics = ["events.>", "VirtualTopic.>"]
prefix = "sub.*.*."
selectorAware = true

[[forward]]
queue = "orders.>"
to = ["queue://audit", "/topic/orders.events"]
selector = "size > 10"
forwardOnly = false

[[forward]]
topic = "in"
to = ["${env:TARGET}"]

[[policy]]
durable = "client.>"
maxMessages = 10
onFull = "discard"

[[policy]]
queue = "orders.>"
mirrorTo = "VirtualTopic.Mirror."
`), Env: []string{"TARGET=queue://out"}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(VirtualTopics{[]string{"events.>", "VirtualTopic.>"}, "sub.*.*.", true}, c.Virtual); diff != "" {
		t.Error(diff)
	}
	for i := range c.Forwards {
		c.Forwards[i].Where = ""
	}
	want := []Forward{
		{Kind: Queue, Pattern: "orders.>", To: []string{"queue://audit", "/topic/orders.events"}, Selector: "size > 10"},
		{Kind: Topic, Pattern: "in", To: []string{"queue://out"}, ForwardOnly: true},
	}
	if diff := cmp.Diff(want, c.Forwards); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]Target{{Queue, "audit"}, {Topic, "orders.events"}}, c.Forwards[0].Targets()); diff != "" {
		t.Error(diff)
	}
	if p := c.Policies.Match(Durable, "client.a"); p.MaxMessages != 10 || p.OnFull != "discard" {
		t.Errorf("%+v", p)
	}
	if p := c.Policies.Match(Queue, "client.a"); p.MaxMessages != 0 {
		t.Error("a rule for durable subscriptions covers a queue")
	}
	if p := c.Policies.Match(Queue, "orders.x"); p.MirrorTo != "VirtualTopic.Mirror." {
		t.Errorf("%+v", p)
	}
	shown := map[string]string{}
	for _, e := range c.Keys() {
		shown[e.Key] = e.Value
	}
	if shown["forward[0].to"] != "queue://audit,/topic/orders.events" || shown["forward[1].topic"] != "in" || shown["policy[0].durable"] != "client.>" {
		t.Error(shown)
	}
}

func TestForwardComplaints(t *testing.T) {
	got := complaints(t, Sources{File: write(t, `virtualTopics.prefix = "Consumer.>."
[[forward]]
queue = "a"
topic = "b"
to = []
[[forward]]
queue = "a"
to = ["c", "queue://d.*"]
[[forward]]
queue = "a"
forwardonly = true
[[policy]]
durable = "a"
mirrorTo = "x"
`), Set: []string{"forward.queue=a"}})
	want := []string{
		`treadmq.toml:1:15: virtualTopics.prefix: "Consumer.>." is no prefix: write segments with a dot behind each (Consumer.*. is one)`,
		`treadmq.toml:2:3: a forward needs either queue = "pattern" or topic = "pattern"`,
		`treadmq.toml:8:1: to: "c" is no destination: write queue://NAME or topic://NAME`,
		`treadmq.toml:9:3: a forward needs to = ["queue://NAME"], a list of where messages go`,
		`treadmq.toml:11:1: unknown forward key forwardonly; did you mean forwardOnly?`,
		`treadmq.toml:14:1: mirrorTo is for queues, but the rule is for durable subscriptions`,
		`--set: unknown key forward.queue: forwards are written in the file, as [[forward]]`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestForwardsInACircle(t *testing.T) {
	for text, want := range map[string]string{
		"[[forward]]\nqueue = 'a.>'\nto = ['queue://a.audit']\n": `treadmq.toml:1:3: forward: messages would go in a circle: queue://a.> -> queue://a.>`,
		"[[forward]]\nqueue = 'x'\nto = ['topic://b']\n[[forward]]\ntopic = 'b'\nto = ['queue://c', 'queue://d']\n[[forward]]\nqueue = 'd'\nto = ['topic://b']\n": `treadmq.toml:4:3: forward: messages would go in a circle: topic://b -> queue://d -> topic://b`,
		"[[forward]]\nqueue = 'x'\nto = ['topic://x']\n[[forward]]\ntopic = 'x'\nto = ['queue://y']\n":                                                            "",
	} {
		_, err := Load(Sources{File: write(t, text)})
		if (err == nil) != (want == "") || (err != nil && !matchesComplaint(t, text, want)) {
			t.Errorf("%s\ngot %v\nwant %s", text, err, want)
		}
	}
}

func matchesComplaint(t *testing.T, text, want string) bool {
	got := complaints(t, Sources{File: write(t, text)})
	return cmp.Equal(got, []string{want})
}
