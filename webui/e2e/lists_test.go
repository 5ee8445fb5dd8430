package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// many makes queues that take more than one page of a list.
func (r *rig) many() {
	r.t.Helper()
	for i := range 120 {
		if err := r.b.CreateQueue(fmt.Sprintf("stock.shelf-%03d", i)); err != nil {
			r.t.Fatal(err)
		}
	}
	r.fill(queue("orders.new"), "1", "2")
	r.fill(queue("orders.paid"), "1")
}

// stay marks the page; stayed says whether it is still the same one.
func (b *tab) stay() { b.t.Helper(); eval[any](b, `window.stayed = true`) }

func (b *tab) stayed(what string) {
	b.t.Helper()
	if !eval[bool](b, `window.stayed === true`) {
		b.t.Errorf("%s loaded the page anew", what)
	}
}

// shows waits for the names of a list.
func (b *tab) shows(names ...string) {
	b.t.Helper()
	b.until(fmt.Sprintf(`[...document.querySelectorAll("#list td.name a")].slice(0, %d).map((a) => a.textContent).join(" ") === %q`, len(names)+1, strings.Join(names, " ")))
}

func (b *tab) at(want string) {
	b.t.Helper()
	if got := eval[string](b, `location.pathname + location.search`); got != want {
		b.t.Errorf("the address is %s instead of %s", got, want)
	}
}

const rows = `document.querySelectorAll("#list tbody tr").length`

// What is typed filters the list as it is typed: the page stays, the caret too, and what is half filled in elsewhere. One step
// back leaves the filter, however much was typed.
func TestFilterAsYouType(t *testing.T) {
	r := newRig(t)
	r.many()
	b := r.logged("alice")
	b.goTo("/admin/queues")
	b.stay()
	b.click(".menu summary")
	b.set(".menu input[name=name]", "half a na")
	b.click(".filter input[name=filter]")
	b.key("oders")
	b.until(rows + " === 0")
	b.key("\u0302\u0302\u0302\u0302") // arrow left: the caret stands behind the o
	b.key("r")
	b.shows("orders.new", "orders.paid")
	if got := eval[string](b, `(() => { const e = document.activeElement; return e.name + e.value + e.selectionStart; })()`); got != "filterorders2" {
		t.Errorf("field, text and caret are %s", got)
	}
	b.at("/admin/queues?filter=orders")
	if got := eval[string](b, `document.querySelector("#same code").textContent`); !strings.Contains(got, "orders") {
		t.Errorf("the command that does the same is %s", got)
	}
	r.fill(queue("orders.new"), "3")
	b.until(`document.querySelector("#list [data-f=messages]").textContent === "3"`) // the new rows live
	if got := eval[string](b, `document.querySelector(".menu input[name=name]").value`); got != "half a na" {
		t.Errorf("another form was touched: %q", got)
	}
	b.stayed("typing")
	eval[any](b, `history.back()`)
	b.until(rows + " === 100")
	b.at("/admin/queues")
	if got := eval[string](b, `document.querySelector(".filter input").value`); got != "" {
		t.Errorf("after a step back the filter says %q", got)
	}
	eval[any](b, `history.forward()`)
	b.shows("orders.new", "orders.paid")
	if got := eval[string](b, `document.querySelector(".filter input").value`); got != "orders" {
		t.Errorf("after a step forward the filter says %q", got)
	}
	b.stayed("going back and forward")
	b.press("#list td.name a")
	eval[any](b, `history.back()`) // from another page
	b.shows("orders.new", "orders.paid")
}

