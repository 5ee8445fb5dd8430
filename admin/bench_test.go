package admin_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
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
