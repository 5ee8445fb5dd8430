package e2e

import (
	"strings"
	"testing"

	"treadmq/broker"
)

// Everybody chooses the columns of a list, also without a script; the choice stays.
func TestColumns(t *testing.T) {
	r := newRig(t)
	r.scene()
	b := r.open()
	b.noScript(true)
	b.goTo("/admin/queues")
	b.logIn("alice", "alice-pw")
	heads := func() string { t.Helper(); return b.text("thead") }
	if got := heads(); !strings.Contains(got, "Depth") || !strings.Contains(got, "Consumers") || strings.Contains(got, "Dead letters") {
		t.Fatalf("the usual columns are %q", got)
	}
	b.click(".pick summary")
	b.click(".pick input[value=deadLettered]")
	b.click(".pick input[value=consumers]")
	b.press(".pick .primary")
	for range 2 {
		if got := heads(); !strings.Contains(got, "Dead letters") || strings.Contains(got, "Consumers") {
			t.Errorf("after choosing: %q", got)
		}
		b.goTo("/admin/queues?sort=deadLettered&order=desc")
	}
	b.goTo("/admin/topics")
	if got := heads(); !strings.Contains(got, "Subscribers") {
		t.Errorf("topics have %q", got)
	}
	b.goTo("/admin/queues")
	b.click(".pick summary")
	b.press("[data-usual]")
	if got := heads(); !strings.Contains(got, "Consumers") || strings.Contains(got, "Dead letters") {
		t.Errorf("the usual columns again: %q", got)
	}
}

// Rows show what a queue did lately, and whether it stands still, while a form stays as it is.
func TestRowsLive(t *testing.T) {
	r := newRig(t)
	r.fill(queue("live"), "1")
	b := r.logged("alice")
	b.goTo("/admin/queues")
	row := `document.querySelector("[data-row='queue:live']")`
	if !eval[bool](b, row+`.querySelector("[data-if=standsStill]").checkVisibility()`) {
		t.Error("a queue without consumers does not say that it stands still")
	}
	b.click(".menu summary")
	b.set(".menu input[name=name]", "half a na")
	r.fill(queue("live"), "2", "3", "4")
	b.until(`/,16 .*,1$/.test(` + row + `.querySelector("[data-heights]").getAttribute("points"))`) // one message, then four
	c, _ := r.client("worker")
	r.subscribe(c, queue("live"))
	for got := 0; got < 4; {
		w := c.NewWork()
		for _, d := range c.Output(nil) {
			got += w.Ack(d.Sub, d.Tag, d.Tag, broker.Ack{})
		}
		r.flush(w)
	}
	b.until(`!` + row + `.querySelector("[data-if=standsStill]").checkVisibility()`)
	if got := eval[string](b, `document.querySelector(".menu input[name=name]").value`); got != "half a na" || !eval[bool](b, `document.querySelector(".menu").open`) {
		t.Errorf("the form was touched: %q", got)
	}
	if got := b.attribute("#pulse", "title"); !strings.Contains(got, "fresh: ") || !strings.Contains(got, "UTC") {
		t.Errorf("the mark of fresh figures says %q", got)
	}
}
