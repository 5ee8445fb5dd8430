package admin_test

import (
	"compress/gzip"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

// BenchmarkQueuesPage is what the server needs for one page of 100 queues of
// 10,000, and its size.
func BenchmarkQueuesPage(b *testing.B) {
	for _, path := range []string{"/admin/queues", "/admin/queues?sort=messages&order=desc", "/api/v1/queues", "/metrics"} {
		b.Run(path, func(b *testing.B) {
			r := newConsole(b)
			for i := range 10_000 {
				if err := r.b.CreateQueue(fmt.Sprintf("orders.region-%02d.queue-%05d", i%40, i)); err != nil {
					b.Fatal(err)
				}
			}
			login := httptest.NewRecorder()
			form := newRequest("POST", "/admin/login", "user=alice&password=alice-pw", "alice")
			form.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.s.ServeHTTP(login, form)
			b.ReportAllocs()
			for b.Loop() {
				req := newRequest("GET", path, "", "alice")
				for _, c := range login.Result().Cookies() {
					req.AddCookie(c)
				}
				w := httptest.NewRecorder()
				r.s.ServeHTTP(w, req)
				if w.Code != http.StatusOK {
					b.Fatal(w.Code, w.Body)
				}
				b.ReportMetric(float64(w.Body.Len()), "B/page")
			}
		})
	}
}

// TestQueuesPageIsCheap: one page of 100 queues of 10,000 costs what 100 queues cost, not what 10,000 do.
func TestQueuesPageIsCheap(t *testing.T) {
	if raceDetector {
		t.Skip("allocations are not the program's own under the race detector")
	}
	r := newConsole(t)
	for i := range 10_000 {
		if err := r.b.CreateQueue(fmt.Sprintf("orders.region-%02d.queue-%05d", i%40, i)); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{"/api/v1/queues", "/api/v1/queues?sort=messages&order=desc", "/api/v1/queues?sort=enqueued&filter=region-07"} {
		allocs := math.Inf(1) // the least of several: the figures of 10,000 queues may be taken beside one of them
		for range 10 {
			allocs = min(allocs, testing.AllocsPerRun(1, func() {
				if code := serve(r.s, newRequest("GET", path, "", "alice")); code != http.StatusOK {
					t.Fatal(code)
				}
			}))
		}
		if allocs > 3000 {
			t.Errorf("%s allocates %.0f times", path, allocs)
		}
	}
}

// TestFirstLoadIsSmall: what a browser loads to see its first page, compressed.
func TestFirstLoadIsSmall(t *testing.T) {
	r := newRig(t)
	for i := range 200 {
		if err := r.b.CreateQueue(fmt.Sprintf("orders.region-%02d.queue-%05d", i%40, i)); err != nil {
			t.Fatal(err)
		}
	}
	c := r.loggedIn("alice")
	load := func(path string) int {
		a := c.do("GET", strings.ReplaceAll(path, "&amp;", "&"), "", "", "Accept-Encoding", "gzip").must(t, http.StatusOK)
		z, err := gzip.NewReader(strings.NewReader(a.body))
		if err != nil || a.header.Get("Content-Encoding") != "gzip" {
			t.Fatalf("%s is not compressed: %v", path, err)
		}
		if text, err := io.ReadAll(z); err != nil || len(text) < len(a.body) {
			t.Errorf("%s: %d bytes of %d, %v", path, len(a.body), len(text), err)
		}
		return len(a.body)
	}
	for _, page := range []string{"/admin/", "/admin/queues"} { // with charts, and with 100 rows
		total, own := load(page), 0
		for _, path := range regexp.MustCompile(`/admin/assets/[^"]+`).FindAllString(c.get(page).must(t, http.StatusOK).body, -1) {
			size := load(path)
			total += size
			if regexp.MustCompile(`/(console|chart|icon)\.`).MatchString(path) {
				own += size
			}
		}
		t.Logf("%s with everything it needs is %d bytes, compressed; %d of them are our own script, styles and icon", page, total, own)
		if own < 4<<10 || own > 16<<10 {
			t.Errorf("%s: script, styles and icon of our own are %d bytes, compressed: what a library does is not for us to write", page, own)
		}
		if total > 80<<10 {
			t.Errorf("%s: the first load is %d bytes, compressed", page, total)
		}
	}
}
