package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"

	"treadmq/admin"
)

// deep is the page of a queue of 30 messages whose charts are drawn.
func (r *rig) deep() *tab {
	r.t.Helper()
	r.fill(queue("deep"), thirty...)
	b := r.logged("vera")
	b.goTo("/admin/queue?name=deep")
	b.until(depth("canvas") + ` !== null`)
	return b
}

var thirty = strings.Split(strings.Repeat("x,", 29)+"x", ",")

// depth is an element of the chart of depth, of the two on a queue's page.
func depth(selector string) string {
	return fmt.Sprintf(`document.querySelector("figure[data-k=num] %s")`, selector)
}

func (b *tab) mouse(kind input.DispatchMouseEventType, x, y float64, clicks int64) {
	b.t.Helper()
	p := input.DispatchMouseEventParams{Type: kind, X: x, Y: y}
	if clicks > 0 {
		p.Button, p.ClickCount = input.MouseButtonLeft, clicks
	}
	call(b, input.DispatchMouseEvent, p)
}

// plot is where the drawing of depth is on the screen: left, top, width, height.
func (b *tab) plot() []float64 {
	b.t.Helper()
	return eval[[]float64](b, `(() => { const r = `+depth(".u-over")+`.getBoundingClientRect(); return [r.left, r.top, r.width, r.height]; })()`)
}

// A chart says its values with their time under the pointer and by the arrow keys.
func TestChartSaysItsValues(t *testing.T) {
	r := newRig(t)
	b := r.deep()
	b.until(depth("[data-v]") + `.textContent === "30"`)
	if got := eval[string](b, depth("[data-at]")+`.textContent`); got != "" {
		t.Errorf("nobody points, and it says %q", got)
	}
	p := b.plot()
	b.mouse(input.DispatchMouseEventTypeMouseMoved, p[0]+p[2]-2, p[1]+20, 0)
	b.until(`/^\d\d:\d\d:\d\d UTC$/.test(` + depth("[data-at]") + `.textContent)`)
	b.mouse(input.DispatchMouseEventTypeMouseMoved, p[0]+2, p[1]+20, 0)
	b.until(depth("[data-v]") + `.textContent === ""`) // the queue was not there yet
	b.mouse(input.DispatchMouseEventTypeMouseMoved, 1, 1, 0)
	b.until(depth("[data-at]") + `.textContent === "" && ` + depth("[data-v]") + `.textContent === "30"`)
	eval[any](b, depth(".drawing")+`.focus()`)
	b.key("\u0302") // arrow left
	b.until(depth("[data-at]") + `.textContent.endsWith(" UTC")`)
	first := eval[string](b, depth("[data-at]")+`.textContent`)
	b.key("\u0302\u0302\u0302\u0302\u0302\u0302\u0302\u0302\u0302\u0302")
	b.until(depth("[data-at]") + `.textContent.slice(0, 8) < "` + first[:8] + `"`)
	b.key("\u001b")
	b.until(depth("[data-at]") + `.textContent === ""`)
}

