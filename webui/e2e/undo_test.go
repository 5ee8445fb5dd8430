package e2e

import (
	"strings"
	"testing"
	"time"

	"treadmq/admin"
)

// What was purged is back after one click beside the result, or on the page of the trash.
func TestUndo(t *testing.T) {
	r := newRig(t)
	r.fill(queue("orders"), "one", "two", "three")
	b := r.logged("alice")
	b.goTo("/admin/queue/purge?name=orders")
	if got := b.text("main"); !strings.Contains(got, "You can undo this for 10 min") {
		t.Errorf("the question says %q", got)
	}
	b.set("input[name=confirm]", "orders")
	b.press("button.danger")
	if r.depth("orders") != 0 {
		t.Fatalf("%d messages are left", r.depth("orders"))
	}
	b.picture("undo-offered")
	b.press(".note button")
	if got := b.text(".note.good"); !strings.Contains(got, "3 messages are back in orders") || r.depth("orders") != 3 {
		t.Fatalf("after undoing: %q, %d messages", got, r.depth("orders"))
	}
	b.goTo("/admin/queue/delete?name=orders")
	b.set("input[name=confirm]", "orders")
	b.press("button.danger")
	b.goTo("/admin/queues")
	b.press(".tabs a[href$=trash]")
	b.picture("trash-full")
	if got := b.text("tbody"); !strings.Contains(got, "orders") || !strings.Contains(got, "alice") {
		t.Errorf("the trash shows %q", got)
	}
	b.press("button[value=restore]")
	if r.depth("orders") != 3 {
		t.Errorf("%d messages after the second undo", r.depth("orders"))
	}
	if b = r.logged("uli"); true {
		b.goTo("/admin/trash")
		if b.has("button[value=restore]") {
			t.Error("a user without the right is offered to undo")
		}
	}
}

// Templates stay in the browser: they fill the form again, for any queue, and are sent nowhere.
func TestTemplates(t *testing.T) {
	r := newRig(t)
	r.fill(queue("a"), "x")
	b := r.logged("uli")
	b.goTo("/admin/queue/send?name=a")
	b.set("textarea[name=body]", "{\"order\": 1}")
	b.set("input[name=type]", "order")
	b.set("textarea[name=headers]", "tenant: north")
	b.click("input[name=persistent]")
	b.set("[data-name]", "an <order>")
	b.click("[data-save]")
	b.goTo("/admin/queue/send?name=other")
	b.until(`document.querySelector("[data-pick]").options.length === 2`)
	eval[any](b, `{const p = document.querySelector("[data-pick]"); p.value = "an <order>"; p.dispatchEvent(new Event("change"))}`)
	got := eval[string](b, `["body", "type", "headers"].map(n => document.querySelector("form.form [name=" + n + "]").value).join("|") + document.querySelector("[name=persistent]").checked`)
	if got != `{"order": 1}|order|tenant: northfalse` {
		t.Errorf("the form holds %s", got)
	}
	b.picture("send-template")
	b.press(".form button[type=submit]")
	if r.depth("other") != 1 {
		t.Errorf("%d messages were sent", r.depth("other"))
	}
	b.goTo("/admin/queue/send?name=a")
	eval[any](b, `{const p = document.querySelector("[data-pick]"); p.value = "an <order>"; p.dispatchEvent(new Event("change"))}`)
	b.click("[data-forget]")
	b.goTo("/admin/queue/send?name=a")
	b.until(`document.querySelector("[data-pick]").options.length === 1`)
}

// Two people at once: each sees what the other does, each has a session of their own.
func TestTwoBrowsers(t *testing.T) {
	r := newRig(t)
	r.fill(queue("shared"), "1", "2")
	alice, uli := r.logged("alice"), r.logged("uli")
	uli.goTo("/admin/queue?name=shared")
	alice.goTo("/admin/queue/purge?name=shared")
	alice.set("input[name=confirm]", "shared")
	alice.press("button.danger")
	uli.until(`document.querySelector("[data-f=messages]").textContent === "0"`)
	if uli.has(".note.good") {
		t.Error("what alice was told, uli was told too")
	}
	alice.press(".note button")
	uli.until(`document.querySelector("[data-f=messages]").textContent === "2"`)
	alice.press(".who form[action$=logout] button")
	uli.goTo("/admin/queues")
	if got := uli.text("h1"); got != "Queues" {
		t.Errorf("after alice's logout uli sees %q", got)
	}
}

// A session that nobody uses ends by itself, and the page says so although it asks for figures in the background.
func TestSessionExpires(t *testing.T) {
	r := newRig(t, func(o *admin.Options) { o.SessionIdle = 3 * time.Second })
	r.fill(queue("q"), "1")
	b := r.logged("uli", "401")
	b.goTo("/admin/queue?name=q")
	b.until(`document.getElementById("live-note").textContent.includes("login has ended")`)
	b.goTo("/admin/queues")
	if got := eval[string](b, "location.pathname"); got != "/admin/login" {
		t.Errorf("after that, queues lead to %s", got)
	}
	b.logIn("uli", "uli-pw")
	if got := b.text("h1"); got != "Queues" {
		t.Errorf("after the login: %q", got)
	}
}

// The page of a message tells its life; what was traced is found by the id when the message is gone.
func TestLifeOfAMessage(t *testing.T) {
	r := newRig(t)
	r.bury("orders", "poison")
	b := r.logged("alice")
	b.goTo("/admin/")
	if got := b.text(".still"); !strings.Contains(got, "ActiveMQ.DLQ") || !strings.Contains(got, "Dead letters: 1.") {
		t.Errorf("what needs a look: %s", got)
	}
	b.goTo("/admin/queue?name=ActiveMQ.DLQ")
	b.press("#messages tbody a")
	if got := b.text(".life"); !strings.Contains(got, "rejected") || !strings.Contains(got, "timeout of the price service") || !strings.Contains(got, "/queue/orders → /queue/ActiveMQ.DLQ") || !strings.Contains(got, "now: ready") {
		t.Errorf("its life: %s", got)
	}
	b.picture("message-life")
	id := b.text("h1")
	b.goTo("/admin/queue?name=ActiveMQ.DLQ")
	b.press("form[action*=trace] button")
	if got := b.text(".heading"); !strings.Contains(got, "traced until") {
		t.Errorf("traced: %s", got)
	}
	b.goTo("/admin/queue/purge?name=ActiveMQ.DLQ")
	b.set("input[name=confirm]", "ActiveMQ.DLQ")
	b.press("button.danger")
	b.goTo("/admin/life")
	b.set("input[name=id]", id)
	b.press(".filter button")
	if got := b.text(".life"); !strings.Contains(got, "dead letter") {
		t.Errorf("by its id: %s", got)
	}
}
