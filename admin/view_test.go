package admin

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestFormats(t *testing.T) {
	for want, got := range map[string]string{
		"0": formatNumber(0), "999": formatNumber(999), "1,000": formatNumber(uint64(1000)), "-12,345,678": formatNumber(-12345678),
		"0 B": formatBytes(0), "1023 B": formatBytes(1023), "1.0 KiB": formatBytes(1024), "1.9 MiB": formatBytes(2<<20 - 1), "100 GiB": formatBytes(100 << 30), "?": formatBytes(-1),
		"0/s": formatRate(0.04), "0.1/s": formatRate(0.05), "99.9/s": formatRate(99.94), "1,235/s": formatRate(1234.6),
		"0 s": formatSpan(0), "59 s": formatSpan(59), "1 min": formatSpan(60), "1 h 1 min": formatSpan(3660), "2 d 3 h": formatSpan(2*86400 + 3*3600 + 59),
	} {
		if got != want {
			t.Errorf("%q instead of %q", got, want)
		}
	}
}

func TestSparkline(t *testing.T) {
	if got := sparkline([]int{20}); got != "" {
		t.Errorf("one point: %q", got)
	}
	if got := sparkline([]int{0, 0}); got != "56,21 58,21" {
		t.Errorf("nothing: %q", got)
	}
	if got := sparkline([]int{10, 20}); got != "56,11 58,1" {
		t.Errorf("rising: %q", got)
	}
}

func TestChart(t *testing.T) {
	for v, want := range map[float64]float64{0.2: 1, 1: 1, 1.5: 2, 3: 4, 8: 8, 8.1: 10, 10: 10, 11: 20, 61: 80, 999: 1000, 4_100_000: 6_000_000} {
		if got := roundTop(v); got != want {
			t.Errorf("a scale for %v ends at %v instead of %v", v, got, want)
		}
	}
	h := &historyView{IntervalSeconds: 60, Messages: []float64{0, 15, 30}, RateIn: []float64{0, 0, 5}, RateOut: []float64{0, 0, 40}}
	c := depthChart(h, 1)
	if c.Top != "40" || c.Half != "20" || c.Now != "30" || c.Span != "1 h" || c.Middle != "30 min" || !c.Area {
		t.Errorf("%+v", c)
	}
	if l := c.Lines[0]; l.Points != "96.6,100.0 98.3,62.5 100.0,25.0" || l.Ground != "96.6,100 96.6,100.0 98.3,62.5 100.0,25.0 100.0,100" {
		t.Errorf("%+v", l)
	}
	if c = rateChart(h, 2); c.Top != "40.0/s" || c.Now != "5.0/s, 40.0/s" || c.Points != 96 || len(c.Lines) != 2 {
		t.Errorf("%+v", c)
	}
}

func TestBestView(t *testing.T) {
	long := strings.Repeat("a", shownBody-1) + "ü" + strings.Repeat("b", 10)
	for _, c := range []struct{ body, kind, want string }{
		{`{"a":1}`, "", "json"}, {` [1]`, "", "json"}, {`{broken`, "", "text"}, {`"just text"`, "application/json", "json"}, {`"just text"`, "", "text"},
		{"plain\ttext\r\n", "", "text"}, {"a\x00b", "", "hex"}, {"\xff\xfe", "", "hex"}, {"\xff\xfe ab", "text/plain", "hex"}, {"", "", "text"}, {long, "", "text"},
		{strings.Repeat("[", 1000) + strings.Repeat("]", 1000), "", "json"},
	} {
		if got := bestView([]byte(c.body), c.kind); got != c.want {
			t.Errorf("%.20q as %q: %s instead of %s", c.body, c.kind, got, c.want)
		}
	}
}

// What is laid out is bounded: nesting would make it the square of the body.
func TestIndentedIsBounded(t *testing.T) {
	deep := strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1)
	if _, ok := indented([]byte(deep)); ok {
		t.Error("deep nesting is laid out")
	}
	if _, ok := indented([]byte("[" + strings.Repeat("1,", maxIndented) + "1]")); ok {
		t.Error("a large body is laid out")
	}
	if got, ok := indented([]byte(`{"[[[\"":"]]}\\"}`)); !ok || got != "{\n  \"[[[\\\"\": \"]]}\\\\\"\n}" {
		t.Errorf("%v %s", ok, got)
	}
	var d messageData
	d.show([]byte(deep), "json", false, "")
	if d.View != "text" || d.Body != deep {
		t.Errorf("it is shown as %s", d.View)
	}
	d.show([]byte(strings.Repeat("x", shownBody+1)), "text", false, "")
	if !d.Cut || !d.More || len(d.Body) != shownBody {
		t.Errorf("cut %v, more %v, %d bytes", d.Cut, d.More, len(d.Body))
	}
	d.show([]byte(strings.Repeat("x", allBody+1)), "hex", true, "")
	if !d.Cut || d.More || d.Shown != allBody {
		t.Errorf("cut %v, more %v, %d bytes", d.Cut, d.More, d.Shown)
	}
}

