package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"treadmq/broker"
)

// bury makes dead letters of a queue's messages.
func (r *rig) bury(name string, bodies ...string) {
	r.t.Helper()
	r.buryFor(name, "timeout of the price service", bodies...)
}

// buryFor makes dead letters of a queue's first messages.
func (r *rig) buryFor(name, reason string, bodies ...string) {
	r.t.Helper()
	r.fill(queue(name), bodies...)
	c, _ := r.client("breaker")
	defer c.Close()
	s, err := c.Subscribe(broker.SubscribeOptions{ID: "b", Dests: []broker.Destination{queue(name)}, Prefetch: len(bodies), Most: uint64(len(bodies))})
	if err != nil {
		r.t.Fatal(err)
	}
	s.Start()
	got := 0
	for end := time.Now().Add(patience); got < len(bodies) && time.Now().Before(end); {
		w := c.NewWork()
		for _, d := range c.Output(nil) {
			got += w.Ack(s, d.Tag, d.Tag, broker.Ack{Kind: broker.AckDeadLetter, Reason: reason})
		}
		done := make(chan error, 1)
		w.Flush(func(err error) { done <- err })
		if err := <-done; err != nil {
			r.t.Fatal(err)
		}
	}
	if got != len(bodies) {
		r.t.Fatalf("%d of %d became dead letters", got, len(bodies))
	}
}

func TestMoveTickedMessages(t *testing.T) {
	r := newRig(t)
	r.fill(queue("from"), "one", "two", "three", "four")
	b := r.logged("alice")
	b.goTo("/admin/queue?name=from")
	b.click("#messages tbody tr:nth-child(2) input")
	b.click("#messages tbody tr:nth-child(3) input")
	if got := b.text("[data-ticked]"); got != "2" {
		t.Errorf("%q are ticked", got)
	}
	b.set("input[name=to]", "to")
	b.picture("queue-ticked")
	b.press("button[value=move]")
	if got := b.text(".big"); got != "Messages: 2 → to" || r.depth("from") != 4 {
		t.Fatalf("the preview says %q", got)
	}
	b.picture("act-move")
	b.press(".card .primary")
	if got := b.text(".note.good"); got != "Messages dealt with: 2. Left alone: 0." || r.depth("from") != 2 || r.depth("to") != 2 {
		t.Errorf("%q; %d and %d messages", got, r.depth("from"), r.depth("to"))
	}
}

func TestDeleteWhatASearchFinds(t *testing.T) {
	r := newRig(t)
	name := "a/b?c#d<e>"
	r.fill(queue(name), "keep 1", "drop 1", "keep 2", "drop 2", "drop 3")
	b := r.logged("alice", "422")
	b.goTo("/admin/queues")
	b.press("td.name a")
	b.set("input[name=text]", "drop")
	b.press(".search button")
	if n := eval[int](b, `document.querySelectorAll("#messages tbody tr").length`); n != 3 {
		t.Fatalf("%d messages are found", n)
	}
	b.click("input[value=all]")
	b.press(".bulk button[value=delete]")
	b.picture("act-delete")
	b.set("input[name=confirm]", "something")
	b.press("button.danger")
	if got := b.text(".note.bad"); !strings.Contains(got, "not the name") || r.depth(name) != 5 {
		t.Fatalf("after a wrong name: %q", got)
	}
	b.set("input[name=confirm]", name)
	b.press("button.danger")
	if r.depth(name) != 2 {
		t.Errorf("%d messages are left", r.depth(name))
	}
	b.goTo("/admin/audit")
	if got := b.text("main"); !strings.Contains(got, name) || !strings.Contains(got, "delete") {
		t.Errorf("the audit log shows %s", got)
	}
	b.goTo("/admin/jobs")
	b.picture("jobs-done")
	if got := b.text("tbody"); !strings.Contains(got, "done") {
		t.Errorf("actions: %s", got)
	}
}

func TestRetryDeadLetters(t *testing.T) {
	r := newRig(t)
	r.bury("orders", "a", "b", "c")
	r.bury("mails", "d")
	b := r.logged("alice")
	b.goTo("/admin/deadletters")
	b.picture("deadletters-full")
	if got := b.text("tbody tr:first-child"); !strings.Contains(got, "orders") || !strings.Contains(got, "rejected") || !strings.Contains(got, "timeout of the price service") {
		t.Fatalf("first come %q", got)
	}
	b.press("tbody tr:first-child button")
	if got := b.text(".big"); got != "Messages: 3" {
		t.Fatalf("the preview says %q", got)
	}
	b.press(".card .primary")
	if r.depth("orders") != 3 || r.depth("ActiveMQ.DLQ") != 1 {
		t.Errorf("orders has %d, the dead letter queue %d", r.depth("orders"), r.depth("ActiveMQ.DLQ"))
	}
}