// Heads of columns and the links to other pages of a list change the list only, and where the focus is stays.
func TestSortAndTurnOver(t *testing.T) {
	r := newRig(t)
	r.many()
	b := r.logged("alice")
	b.goTo("/admin/queues")
	b.stay()
	b.click("#by-messages")
	b.until(`document.querySelector("th:has(#by-messages)").ariaSort === "descending" && document.querySelector("#list td.name a").textContent === "orders.new"`)
	if got := eval[string](b, `document.activeElement.id`); got != "by-messages" {
		t.Errorf("the focus is at %q", got)
	}
	b.goTo("/admin/queues?sort=messages&order=desc")
	b.stay()
	b.click(".filter input[name=filter]")
	b.key("e")
	b.until(`location.search.includes("filter=e")`)
	b.until(`document.querySelector("#list td.name a").textContent === "orders.new" && ` + rows + ` === 100`) // the order is kept
	b.click("#page-next")
	b.until(rows + " === 22")
	if got := eval[float64](b, `document.querySelector("#list").getBoundingClientRect().top`); got < 0 || got > 400 {
		t.Errorf("the next page of the list begins at %v of the screen", got)
	}
	b.stayed("the next page")
	b.click(".pick summary")
	b.click(".pick input[value=deadLettered]")
	b.press(".pick .primary") // comes back to what was shown
	if got := eval[int](b, rows); got != 22 {
		t.Errorf("after choosing columns there are %d rows", got)
	}
	if got := b.text("#list thead"); !strings.Contains(got, "Dead letters") {
		t.Errorf("the columns are %q", got)
	}
}

// Messages are turned over and searched while the charts go on; what is ticked is counted on each page.
func TestTurnMessagesOver(t *testing.T) {
	r := newRig(t)
	r.fill(queue("deep"), append(strings.Split(strings.Repeat("x,", 79)+"x", ","), "the needle")...)
	b := r.logged("alice")
	b.goTo("/admin/queue?name=deep")
	b.until(depth("canvas") + ` !== null`)
	b.stay()
	eval[any](b, `window.drawing = document.querySelector("canvas")`)
	b.click("#page-next")
	b.until(`document.querySelector("#page-prev") !== null`)
	n := eval[int](b, rows)
	b.click("#list [data-all]")
	if got := b.text("#list [data-ticked]"); got != fmt.Sprint(n) {
		t.Errorf("%d messages are ticked, it says %s", n, got)
	}
	b.write("#messages input[name=text]", "needle\r")
	b.until(rows + " === 1")
	b.click(".lately .tabs a:nth-child(2)")
	b.until(`document.querySelector(".lately .tabs a:nth-child(2)").ariaCurrent === "true" && document.querySelector("canvas") !== window.drawing && document.querySelector("canvas") !== null`)
	if got := eval[string](b, `document.querySelector("#messages input[name=text]").value + " " + `+rows); got != "needle 1" {
		t.Errorf("another range of time changed what was searched: %s", got)
	}
	b.stayed("turning over, searching, another range")
}

// Whatever the server answers instead of a list is shown as a page.
func TestListAfterTheLoginEnded(t *testing.T) {
	r := newRig(t)
	r.many()
	b := r.logged("alice", "401")
	b.goTo("/admin/queues")
	eval[any](b, `fetch("/admin/logout", {method: "POST", redirect: "manual"})`)
	b.click(".filter input[name=filter]")
	b.leads(chromedp.KeyEvent("orders"), "typing")
	b.logIn("alice", "alice-pw")
	b.shows("orders.new", "orders.paid")
}

// A list that has other rows than it shows says so, and is asked for again without the rest of the page.
func TestListIsAskedForAgain(t *testing.T) {
	r := newRig(t)
	r.fill(queue("one"), "1")
	b := r.logged("alice")
	b.goTo("/admin/queues")
	b.stay()
	r.fill(queue("two"), "1")
	b.click("#live-note a")
	b.shows("one", "two")
	b.until(`document.getElementById("live-note").hidden`)
	b.stayed("the list")
	if n := eval[int](b, `history.length`); n > 4 {
		t.Errorf("that left %d steps to go back", n)
	}
}

// Without scripts a list is filtered, sorted and turned over as before.
func TestListsWithoutScripts(t *testing.T) {
	r := newRig(t)
	r.many()
	b := r.open()
	b.noScript(true)
	b.goTo("/admin/queues")
	b.logIn("alice", "alice-pw")
	b.press("#by-messages")
	b.press("#page-next")
	b.set(".filter input[name=filter]", "orders")
	b.press(".filter button")
	if got := b.text("#list tbody"); !strings.Contains(got, "orders.new") || strings.Contains(got, "stock") {
		t.Errorf("filtered: %s", got)
	}
}
