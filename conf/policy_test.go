package conf

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestPolicyMergesKeyByKey(t *testing.T) {
	path := write(t, `
[[policy]]
queue = "orders.eu.paid"
maxMessages = 3
redelivery = { maximumRedeliveries = 9 }

[[policy]]
queue = ">"
maxMessages = 1
maxBytes = "1MiB"
onFull = "fail"
[policy.redelivery]
maximumRedeliveries = 1
redeliveryDelay = 2500
[policy.deadLetter]
strategy = "individual"

[[policy]]
queue = "orders.>"
maxMessages = 2
maxBytes = "2MiB"
inactiveTimoutBeforeGC = 5000

[[policy]]
topic = "orders.>"
evict = "disconnect"
`)
	c, err := Load(Sources{File: path, Required: true})
	if err != nil {
		t.Fatal(err)
	}
	p := c.Policies.Match(Queue, "orders.eu.paid")
	want := DefaultPolicy()
	want.MaxMessages = 3
	want.MaxBytes = 2 * MiB
	want.OnFull = "fail"
	want.InactiveTimeoutBeforeGC = 5 * time.Second
	want.Redelivery.MaximumRedeliveries = 9
	want.Redelivery.RedeliveryDelay = 2500 * time.Millisecond
	want.DeadLetter.Strategy = "individual"
	if !p.Equal(want) {
		t.Errorf("got %+v\nwant %+v", p, want)
	}
	for key, origin := range map[string]string{
		"maxMessages":             `queue = "orders.eu.paid" (` + path + `:2:3)`,
		"maxBytes":                `queue = "orders.>" (` + path + `:18:3)`,
		"inactiveTimeoutBeforeGC": `queue = "orders.>" (` + path + `:18:3)`,
		"deadLetter.strategy":     `queue = ">" (` + path + `:7:3)`,
		"queuePrefetch":           "default",
	} {
		if got := p.Origin(key); got != origin {
			t.Errorf("%s comes from %s, want %s", key, got, origin)
		}
	}
	if got := c.Policies.Match(Queue, "other").MaxMessages; got != 1 {
		t.Errorf("other has maxMessages %d, want 1", got)
	}
	topic := c.Policies.Match(Topic, "orders.eu")
	if topic.Evict != "disconnect" || topic.MaxMessages != 0 {
		t.Errorf("rules for queues and topics got mixed: %+v", topic)
	}
	var shown []string
	for _, e := range c.Keys() {
		if strings.HasPrefix(e.Key, "policy[0].") {
			shown = append(shown, e.Key+" = "+e.Literal)
		}
	}
	if diff := cmp.Diff([]string{`policy[0].queue = "orders.eu.paid"`, `policy[0].maxMessages = 3`, `policy[0].redelivery.maximumRedeliveries = 9`}, shown); diff != "" {
		t.Error(diff)
	}
}

func TestPolicySettingsShowOrigins(t *testing.T) {
	c, err := Load(Sources{File: write(t, "policy = [{queue = \"a\", maxBytes = 5}]")})
	if err != nil {
		t.Fatal(err)
	}
	all := c.Policies.Match(Queue, "a").Settings(Queue)
	i := slices.IndexFunc(all, func(s Setting) bool { return s.Key == "maxBytes" })
	if all[i].Value != "5" || !strings.HasSuffix(all[i].Origin, ":1:11)") {
		t.Errorf("got %+v", all[i])
	}
	if slices.ContainsFunc(all, func(s Setting) bool { return s.Key == "topicPrefetch" }) {
		t.Error("a queue's settings list a key for topics")
	}
}

