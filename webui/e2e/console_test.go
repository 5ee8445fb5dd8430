package e2e

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

func TestLoginAndLogout(t *testing.T) {
	b := newRig(t).open("401")
	b.goTo("/")
	if got := eval[string](b, "location.pathname"); got != "/admin/login" {
		t.Fatalf("/ leads to %s", got)
	}
	b.picture("login")
	b.logIn("alice", "guess")
	if got := b.text(".note.bad"); !strings.Contains(got, "wrong") {
		t.Fatalf("a wrong password says %q", got)
	}
	if got := eval[string](b, "document.querySelector('input[name=user]').value"); got != "alice" {
		t.Errorf("the name is gone: %q", got)
	}
	b.logIn("alice", "alice-pw")
	if got := b.text("h1"); got != "amsterdam-1" {
		t.Fatalf("after the login: %q", got)
	}
	if got := eval[string](b, "document.cookie"); got != "" {
		t.Errorf("scripts can read cookies: %q", got)
	}
	b.press(".who form[action$=logout] button")
	b.goTo("/admin/queues")
	if got := eval[string](b, "location.pathname"); got != "/admin/login" {
		t.Fatalf("after the logout, queues lead to %s", got)
	}
}

func TestAfterLoginThePageAskedFor(t *testing.T) {
	r := newRig(t)
	r.fill(queue("orders"), "x")
	b := r.open()
	b.goTo("/admin/queue?name=orders")
	b.logIn("uli", "uli-pw")
	if got := b.text("h1"); got != "orders" {
		t.Fatalf("after the login: %q", got)
	}
}

// logged is a tab of somebody logged in.
func (r *rig) logged(user string, expected ...string) *tab {
	r.t.Helper()
	b := r.open(expected...)
	b.goTo("/admin/")
	b.logIn(user, user+"-pw")
	return b
}

func (r *rig) scene() {
	r.t.Helper()
	r.fill(queue("orders.incoming"), `{"order": 4711, "lines": [{"sku": "A-1", "qty": 2}, {"sku": "B-9", "qty": 1}], "note": "Grüße"}`,
		"plain text", "<script>alert(1)</script>", "\x00\x01\x02binary\xff")
	r.fill(queue("ActiveMQ.DLQ"), "dead")
	for _, name := range []string{"billing", "mail.outgoing", "stock.updates", "zürich/ä?#%2F"} {
		r.fill(queue(name), "a", "b", "c")
	}
	r.fill(queue("mail.bounced"), "a", "b")
	if _, _, err := r.b.PurgeToTrash(queue("mail.bounced"), "alice"); err != nil {
		r.t.Fatal(err)
	}
	c, _ := r.client("worker")
	r.subscribe(c, queue("orders.incoming"))
	r.subscribe(c, topic("prices"))
	r.fill(topic("prices"), "1", "2")
}

func TestMessageViews(t *testing.T) {
	r := newRig(t)
	r.scene()
	b := r.logged("alice")
	b.goTo("/admin/queue?name=orders.incoming")
	if n := eval[int](b, `document.querySelectorAll("#messages tbody tr").length`); n != 4 {
		t.Fatalf("%d messages are listed", n)
	}
	b.press("#messages tbody tr:nth-child(1) a")
	if got := b.text("pre.body"); !strings.Contains(got, "\n  \"order\": 4711,") {
		t.Errorf("JSON is not laid out:\n%s", got)
	}
	b.picture("message-json")
	b.press(".tabs a:nth-child(4)")
	if got := b.text("pre.body"); !strings.HasPrefix(got, "00000000  7b 22 6f 72") {
		t.Errorf("hex: %s", got)
	}
	b.goTo("/admin/queue?name=orders.incoming")
	b.press("#messages tbody tr:nth-child(3) a")
	if got := b.text("pre.body"); got != "<script>alert(1)</script>" {
		t.Errorf("markup: %s", got)
	}
	b.goTo("/admin/queue?name=orders.incoming")
	b.press("#messages tbody tr:nth-child(4) a")
	if got := b.text(".tabs a[aria-current]"); got != "Hex" {
		t.Errorf("binary is shown as %s", got)
	}
	b.picture("message-hex")
}

