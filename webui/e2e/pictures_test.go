package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"

	"treadmq/admin"
)

// look is one way to look at the console.
type look struct {
	name    string // of the folder of its pictures
	lang    string
	width   int64
	dark    bool
	picture bool // only for pictures: its parts are tested by the others
}

var looks = []look{
	{"light", "en", 1280, false, false}, {"dark", "en", 1280, true, false}, {"light-narrow", "en", 375, false, false}, {"dark-narrow", "en", 375, true, true},
	{"zh-light", "zh", 1280, false, true}, {"zh-dark-narrow", "zh", 375, true, false},
}

// places are all pages that can be opened by an address.
func (r *rig) places() []struct{ name, path, lang, want string } {
	r.t.Helper()
	serial := uint64(0)
	for _, c := range r.b.Connections() {
		if len(c.Subscriptions) > 0 {
			serial = c.Serial
		}
	}
	return []struct{ name, path, lang, want string }{
		{"overview", "/admin/", "", "amsterdam-1"},
		{"queues", "/admin/queues", "en", "Queues"},
		{"queues-by-depth", "/admin/queues?sort=messages&order=desc&filter=o", "en", "Queues"},
		{"queues-none", "/admin/queues?filter=no+such", "en", "Queues"},
		{"queue", "/admin/queue?name=fraud.score.requests", "", "fraud.score.requests"},
		{"queue-still", "/admin/queue?name=customers.newsletter", "", "customers.newsletter"},
		{"queue-long-name", "/admin/queue?name=warehouse.integration.legacy-mainframe-bridge.inbound.article-master-data.delta", "", "warehouse.integration.legacy-mainframe-bridge.inbound.article-master-data.delta"},
		{"queue-dead", "/admin/queue?name=ActiveMQ.DLQ", "", "ActiveMQ.DLQ"},
		{"send", "/admin/queue/send?name=orders.incoming", "en", "Send a message"},
		{"purge", "/admin/queue/purge?name=customers.newsletter", "en", "Remove all messages?"},
		{"delete", "/admin/queue/delete?name=customers.newsletter", "en", "Delete it?"},
		{"topics", "/admin/topics", "en", "Topics"},
		{"topic", "/admin/topic?name=prices.eur", "", "prices.eur"},
		{"subscriptions", "/admin/subscriptions", "en", "Durable subscribers"},
		{"connections", "/admin/connections", "en", "Connections"},
		{"connection", fmt.Sprint("/admin/connection?serial=", serial), "", ""},
		{"close", fmt.Sprint("/admin/connection/close?serial=", serial), "en", "Close connection?"},
		{"deadletters", "/admin/deadletters", "en", "Dead letters"},
		{"schedules", "/admin/schedules", "en", "Scheduled"},
		{"trash", "/admin/trash", "en", "Trash"},
		{"life", "/admin/life", "en", "Find a message"},
		{"jobs", "/admin/jobs", "en", "Actions"},
		{"cluster", "/admin/cluster", "en", "Replication"},
		{"policies", "/admin/policies", "en", "Policies"},
		{"links", "/admin/links?page=%2Fadmin%2Fqueues", "en", "Links to share"},
		{"users", "/admin/users", "en", "Users and roles"},
		{"audit", "/admin/audit", "en", "Audit log"},
		{"settings", "/admin/settings", "en", "Settings"},
		{"error", "/admin/queue?name=there+is+none", "en", "That did not work"},
	}
}

