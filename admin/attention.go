package admin

import (
	"cmp"
	"slices"
	"strings"

	"treadmq/broker"
)

// attention is a queue that somebody should look at, and why.
type attention struct {
	Name, Kind string
	Messages   int64
	Why        []finding
}

// maxAttention queues are shown on the overview: those with the most messages.
const maxAttention = 8

// needAttention finds queues that hold messages and do not move, and how many there are.
func (s *Server) needAttention() (list []attention, total int) {
	var found []broker.QueueInfo
	all := func(broker.Destination) bool { return true }
	s.b.EachQueue(all, func(i *broker.QueueInfo) {
		if _, out := s.rates.rates(i.Destination); !standsStill(i, out) {
			return
		}
		total++
		found = append(found, *i)
		if len(found) >= 8*maxAttention {
			found = mostMessages(found)
		}
	})
	for _, i := range mostMessages(found) {
		why := s.why(&i, s.b.Consumers(i.Destination))
		list = append(list, attention{i.Destination.Name, kindName(i.Destination.Kind), i.Messages, why[:1]})
	}
	return list, total
}

// standsStill reports whether a queue holds messages that nothing moves; out is its rate. It is cheap.
func standsStill(i *broker.QueueInfo, out float64) bool {
	switch {
	case i.Messages == 0:
		return i.Parked > 0
	case i.Paused, i.Parked > 0, i.Ready > 0 && i.Consumers == 0:
		return true
	case i.Ready == 0:
		return false
	}
	return out < 0.05 && i.Ready > i.Delayed
}

func mostMessages(list []broker.QueueInfo) []broker.QueueInfo {
	slices.SortFunc(list, func(a, b broker.QueueInfo) int {
		return cmp.Or(cmp.Compare(b.Messages, a.Messages), strings.Compare(a.Destination.Name, b.Destination.Name))
	})
	return list[:min(len(list), maxAttention)]
}

// overviewData is the overview as a page shows it.
type overviewData struct {
	overviewView
	Attention []attention
	Still     int // queues that stand still, of which Attention has some
	Trashed   int // purges and deletions that can be undone
	LiveURL   string
	Depth     chart
	Rates     chart
	Ranges    []rangeLink
}