func TestSendPurgeDelete(t *testing.T) {
	r := newRig(t)
	b := r.logged("alice", "422")
	b.goTo("/admin/queues")
	b.click(".menu summary")
	b.set(".menu input[name=name]", "new queue")
	b.press(".menu button")
	if got := b.text("h1"); got != "new queue" {
		t.Fatalf("after creating: %q", got)
	}

	b.press(".actions .primary")
	b.write("textarea[name=body]", "line 1\nline 2")
	b.set("textarea[name=headers]", "colour: deep blue")
	b.set("input[name=correlation-id]", "c-1")
	b.press(".form button[type=submit]")
	if got := b.text(".note.good"); !strings.Contains(got, "ID-amsterdam1-") {
		t.Fatalf("after sending: %q", got)
	}
	b.press("#messages tbody a")
	if got := b.text("pre.body"); got != "line 1\nline 2" {
		t.Errorf("body %q", got)
	}
	if got := b.text(".table.plain"); !strings.Contains(got, "deep blue") || !strings.Contains(got, "c-1") {
		t.Errorf("headers: %s", got)
	}

	b.goTo("/admin/queue?name=new+queue")
	b.press(".actions a[href*=purge]")
	b.set("input[name=confirm]", "other")
	b.press("button.danger")
	if got := b.text(".note.bad"); !strings.Contains(got, "not the name") || r.depth("new queue") != 1 {
		t.Fatalf("after a wrong name: %q, %d messages", got, r.depth("new queue"))
	}
	b.set("input[name=confirm]", "new queue")
	b.press("button.danger")
	if got := b.text(".note.good"); !strings.Contains(got, "Messages removed from new queue: 1.") || r.depth("new queue") != 0 {
		t.Fatalf("after the purge: %q, %d messages", got, r.depth("new queue"))
	}

	b.press(".actions a[href*=delete]")
	b.set("input[name=confirm]", "new queue")
	b.press("button.danger")
	if got := b.text(".note.good"); !strings.Contains(got, "deleted") || r.depth("new queue") != -1 {
		t.Fatalf("after deleting: %q", got)
	}
}

// Names hold anything but control characters. None may become markup, and each
// must be reached by its link.
func TestOddNames(t *testing.T) {
	r := newRig(t)
	names := []string{"a/b", "100%", "%2F", "..", ".", "a:b", "a#b", "a?b=c&d", "<b onclick=alert(1)>", `"quoted'`, "ü 漢 🚀", "a//b", "../../etc", "+plus +", "{{.}}"}
	for _, name := range names {
		r.fill(queue(name), "in "+name)
	}
	b := r.logged("alice")
	for _, name := range names {
		b.goTo("/admin/queues")
		n := eval[int](b, fmt.Sprintf(`[...document.querySelectorAll("td.name a")].findIndex(a => a.textContent === %q) + 1`, name))
		if n == 0 {
			t.Errorf("%q is not listed", name)
			continue
		}
		b.press(fmt.Sprintf("tbody tr:nth-child(%d) td.name a", n))
		if got := b.text("h1"); got != name {
			t.Errorf("the link of %q leads to %q", name, got)
			continue
		}
		b.press(".actions .primary")
		b.set("textarea[name=body]", "two")
		b.press(".form button[type=submit]")
		if got := r.depth(name); got != 2 {
			t.Errorf("%q has %d messages after a send", name, got)
		}
		b.press("#messages tbody tr:first-child a")
		if got := b.text("pre.body"); got != "in "+name {
			t.Errorf("the message of %q is %q", name, got)
		}
		b.press(".crumbs a:nth-child(2)")
		b.press(".actions a[href*=delete]")
		b.set("input[name=confirm]", name)
		b.press("button.danger")
		if got := r.depth(name); got != -1 {
			t.Errorf("%q has %d messages after it was deleted", name, got)
		}
	}
}

