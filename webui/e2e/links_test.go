package e2e

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"treadmq/admin"
	"treadmq/broker"
)

// known makes users those whom a link's maker can be looked up in.
type known struct{ users }

// Lookup implements admin.UserSource.
func (k known) Lookup(name string) (admin.User, bool) {
	roles, ok := k.users[name]
	return admin.User{Name: name, Roles: roles}, ok
}

func withLinks(t *testing.T) func(*admin.Options) {
	links, err := admin.OpenLinks(filepath.Join(t.TempDir(), "links.json"))
	if err != nil {
		t.Fatal(err)
	}
	return func(o *admin.Options) {
		o.Links = links
		if u, ok := o.Auth.(users); ok {
			o.Auth = known{u}
		}
	}
}

// Somebody shares a page; another browser, without a login, sees it live and nothing else; revoked,
// it is gone.
func TestShareAPage(t *testing.T) {
	r := newRig(t, withLinks(t))
	r.fill(queue("orders"), "one", "two")
	a := r.logged("uli")
	a.goTo("/admin/queue?name=orders")
	a.press(`footer a[href^="/admin/links"]`)
	if got := eval[string](a, `document.querySelector("input[name=page]").value`); got != "/admin/queue?name=orders" {
		t.Fatalf("the page to share is %q", got)
	}
	a.press(`main form.filter button`)
	a.picture("links-made")
	u, err := url.Parse(a.text("#link"))
	if err != nil {
		t.Fatal(err)
	}

	b := r.open("404", "401")
	b.goTo(u.Path)
	if got := b.text("h1"); got != "orders" || !strings.Contains(b.text("#link-note"), "uli") {
		t.Fatalf("the link shows %q", got)
	}
	b.picture("link-shown")
	for _, never := range []string{"header nav", "main form[method=post]", "#messages .preview", "footer a", "input[name=text]"} {
		if b.has(never) {
			t.Errorf("the page has %s", never)
		}
	}
	r.fill(queue("orders"), "three")
	b.until(`document.querySelector("[data-f=messages]").textContent === "3"`)
	b.click(`form.theme button[value=dark]`) // goes without a login
	b.until(`document.documentElement.dataset.theme === "dark"`)
	b.goTo(u.Path)
	if got := eval[string](b, `document.documentElement.dataset.theme`); got != "dark" {
		t.Errorf("the theme is %q after a reload", got)
	}
	b.press(`.crumbs a`)
	if !b.has("input[name=password]") {
		t.Error("another page needs no login")
	}

	a.goTo("/admin/links")
	a.press("#links button.danger")
	b.goTo(u.Path)
	if got := b.text("main"); !strings.Contains(got, "404") {
		t.Errorf("a revoked link shows %s", got)
	}
}

func TestMakeDurableSubscription(t *testing.T) {
	r := newRig(t)
	b := r.logged("alice")
	b.goTo("/admin/subscriptions")
	b.click("details.menu summary")
	b.set("details.menu input[name=name]", "late shift")
	b.set("details.menu input[name=topics]", "prices.> orders")
	b.set("details.menu input[name=selector]", "price > 5")
	b.picture("subscription-form")
	b.press("details.menu button.primary")
	if got := b.text("h1"); got != "late shift" {
		t.Fatalf("it leads to %q", got)
	}
	info, err := r.b.DurableSubscription("late shift")
	if err != nil || fmt.Sprint(info.Topics) != "[orders prices.>]" || info.Selector != "price > 5" {
		t.Errorf("%+v %v", info, err)
	}
}

// Nothing can be changed where the configuration says so, and the pages say why.
func TestReadOnlyConsole(t *testing.T) {
	r := newRig(t, func(o *admin.Options) { o.ReadOnly = true })
	r.fill(broker.Destination{Kind: broker.Queue, Name: "orders"}, "one")
	b := r.logged("alice")
	for _, path := range []string{"/admin/", "/admin/queues", "/admin/queue?name=orders", "/admin/users", "/admin/audit", "/admin/subscriptions"} {
		b.goTo(path)
		if b.has("main .danger") || b.has(`main form[method=post]:not([action$="/columns"])`) || b.text("#read-only") != "read-only" {
			t.Errorf("%s offers changes, or does not say that there are none", path)
		}
	}
}
