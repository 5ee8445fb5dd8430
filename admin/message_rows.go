package admin

import (
	"html/template"
	"strconv"
	"strings"

	"treadmq/broker"
)

// messageTable is what the rows of a list of messages have in common.
type messageTable struct {
	ui     *ui
	of     broker.Destination
	ticks  bool // messages can be chosen
	bodies bool
	text   func(string) string
	reason func(string) string // of death, for people
}

// rows makes the rows of a list of messages. They are made here, as those of queues are.
func (t *messageTable) rows(items []messageView) template.HTML {
	esc := template.HTMLEscapeString
	opens := func(key, class string) string {
		return `<td data-label="` + esc(t.text(key)) + `" class="` + class + `">`
	}
	time, size, priority, deliveries, body := opens("message.time", "wide t"), opens("message.size", "n"), opens("message.priority", "n"),
		opens("message.deliveries", "n"), opens("message.body", "preview")
	transient := ` <span class="tag">` + esc(t.text("message.transient")) + "</span>"
	kind := kindName(t.of.Kind)
	const closes = "</td>\n"
	var b strings.Builder
	for i := range items {
		m := &items[i]
		id := esc(m.ID)
		b.WriteString("<tr>\n")
		if t.ticks {
			b.WriteString(`<td class="tick"><input type="checkbox" name="at" value="` + esc(m.Cursor) + `" aria-label="` + id + `">` + closes)
		}
		b.WriteString(`<td class="name"><a href="` + esc(t.ui.url("/admin/queue/message", "name", t.of.Name, "kind", kind, "at", m.Cursor)) + `">` + id + "</a>")
		if reason := m.Headers.get(broker.PropDeathReason); reason != "" {
			b.WriteString(` <span class="tag bad">` + esc(t.reason(reason)) + "</span>")
		}
		if !m.Persistent {
			b.WriteString(transient)
		}
		b.WriteString(closes)
		b.WriteString(time + formatMillis(m.Timestamp) + closes)
		b.WriteString(size + formatBytes(float64(m.Size)) + closes)
		b.WriteString(priority + strconv.Itoa(m.Priority) + closes)
		b.WriteString(deliveries + strconv.FormatUint(uint64(m.DeliveryCount), 10) + closes)
		if t.bodies {
			b.WriteString(body + esc(preview(m.raw)) + closes)
		}
		b.WriteString("</tr>\n")
	}
	return template.HTML(b.String())
}
