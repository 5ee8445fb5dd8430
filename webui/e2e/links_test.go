package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
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

// share makes a link to a page; ok is false if it cannot be shared.
func (r *rig) share(page string, bodies bool) (path string, ok bool) {
	r.t.Helper()
	body := fmt.Sprintf(`{"page":%q,"bodies":%t}`, page, bodies)
	req, err := http.NewRequest("POST", r.url+"/api/v1/links", strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.SetBasicAuth("alice", "alice-pw")
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	var made struct{ Path string }
	if err := json.NewDecoder(res.Body).Decode(&made); err != nil {
		r.t.Fatal(err)
	}
	return made.Path, res.StatusCode == http.StatusCreated
}

// Somebody who has a link to a list filters, sorts and turns it over, live; who has one to a queue with bodies searches it.
// None of it leaves the link.
func TestUseASharedPage(t *testing.T) {
	r := newRig(t, withLinks(t))
	for i := range 150 {
		if err := r.b.CreateQueue(fmt.Sprintf("stock.%03d", i)); err != nil {
			t.Fatal(err)
		}
	}
	r.fill(queue("stock.042"), "apples", "pears", "plums")
	b := r.open()
	list, _ := r.share("/admin/queues", false)
	here := func(of string) {
		t.Helper()
		if got := eval[string](b, "location.pathname"); got != of || b.has("input[name=password]") {
			t.Fatalf("it leads to %s", got)
		}
	}
	b.goTo(list)
	b.press("a[rel=next]")
	here(list)
	if n := eval[int](b, `document.querySelectorAll("tbody tr").length`); n != 50 {
		t.Errorf("the second page has %d queues", n)
	}
	b.press("a[rel=prev]")
	b.press(`thead a[href*="sort=messages"]`)
	here(list)
	if got := b.text("tbody tr td"); !strings.HasPrefix(got, "stock.042") {
		t.Errorf("the first one is %q", got)
	}
	b.set("input[name=filter]", "stock.04")
	b.press("form.filter button")
	here(list)
	if n := eval[int](b, `document.querySelectorAll("tbody tr").length`); n != 10 || b.text("tbody tr td.n") != "3" {
		t.Errorf("%d queues are left, the first one has %s", n, b.text("tbody tr td.n"))
	}
	r.fill(queue("stock.042"), "cherries")
	b.until(`document.querySelector("tbody tr [data-f=messages]").textContent === "4"`)
	b.press("form.filter a")
	here(list)

	one, _ := r.share("/admin/queue?name=stock.042", true)
	b.goTo(one)
	b.set("input[name=text]", "pear")
	b.press("form.search button")
	here(one)
	if n := eval[int](b, `document.querySelectorAll("#messages tbody tr").length`); n != 1 || b.text("#messages .preview") != "pears" {
		t.Errorf("%d messages are found", n)
	}
	b.press("form.search a")
	here(one)
	b.press(".lately nav a:last-child")
	here(one)
	b.press("#messages tbody a")
	if !b.has("input[name=password]") {
		t.Error("a message, which is another page, needs no login")
	}
}

// Pages of links look as right as those of a login, in both themes, wide and narrow, in both languages.
func TestEverySharedPageLooksRight(t *testing.T) {
	r := newRig(t, withLinks(t), func(o *admin.Options) {
		o.Cluster = newGroup()
		info := o.Info()
		info.Role = admin.MemberMaster
		o.Info = func() admin.BrokerInfo { return info }
	})
	r.shop()
	shared := map[string]string{}
	for _, p := range r.places() {
		if path, ok := r.share(p.path, true); ok {
			shared[p.name] = path
		}
	}
	if len(shared) < 18 {
		t.Fatalf("only %d pages can be shared", len(shared))
	}
	b := r.open("404")
	lang := "en"
	for _, l := range looks {
		if l.picture && os.Getenv("SCREENSHOTS") == "" {
			continue
		}
		b.size(l.width, 900)
		b.dark(l.dark)
		if l.lang != lang {
			b.goTo(shared["overview"])
			b.press(".languages button[value=" + l.lang + "]")
			lang = l.lang
		}
		for name, path := range shared {
			b.goTo(path)
			if !b.has("#link-note") {
				t.Fatalf("%s is not shown: %s", name, b.text("main"))
			}
			b.looksRight("shared "+name, l)
			b.picture(l.name + "/shared-" + name)
		}
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
