package admin

import (
	"strings"

	"treadmq/broker"
	"treadmq/notice"
)

// causeOf says why a message died: the broker's words, and the client's behind them as they are.
func causeOf(text string) notice.Notice {
	own, client, more := strings.Cut(text, ": ")
	var n notice.Notice
	switch attempts, exhausted := broker.Exhausted(own); {
	case own == broker.CauseRejected:
		n = notice.New("dead.rejected", broker.CauseRejected)
	case own == broker.CauseExpired:
		n = notice.New("dead.expired", broker.CauseExpired)
	case exhausted:
		n = notice.New("dead.exhausted", "it was delivered %d times and never acknowledged", attempts)
	default:
		return notice.English(text)
	}
	if more {
		n = notice.New("dead.said", "%s: %s", n, client)
	}
	return n
}

// Said is the cause for a page.
func (g *deadGroup) Said() notice.Notice { return causeOf(g.Cause) }

// Reason is a reason of death in the page's language; one that another broker gave stays as it is.
func (p *page) Reason(code string) string { return p.ui.reasonIn(p.Lang, code) }

func (u *ui) reasonIn(lang, code string) string {
	if text, ok := u.texts[lang]["dead.why."+code]; ok {
		return text
	}
	return code
}