func TestPreview(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		body := []byte(rapid.OneOf(rapid.String(), rapid.StringN(100, 200, -1)).Draw(t, "body"))
		if rapid.Bool().Draw(t, "spoil") {
			body = append(body, rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")...)
		}
		p := preview(body)
		if !utf8.ValidString(p) || strings.ContainsFunc(p, unicode.IsControl) || len(p) > 3*previewBytes+len("…") {
			t.Fatalf("%q", p)
		}
		if utf8.Valid(body) && strings.ContainsRune(p, utf8.RuneError) && !strings.ContainsRune(string(body), utf8.RuneError) {
			t.Fatalf("a character was cut in two: %q", p)
		}
		if strings.HasSuffix(p, "…") != (len(body) > previewBytes) && !strings.HasSuffix(string(body), "…") {
			t.Fatalf("%d bytes: %q", len(body), p)
		}
	})
}

func TestHeadersKeepOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var l headerList
		for range rapid.IntRange(0, 20).Draw(t, "n") {
			l.add(rapid.String().Draw(t, "name"), rapid.String().Draw(t, "value"))
		}
		raw, err := json.Marshal(l)
		if err != nil {
			t.Fatal(err)
		}
		var back headerList
		if err := json.Unmarshal(raw, &back); err != nil {
			t.Fatalf("%v in %s", err, raw)
		}
		if !slices.Equal(l, back) {
			t.Fatalf("%q became %q", l, back)
		}
	})
}

// thing is an item of a list.
type thing struct {
	name   string
	figure int
}

func (t thing) sortKey() (name, kind string) { return t.name, "" }

// A list that is read page by page while items come, go and change shows each item
// that stayed and did not change its figure exactly once.
func TestPagingWhileTheListChanges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		items := map[string]int{}
		fixed := map[string]bool{}
		for _, name := range rapid.SliceOfNDistinct(rapid.StringMatching(`[a-f]{1,3}`), 0, 30, rapid.ID).Draw(t, "names") {
			items[name] = rapid.IntRange(0, 3).Draw(t, "figure")
			fixed[name] = rapid.Bool().Draw(t, "fixed")
		}
		want := 0
		for _, f := range fixed {
			if f {
				want++
			}
		}
		q := listQuery{Sort: rapid.SampledFrom([]string{"name", "figure"}).Draw(t, "sort"), Desc: rapid.Bool().Draw(t, "desc"), Limit: rapid.IntRange(1, 7).Draw(t, "limit")}
		by := figures[thing]{"figure": func(x *thing) float64 { return float64(x.figure) }}
		seen := map[string]int{}
		for {
			list := make([]thing, 0, len(items))
			for name, figure := range items {
				list = append(list, thing{name, figure})
			}
			p, err := pageOf(list, q, by)
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range p.Items {
				seen[x.name]++
			}
			if p.Next == "" {
				break
			}
			q.Cursor = p.Next
			for name := range items {
				if !fixed[name] && rapid.Bool().Draw(t, "remove") {
					delete(items, name)
				}
			}
		}
		got := 0
		for name, n := range seen {
			if n != 1 {
				t.Fatalf("%s was shown %d times", name, n)
			}
			if fixed[name] {
				got++
			}
		}
		if got != want {
			t.Fatalf("%d of %d items were shown", got, want)
		}
	})
}

// Going back leads to the page before.
func TestPagingBack(t *testing.T) {
	var all []thing
	for c := 'a'; c <= 'z'; c++ {
		all = append(all, thing{string(c), 0})
	}
	q := listQuery{Sort: "name", Limit: 5}
	var pages []string
	for {
		p, err := pageOf(slices.Clone(all), q, nil)
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, p.Items[0].name)
		if n := len(pages); n > 1 {
			back := q
			back.Cursor = p.prev
			b, err := pageOf(slices.Clone(all), back, nil)
			if err != nil || b.Items[0].name != pages[n-2] {
				t.Errorf("before the page of %s is that of %s, not %s: %v", pages[n-1], b.Items[0].name, pages[n-2], err)
			}
		}
		if p.Next == "" {
			return
		}
		q.Cursor = p.Next
	}
}

func FuzzHeaderList(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":"b"}`, `{"a":1}`, `[]`, `{"a":"b","a":"c"}`, `null`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var l headerList
		if json.Unmarshal(data, &l) != nil {
			return
		}
		raw, err := json.Marshal(l)
		if err != nil {
			t.Fatal(err)
		}
		var back headerList
		if err := json.Unmarshal(raw, &back); err != nil || !slices.Equal(l, back) {
			t.Fatalf("%q became %q, %v", l, back, err)
		}
	})
}

func FuzzPosition(f *testing.F) {
	f.Add("MTphYmM")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parsePosition(text)
		if err != nil || p.figure != p.figure {
			return
		}
		if back, err := parsePosition(p.String()); err != nil || back != p {
			t.Fatalf("%q: %v became %v, %v", text, p, back, err)
		}
	})
}
