package zktest

import (
	"errors"
	"testing"
)

func start(t *testing.T, nodes int) *Ensemble {
	t.Helper()
	e, err := Start(t.Context(), Options{Dir: t.TempDir(), Nodes: nodes})
	if errors.Is(err, ErrNotInstalled) {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

func TestAnEnsembleElectsAnotherLeader(t *testing.T) {
	e := start(t, 3)
	first := e.Leader()
	if first < 0 {
		t.Fatal("three servers serve and none leads")
	}
	e.Servers[first].Kill()
	for i, s := range e.Servers {
		if i == first {
			continue
		}
		for lead := e.Leader(); lead < 0 || lead == first; lead = e.Leader() {
			if t.Context().Err() != nil {
				t.Fatal("no new leader")
			}
		}
		if err := s.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Servers[first].Run(t.Context()); err != nil {
		t.Fatal("the killed server does not come back:", err)
	}
}

func TestAServerKeepsItsAddress(t *testing.T) {
	e := start(t, 1)
	s := e.Servers[0]
	addr := s.Addr()
	s.Kill()
	if _, err := s.mode(); err == nil {
		t.Error("a killed server answers")
	}
	if err := s.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.Addr() != addr || e.Leader() != 0 {
		t.Errorf("after its restart the server is at %s, was at %s; it leads: %v", s.Addr(), addr, e.Leader() == 0)
	}
}