func TestWhyItDoesNotMove(t *testing.T) {
	r := newRig(t)
	r.fill(queue("q"), "1", "2", "3", "4")
	b := r.logged("alice")
	says := func(want string) {
		t.Helper()
		b.goTo("/admin/queue?name=q")
		if got := b.text(".why"); !strings.Contains(got, want) {
			t.Errorf("%q does not say %q", got, want)
		}
	}
	says("Nobody is subscribed")
	b.press(".actions form button")
	says("paused")
	b.press(".actions form button")
	c, _ := r.client("worker")
	s, err := c.Subscribe(broker.SubscribeOptions{ID: "s", Dests: []broker.Destination{queue("q")}, Selector: "colour = 'red'"})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	says("None of the selectors")
	b.goTo(fmt.Sprintf("/admin/connection?serial=%d", c.Serial()))
	if got := b.text("main"); !strings.Contains(got, "colour = 'red'") {
		t.Errorf("the connection shows %s", got)
	}
	b.picture("connection")
	b.press("td button.danger")
	if got := b.text("main"); !strings.Contains(got, "no subscriptions") {
		t.Errorf("after ending it: %s", got)
	}
	r.subscribe(c, queue("q"))
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if info, err := r.b.Queue(queue("q")); err == nil && info.InFlight == 3 {
			break
		}
	}
	says("holds as many messages as it asked for")
}

func TestLanguages(t *testing.T) {
	r := newRig(t)
	r.scene()
	b := r.logged("alice")
	b.press(".languages button[value=zh]")
	for _, path := range []string{"/admin/", "/admin/queues", "/admin/queue?name=orders.incoming", "/admin/deadletters", "/admin/users"} {
		b.goTo(path)
		if got := b.attribute("html", "lang"); got != "zh" {
			t.Errorf("%s is in %s", path, got)
		}
		b.picture("zh-" + strings.Trim(strings.NewReplacer("/admin/", "", "?", "-").Replace(path), "/"))
	}
	b.press(".languages button[value=en]")
	if got := b.attribute("html", "lang"); got != "en" {
		t.Errorf("back in %s", got)
	}
}

func TestDurableSubscribers(t *testing.T) {
	r := newRig(t)
	if err := r.b.OpenDurable(broker.DurableOptions{Name: "app.prices", Topics: []string{"prices.>"}, Selector: "tenant = 'north'"}); err != nil {
		t.Fatal(err)
	}
	r.fill(topic("prices.gold"), "1", "2")
	b := r.logged("alice", "400")
	b.goTo("/admin/topics")
	b.press(".tabs a:nth-child(2)")
	b.picture("subscriptions")
	if got := b.text("tbody"); !strings.Contains(got, "prices.>") || !strings.Contains(got, "tenant = 'north'") {
		t.Errorf("listed is %s", got)
	}
	b.press("td.name a")
	if n := eval[int](b, `document.querySelectorAll("#messages tbody tr").length`); n != 2 {
		t.Errorf("%d messages are shown", n)
	}
	r.fill(topic("prices.gold"), "3")
	b.until(`document.querySelector("[data-f=messages]").textContent === "3"`)
	b.click("details.menu summary")
	b.set(".menu input[name=confirm]", "app.prices")
	b.press(".menu button")
	if got := b.text("main"); !strings.Contains(got, "There are no durable subscriptions") {
		t.Errorf("after deleting it: %s", got)
	}
}

func TestScheduleAndRepeat(t *testing.T) {
	r := newRig(t)
	b := r.logged("alice")
	b.goTo("/admin/queue/send?name=later")
	b.set("textarea[name=body]", "x")
	b.set("input[name=delay]", "3600")
	b.press(".form button[type=submit]")
	b.picture("schedules")
	if got := b.text("tbody"); !strings.Contains(got, "/queue/later") {
		t.Fatalf("scheduled is %s", got)
	}
	b.press("button[value=run]")
	b.goTo("/admin/schedules")
	b.goTo("/admin/queue/send?name=often")
	b.set("textarea[name=body]", "x")
	b.set("input[name=repeat]", "5")
	b.press(".form button[type=submit]")
	if got := r.depth("often"); got != 5 {
		t.Errorf("%d messages were sent", got)
	}
}