// Every page, in both themes, wide and narrow, in both languages: it has its heading, is not wider than the screen,
// is read easily, and the browser complains of nothing. With SCREENSHOTS a picture of each is left in that folder.
func TestEveryPageLooksRight(t *testing.T) {
	tokens, err := admin.OpenTokens(filepath.Join(t.TempDir(), "tokens.json"))
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, withLinks(t), func(o *admin.Options) {
		o.Cluster, o.Tokens = newGroup(), tokens
		info := o.Info()
		info.Role = admin.MemberMaster
		o.Info = func() admin.BrokerInfo { return info }
	})
	r.shop()
	b := r.logged("alice", "404")
	b.goTo("/admin/")
	if os.Getenv("SCREENSHOTS") != "" { // with something to see in the charts
		for eval[int](b, `document.querySelector("[data-spark='history.rateIn']").getAttribute("points").split(" ").length`) < 55 {
			b.goTo("/admin/")
		}
	}
	places := r.places()
	lang := "en"
	for _, l := range looks {
		if l.picture && os.Getenv("SCREENSHOTS") == "" {
			continue
		}
		b.size(l.width, 900)
		b.dark(l.dark)
		if l.lang != lang {
			b.goTo("/admin/")
			b.press(".languages button[value=" + l.lang + "]")
			lang = l.lang
		}
		for _, p := range places {
			b.goTo(p.path)
			b.drawn()
			b.looksRight(p.path, l)
			if got := b.text("h1"); p.want != "" && (p.lang == "" || p.lang == l.lang) && got != p.want {
				t.Errorf("%s: heading %q", p.path, got)
			}
			b.picture(l.name + "/" + p.name)
		}
		b.goTo("/admin/queue?name=ActiveMQ.DLQ")
		b.press("#messages tbody a")
		b.looksRight("a message", l)
		b.picture(l.name + "/message")
	}
}

// drawn waits for the charts of a page that has some.
func (b *tab) drawn() {
	b.t.Helper()
	b.until(`document.querySelectorAll("figure[data-chart]").length === document.querySelectorAll("figure canvas").length`)
}

// The first page that anybody sees, before and after a wrong password.
func TestLoginLooksRight(t *testing.T) {
	r := newRig(t)
	for _, l := range looks[:4] {
		b := r.open("401")
		b.size(l.width, 700)
		b.dark(l.dark)
		b.goTo("/admin/")
		b.looksRight("login", l)
		b.picture(l.name + "/login")
		b.logIn("alice", "guess")
		b.looksRight("wrong password", l)
		b.picture(l.name + "/login-wrong")
	}
}

// looksRight holds a page against what holds for all of them.
func (b *tab) looksRight(what string, l look) {
	b.t.Helper()
	if w := eval[int64](b, "document.documentElement.scrollWidth"); w > l.width {
		b.t.Errorf("%s, %s: %d wide on a screen of %d", l.name, what, w, l.width)
	}
	for _, c := range eval[[]string](b, contrasts) {
		b.t.Errorf("%s, %s: hard to read: %s", l.name, what, c)
	}
	for _, c := range eval[[]string](b, unworded) {
		b.t.Errorf("%s, %s: has no text for %s", l.name, what, c)
	}
	if l.lang == "zh" {
		for _, c := range eval[[]string](b, englishText) {
			b.t.Errorf("%s, %s: English: %s", l.name, what, c)
		}
	}
	for _, c := range eval[[]string](b, misshapen) {
		b.t.Errorf("%s, %s: out of shape: %s", l.name, what, c)
	}
	for _, c := range eval[[]string](b, nameless) {
		b.t.Errorf("%s, %s: has no name: %s", l.name, what, c)
	}
}

// contrasts lists the texts whose contrast is below what WCAG 2.2 asks for at level AA: 4.5, or 3 if they are large.
const contrasts = `(() => {
  const pen = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const known = new Map();
  const parse = (colour) => {
    if (!known.has(colour)) {
      pen.clearRect(0, 0, 1, 1);
      pen.fillStyle = colour;
      pen.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = pen.getImageData(0, 0, 1, 1).data;
      known.set(colour, [r, g, b, a / 255]);
    }
    return known.get(colour);
  };
  const over = (top, below) => top.slice(0, 3).map((v, i) => v * top[3] + below[i] * (1 - top[3]));
  const ground = (el) => {
    const layers = [];
    for (let e = el; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor);
      if (c[3] > 0) layers.push(c);
      if (c[3] === 1) break;
    }
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255]);
  };
  const light = (c) => {
    const [r, g, b] = c.map((v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (a, b) => { const [x, y] = [light(a), light(b)]; return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05); };
  const bad = new Set();
  const look = (el, style, text) => {
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const below = ground(el);
    const ink = parse(style.color);
    const r = ratio(over([ink[0], ink[1], ink[2], ink[3] * Number(style.opacity || 1)], below), below);
    if (r < (large ? 3 : 4.5)) bad.add(r.toFixed(2) + " " + el.tagName + "." + el.className + " " + text.trim().slice(0, 40));
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let n; (n = walker.nextNode());) {
    if (!n.data.trim() || !n.parentElement.checkVisibility({visibilityProperty: true})) continue;
    look(n.parentElement, getComputedStyle(n.parentElement), n.data);
  }
  for (const i of document.querySelectorAll("input[placeholder]")) look(i, getComputedStyle(i, "::placeholder"), i.placeholder);
  return [...bad];
})()`