// A drag shows a part closer, which stays while time goes on; a double click, or Escape, shows everything again.
func TestChartZooms(t *testing.T) {
	r := newRig(t)
	b := r.deep()
	zoomed := depth("[data-at]") + `.textContent.includes(" – ")`
	p := b.plot()
	left, right, y := p[0]+p[2]*0.6, p[0]+p[2]*0.9, p[1]+p[3]/2
	b.mouse(input.DispatchMouseEventTypeMouseMoved, left, y, 0)
	b.mouse(input.DispatchMouseEventTypeMousePressed, left, y, 1)
	b.mouse(input.DispatchMouseEventTypeMouseMoved, (left+right)/2, y, 1)
	b.mouse(input.DispatchMouseEventTypeMouseMoved, right, y, 1)
	b.mouse(input.DispatchMouseEventTypeMouseReleased, right, y, 1)
	b.mouse(input.DispatchMouseEventTypeMouseMoved, 1, 1, 0)
	b.until(zoomed)
	part := eval[string](b, depth("[data-at]")+`.textContent`)
	r.fill(queue("deep"), "one more")
	b.until(depth("[data-v]") + `.textContent === "31"`)
	if got := eval[string](b, depth("[data-at]")+`.textContent`); got != part {
		t.Errorf("time went on, and instead of %q it shows %q", part, got)
	}
	for range 2 {
		b.mouse(input.DispatchMouseEventTypeMousePressed, left, y, 2)
		b.mouse(input.DispatchMouseEventTypeMouseReleased, left, y, 2)
	}
	b.mouse(input.DispatchMouseEventTypeMouseMoved, 1, 1, 0)
	b.until(`!(` + zoomed + `)`)
	eval[any](b, depth(".drawing")+`.focus()`)
	b.key("+")
	eval[any](b, depth(".drawing")+`.blur()`)
	b.until(zoomed)
	eval[any](b, depth(".drawing")+`.focus()`)
	b.key("\u001b")
	eval[any](b, depth(".drawing")+`.blur()`)
	b.until(`!(` + zoomed + `)`)
}

// The drawing takes the place of the server's picture without moving what is below, in the colours of the theme, and
// follows what happens. It is loaded by pages with charts only.
func TestChartIsDrawn(t *testing.T) {
	r := newRig(t)
	r.fill(queue("deep"), thirty...)
	b := r.logged("vera")
	b.goTo("/admin/queues")
	if eval[bool](b, `"uPlot" in window`) {
		t.Error("a page without charts loads uPlot")
	}
	b.noScript(true)
	b.goTo("/admin/queue?name=deep")
	if got := b.text("figure .scale"); strings.Join(strings.Fields(got), " ") != "40 20 0" {
		t.Errorf("without a script the scale of 30 messages is %q", got)
	}
	below := `document.querySelector("section.card .facts.wide").getBoundingClientRect().top + scrollY`
	before := eval[float64](b, below)
	b.noScript(false)
	b.goTo("/admin/queue?name=deep")
	b.until(depth("canvas") + ` !== null`)
	if after := eval[float64](b, below); after != before {
		t.Errorf("what is below the charts moved from %v to %v", before, after)
	}
	b.until(ink("polyline") + ` > 20`)
	drawn := eval[string](b, depth("canvas")+`.toDataURL()`)
	r.fill(queue("deep"), thirty...)
	b.until(depth("[data-v]") + `.textContent === "60"`)
	b.until(depth("canvas") + `.toDataURL() !== ` + fmt.Sprintf("%q", drawn))
	b.press(".lately .tabs a:nth-child(2)")
	b.until(depth("canvas") + ` !== null`)
	b.size(375, 800)
	b.until(`document.documentElement.scrollWidth === 375 && ` + depth("canvas") + `.getBoundingClientRect().right < 375`)
}

// ink counts the points of the drawing of depth that have the colour of a line of the server's picture.
func ink(line string) string {
	return `(() => { const c = ` + depth("canvas") + `, copy = new OffscreenCanvas(c.width, c.height).getContext("2d", {willReadFrequently: true});
		copy.drawImage(c, 0, 0);
		const all = copy.getImageData(0, 0, c.width, c.height).data;
		const want = getComputedStyle(` + depth(line) + `).stroke.match(/\d+/g).map(Number);
		let n = 0; for (let i = 0; i < all.length; i += 4) if (all[i + 3] > 250 && want.every((v, k) => Math.abs(all[i + k] - v) < 3)) n++;
		return n; })()`
}

// Another theme is taken at once, also where nothing happens that would draw the chart anew.
func TestChartTakesTheTheme(t *testing.T) {
	r := newRig(t, func(o *admin.Options) { o.SampleInterval = time.Hour })
	b := r.deep()
	for _, change := range []func(){func() {}, func() { b.dark(true) }, func() { b.click(`.theme button[value=light]`) }, func() { b.click(`.theme button[value=dark]`) }} {
		change()
		b.until(ink(".grid") + ` > 100`)
	}
}