func TestRoles(t *testing.T) {
	r := newRig(t)
	r.scene()
	at := "/admin/queue?name=orders.incoming"
	for _, c := range []struct {
		user               string
		send, manage, body bool
	}{{"alice", true, true, true}, {"uli", true, false, true}, {"vera", false, false, false}} {
		t.Run(c.user, func(t *testing.T) {
			own := *r
			own.t = t
			b := own.logged(c.user, "403")
			b.goTo(at)
			if b.has(".actions a[href*=send]") != c.send || b.has(".actions a[href*=purge]") != c.manage || b.has(".actions a[href*=delete]") != c.manage || b.has("td.preview") != c.body {
				t.Errorf("%s is offered: %s", c.user, b.text(".heading"))
			}
			for _, path := range []string{"purge", "delete"} {
				b.goTo("/admin/queue/" + path + "?name=orders.incoming")
				if got := b.text("h1") == "That did not work"; got == c.manage {
					t.Errorf("%s on %s: %s", c.user, path, b.text("main"))
				}
			}
			b.goTo(at)
			b.press("#messages tbody a")
			if b.has("pre.body") != c.body {
				t.Errorf("%s sees a body: %v", c.user, !c.body)
			}
			b.goTo("/admin/connections")
			if b.has("a[href*=close]") != c.manage {
				t.Errorf("%s is offered to close connections: %v", c.user, !c.manage)
			}
		})
	}
	b := r.logged("nemo", "403")
	if got := b.text("main"); !strings.Contains(got, "no role") {
		t.Errorf("without a role: %s", got)
	}
}

func TestThemes(t *testing.T) {
	b := newRig(t).logged("alice")
	ground := func() string { return eval[string](b, "getComputedStyle(document.body).backgroundColor") }
	b.dark(false)
	light := ground()
	b.dark(true)
	if ground() == light {
		t.Error("the system's dark theme is not taken")
	}
	b.click(`.theme button[value=light]`)
	if ground() != light {
		t.Error("light is not taken at once")
	}
	b.until(`document.querySelector(".theme button[value=light]").getAttribute("aria-pressed") === "true"`)
	b.goTo("/admin/queues")
	for range 50 { // the choice is stored in the background
		if ground() == light {
			break
		}
		b.goTo("/admin/queues")
	}
	if ground() != light {
		t.Error("light is not kept")
	}
	b.click(`.theme button[value=system]`)
	if ground() == light {
		t.Error("the system's theme is not taken again")
	}
}

// Figures change by themselves; what somebody types stays.
func TestLiveFigures(t *testing.T) {
	r := newRig(t)
	r.fill(queue("live"), "1")
	b := r.logged("alice")
	b.goTo("/admin/queues")
	b.click(".menu summary")
	b.set(".menu input[name=name]", "typed")
	before := eval[string](b, `[...document.querySelectorAll("[data-f]")].map(c => c.textContent).join("|")`)
	r.fill(queue("live"), "2", "3")
	b.until(`document.querySelector("[data-f=messages]").textContent === "3"`)
	if got := eval[string](b, `document.querySelector(".menu input[name=name]").value`); got != "typed" {
		t.Errorf("what was typed is gone: %q (figures were %s)", got, before)
	}
	r.fill(queue("another"), "1")
	b.until(`!document.getElementById("live-note").hidden`)
	if got := b.text("#live-note"); !strings.Contains(got, "changed") {
		t.Errorf("a new queue says %q", got)
	}
	b.goTo("/admin/queue?name=live")
	r.fill(queue("live"), "4")
	b.until(`document.querySelector("[data-f=messages]").textContent === "4"`)
	b.until(`document.querySelector("figure[data-k=num] [data-v]").textContent === "4"`)
	b.goTo("/admin/")
	r.fill(queue("live"), "5")
	b.until(`document.querySelector("[data-f=messages]").textContent === "6"`)
}

