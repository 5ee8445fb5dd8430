package admin

import (
	"strings"

	"treadmq/broker"
)

// finding is a sentence about a queue: a key of the texts and what goes into it.
type finding struct {
	key  string
	args []any
}

// whyLooked messages at the head of a queue are compared with selectors.
const whyLooked = 50

// why says in words what keeps a queue's messages from moving, or that they move.
func (s *Server) why(info *broker.QueueInfo, subs []broker.SubscriptionInfo) []finding {
	var list []finding
	say := func(key string, args ...any) { list = append(list, finding{key, args}) }
	if s.b.StoreStats().Failed != nil {
		say("why.failed")
	}
	if info.Paused {
		say("why.paused")
	}
	if info.Parked > 0 {
		say("why.full", formatNumber(info.Parked), formatNumber(info.Messages))
	}
	if info.Messages == 0 {
		if len(list) == 0 {
			say("why.empty")
		}
		return list
	}
	if info.Delayed > 0 {
		say("why.delayed", formatNumber(info.Delayed))
	}
	switch waiting, selective := countConsumers(subs); {
	case len(subs) == 0 && s.isDeadLetterQueue(info.Destination):
		say("why.deadletters", formatNumber(info.Messages))
	case len(subs) == 0:
		say("why.nobody", formatNumber(info.Messages))
	case info.Ready <= 0:
		if info.InFlight > 0 {
			say("why.held", formatNumber(info.InFlight), formatNumber(len(subs)))
		}
	case waiting == len(subs):
		say("why.slow", formatNumber(len(subs)), formatNumber(info.InFlight))
	case selective == len(subs) && !s.anyWanted(info.Destination, subs):
		say("why.selectors", formatNumber(len(subs)))
	case subs[0].Exclusive && len(subs) > 1:
		say("why.exclusive", formatNumber(len(subs)-1))
	}
	if len(list) == 0 {
		say("why.moves")
	}
	return list
}

// isDeadLetterQueue reports whether dead letters go there, by the default or by the queue's own policy.
func (s *Server) isDeadLetterQueue(d broker.Destination) bool {
	if d.Name == broker.DefaultPolicy().DeadLetter.Queue || strings.HasPrefix(d.Name, "DLQ.") {
		return true
	}
	return s.opt.Policy != nil && s.opt.Policy(d).DeadLetter.Queue == d.Name
}

func countConsumers(subs []broker.SubscriptionInfo) (waiting, selective int) {
	for i := range subs {
		if subs[i].NoCredit {
			waiting++
		}
		if subs[i].Selector != "" {
			selective++
		}
	}
	return waiting, selective
}

// anyWanted reports whether a consumer wants one of the first messages.
func (s *Server) anyWanted(d broker.Destination, subs []broker.SubscriptionInfo) bool {
	list, _, _, err := s.b.Browse(d, broker.Cursor{}, whyLooked, bulkBytes)
	if err != nil {
		return true
	}
	for i := range subs {
		m, err := s.b.NewMatcher(subs[i].Selector, "")
		if err != nil {
			return true
		}
		for j := range list {
			if m.Matches(&list[j]) {
				return true
			}
		}
	}
	return len(list) == 0
}

// whyTexts words findings in one language.
func (u *ui) whyTexts(lang string, list []finding) []string {
	texts := []string{}
	for _, f := range list {
		texts = append(texts, u.textIn(lang, f.key, f.args...))
	}
	return texts
}