// unworded lists keys of texts that are not there and so are shown themselves.
const unworded = "[...new Set(document.body.innerText.match(/\\b(may|act\\.title|action|cluster\\.(role|health|level)|confirm|jobs\\.state|life|message\\.view|trash|why)\\.[a-z][a-z-]*\\b/g) || [])]"

// englishText lists what reads like an English sentence, but for data, code and what says that it is English.
const englishText = `(() => {
  const found = [];
  const look = (el, text) => {
    text = text.replace(/treadmq( [a-z]+)+|Unix DES crypt/g, ""); // commands, and a name
    if (text.includes("timeout of the price service")) return; // what a client of the test says
    if (/\b[a-z]{2,},? [a-z]{2,},? [a-z]{2,}\b/i.test(text) && !el.closest("code, pre, textarea, .preview, .value, [lang=en]")) found.push(text.trim().slice(0, 80));
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let n; (n = walker.nextNode());) look(n.parentElement, n.data);
  for (const e of document.querySelectorAll("[title], [aria-label], [placeholder]")) for (const a of ["title", "aria-label", "placeholder"]) look(e, e.getAttribute(a) || "");
  return found;
})()`

// misshapen lists tags and boxes to tick that are stretched, which a grid or a flex line does easily, and tables of which a part is cut off.
const misshapen = `[...[...document.querySelectorAll(".table")].filter((e) => e.scrollWidth > e.clientWidth + 1), ...[...document.querySelectorAll(".tag")].filter((e) => e.checkVisibility() && e.getClientRects().length === 1 && e.offsetHeight > 30),
  ...[...document.querySelectorAll("input[type=checkbox], input[type=radio]")].filter((e) => e.checkVisibility() && (e.offsetWidth > 30 || e.offsetHeight > 30))].map((e) => e.outerHTML.slice(0, 120))`

// nameless lists what can be used but says nothing to those who do not see it.
const nameless = `[...document.querySelectorAll("a[href], button, input:not([type=hidden]), select, textarea, summary")].filter((e) => e.checkVisibility() &&
  !(e.textContent.trim() || e.getAttribute("aria-label") || e.title || [...(e.labels || [])].some((l) => l.textContent.trim()))).map((e) => e.outerHTML.slice(0, 120))`

// What a browser loads for its first page after the login, as the browser itself counts it.
func TestFirstLoadInTheBrowser(t *testing.T) {
	r := newRig(t)
	for i := range 200 {
		if err := r.b.CreateQueue(fmt.Sprintf("orders.region-%02d.queue-%05d", i%40, i)); err != nil {
			t.Fatal(err)
		}
	}
	b := r.logged("alice")
	for _, page := range []string{"/admin/", "/admin/queues"} {
		call(b, network.ClearBrowserCache, cdp.Empty{})
		b.goTo(page)
		if n := eval[int](b, `document.querySelectorAll("tbody tr").length`); page == "/admin/queues" && n != 100 {
			t.Fatalf("%d queues are shown", n)
		}
		size := eval[int](b, `[...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")].filter((e) => !e.name.includes("/events")).reduce((n, e) => n + e.encodedBodySize, 0)`)
		t.Logf("%s: %d bytes", page, size)
		if size < 5<<10 || size > 80<<10 {
			t.Errorf("%s: the first load is %d bytes", page, size)
		}
	}
}