// Server and script must show a figure in the same way, else it flickers.
func TestScriptFormatsAsTheServer(t *testing.T) {
	r := newRig(t)
	r.fill(queue("probe"), "")
	probe, err := r.b.Queue(queue("probe"))
	if err != nil {
		t.Fatal(err)
	}
	b := r.logged("uli")
	for _, size := range []int{1000, 2040, 10_200, 102_000, 2_090_000} { // on both sides of where units and digits change
		name := fmt.Sprint("size-", size)
		r.fill(queue(name), strings.Repeat("x", size-int(probe.Bytes)))
		b.goTo("/admin/queue?name=" + name)
		script := `[...document.querySelectorAll("[data-f=bytes],[data-f=messages],[data-f=enqueued],[data-f=dropped]")].map(c => c.textContent).join("|")`
		served := eval[string](b, script)
		eval[any](b, `for (const c of document.querySelectorAll("[data-f]")) c.textContent = ""`)
		b.until(`document.querySelector("[data-f=dropped]").textContent !== ""`)
		if got := eval[string](b, script); got != served {
			t.Errorf("%d bytes: the script shows %s, the server %s", size, got, served)
		}
	}
}

func TestEndedSessionIsSaid(t *testing.T) {
	r := newRig(t)
	r.fill(queue("q"), "1")
	b := r.logged("uli", "401")
	b.goTo("/admin/queue?name=q")
	eval[any](b, `fetch("/admin/logout", {method: "POST", redirect: "manual"})`)
	b.until(`document.getElementById("live-note").textContent.includes("login has ended")`)
}

func TestCloseConnection(t *testing.T) {
	r := newRig(t)
	_, s := r.client("worker")
	b := r.logged("alice")
	b.goTo("/admin/connections")
	b.press("tbody a[href*=close]")
	b.set("input[name=reason]", "maintenance at noon")
	b.press("button.danger")
	if err := <-s.killed; !strings.Contains(err.Error(), "maintenance at noon") {
		t.Errorf("the client was told: %v", err)
	}
	if got := b.text(".note.good"); !strings.Contains(got, "asked to go") {
		t.Errorf("after closing: %q", got)
	}
}

// The reading pages must do without a script.
func TestWithoutScript(t *testing.T) {
	r := newRig(t)
	r.scene()
	b := r.open()
	b.noScript(true)
	b.goTo("/admin/")
	b.logIn("alice", "alice-pw")
	for _, path := range []string{"/admin/queues", "/admin/queue?name=orders.incoming", "/admin/topics", "/admin/connections"} {
		b.goTo(path)
		if got := b.text("main"); len(got) < 50 {
			t.Errorf("%s: %q", path, got)
		}
	}
	b.press(`.theme button[value=dark]`)
	if got := b.attribute("html", "data-theme"); got != "dark" {
		t.Errorf("theme %q", got)
	}
	if u, err := url.Parse(b.location()); err != nil || u.Path != "/admin/connections" {
		t.Errorf("the theme leads to %s", b.location())
	}
}

func TestKeyboard(t *testing.T) {
	r := newRig(t)
	r.scene()
	b := r.logged("alice")
	b.goTo("/admin/queues")
	b.key("\t")
	if got := eval[string](b, "document.activeElement.className"); got != "skip" {
		t.Errorf("the first stop is %q", got)
	}
	b.key("\r")
	b.until(`document.activeElement.id === "content"`)
	b.key("\t\t\t\t") // the three parts of the page, then the filter
	if got := eval[string](b, "document.activeElement.name || document.activeElement.tagName"); got != "filter" {
		t.Errorf("behind the parts of the page comes %q", got)
	}
	b.key("bill")
	b.leads(chromedp.KeyEvent("\r"), "Enter in the filter")
	if got := eval[int](b, `document.querySelectorAll("tbody tr").length`); got != 1 {
		t.Errorf("%d rows match the filter", got)
	}
}
