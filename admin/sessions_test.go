package admin

import (
	"testing"
	"time"
)

// A request that began before a logout ends after it and commits its session: that
// must not bring it back to life.
func TestEndedSessionStaysEnded(t *testing.T) {
	s := newSessionStore(2)
	later := time.Now().Add(time.Hour)
	if err := s.Commit("a", []byte("x"), later); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete("a"); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit("a", []byte("x"), later); err != nil {
		t.Fatal(err)
	}
	if _, found, _ := s.Find("a"); found {
		t.Error("the session is back")
	}
	for range 100 { // tokens that never were cost nothing
		if err := s.Delete(time.Now().String()); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.ended) != 1 {
		t.Errorf("%d ended tokens are remembered", len(s.ended))
	}
}