func TestPolicyComplaints(t *testing.T) {
	got := complaints(t, Sources{File: write(t, `
[[policy]]
maxMessages = 1
[[policy]]
queue = "a.>.b"
[[policy]]
queue = "a"
maxMesages = 1
topicPrefetch = 1
dispatchAsync = true
maxPageSize = 200
redelivry = { maximumRedeliveries = 1 }
onFull = "explode"
[policy.redelivery]
backOffMultiplier = 0.5
[policy.redelivery.deep]
[[policy]]
topic = "t"
subscriptionRecoveryPolicy = "lastImage"
dedup = 5
[[policy]]
queue = "a"
inactiveTimoutBeforeGC = 5000
inactiveTimeoutBeforeGC = 5000
[[policy]]
queue = "b"
topic = "b"
`)})
	want := []string{
		`treadmq.toml:2:3: a policy needs either queue = "pattern" or topic = "pattern" or durable = "pattern"`,
		`treadmq.toml:5:1: queue: "a.>.b" has > before its end: > stands for the whole rest`,
		`treadmq.toml:8:1: unknown policy key maxMesages; did you mean maxMessages?`,
		`treadmq.toml:9:1: topicPrefetch is for topics, but the rule is for queues`,
		`treadmq.toml:10:1: unknown policy key dispatchAsync: the broker decides that itself: delete the line`,
		`treadmq.toml:12:1: unknown policy key redelivry; did you mean redelivery?`,
		`treadmq.toml:13:1: onFull: "explode" is not one of block, fail, drop-oldest, dlq, discard`,
		`treadmq.toml:15:1: redelivery.backOffMultiplier: 0.5 is out of range: the least is 1, the most is 1000`,
		`treadmq.toml:16:20: unknown policy key redelivery.deep`,
		`treadmq.toml:20:1: dedup is a group of keys and has no value of its own: write them below [policy.dedup]`,
		`treadmq.toml:21:3: queue = "a" has a policy already, at treadmq.toml:6:3: put the keys together`,
		`treadmq.toml:23:1: inactiveTimeoutBeforeGC is set twice, in two spellings`,
		`treadmq.toml:25:3: a policy needs either queue = "pattern" or topic = "pattern" or durable = "pattern"`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for file, want := range map[string]string{
		"[policy]\nqueue = \"a\"":    "treadmq.toml:1:2: policies are a list: write [[policy]] with two brackets",
		"policy = [1]":               "treadmq.toml:1:1: entry 1 of policy is a whole number: write [[policy]]",
		"[[policy]]\nqueue = \"\"":   `treadmq.toml:2:1: queue: the pattern is empty: write ">" for all`,
		"[[policy]]\nqueue = \"a*\"": `treadmq.toml:2:1: queue: "a*" has a wildcard inside a segment: * and > stand for whole segments between dots`,
	} {
		if diff := cmp.Diff([]string{want}, complaints(t, Sources{File: write(t, file)})); diff != "" {
			t.Errorf("%s: %s", file, diff)
		}
	}
}

func TestWildcards(t *testing.T) {
	for _, test := range []struct {
		pattern string
		yes, no []string
	}{
		{">", []string{"A", "A.B"}, nil},
		{"A", []string{"A"}, []string{"A.B", "AB", "a"}},
		{"A.>", []string{"A", "A.B", "A.B.C"}, []string{"AB", "B.A"}},
		{"*", []string{"A"}, []string{"A.B"}},
		{"A.*", []string{"A.B"}, []string{"A", "A.B.C"}},
		{"*.B", []string{"A.B"}, []string{"B", "A.B.C", "A.C"}},
		{"A.*.>", []string{"A.B", "A.B.C", "A.B.C.D"}, []string{"A", "B.A"}},
	} {
		for _, name := range test.yes {
			if !matches(test.pattern, name) {
				t.Errorf("%s does not match %s", test.pattern, name)
			}
		}
		for _, name := range test.no {
			if matches(test.pattern, name) {
				t.Errorf("%s matches %s", test.pattern, name)
			}
		}
	}
}

// The matcher agrees with a plain recursive one, whatever pattern and name.
func TestWildcardsModel(t *testing.T) {
	var model func(pattern, name []string) bool
	model = func(pattern, name []string) bool {
		switch {
		case len(pattern) == 0:
			return len(name) == 0
		case pattern[0] == ">":
			return true
		case len(name) == 0 || pattern[0] != "*" && pattern[0] != name[0]:
			return false
		}
		return model(pattern[1:], name[1:])
	}
	rapid.Check(t, func(t *rapid.T) {
		pattern := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "*"}), 1, 4).Draw(t, "pattern")
		if rapid.Bool().Draw(t, "open") {
			pattern = append(pattern, ">")
		}
		name := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b"}), 1, 5).Draw(t, "name")
		if got, want := matches(strings.Join(pattern, "."), strings.Join(name, ".")), model(pattern, name); got != want {
			t.Errorf("%v covers %v: %t, want %t", pattern, name, got, want)
		}
	})
}

func TestSpecificityOrder(t *testing.T) {
	rising := []string{">", "*.>", "*.*", "*.b", "a.>", "a.*", "a.b.>", "a.b"}
	for i, low := range rising {
		for j, high := range rising {
			if got := compareSpecificity(low, high); (got < 0) != (i < j) || (got == 0) != (i == j) {
				t.Errorf("%s against %s: %d", low, high, got)
			}
		}
	}
}
