package admin

import (
	"html/template"
	"strconv"
	"strings"

	"treadmq/broker"
)

// messageRows makes the rows of a list of messages. Most of their cells are made here, as those of queues are.
func messageRows(items []messageView, bodies bool, text func(string) string) []messageRow {
	opens := func(key, class string) string {
		return `<td data-label="` + template.HTMLEscapeString(text(key)) + `" class="` + class + `">`
	}
	time, size, priority, deliveries, body := opens("message.time", "wide t"), opens("message.size", "n"), opens("message.priority", "n"),
		opens("message.deliveries", "n"), opens("message.body", "preview")
	const closes = "</td>\n"
	list := make([]messageRow, 0, len(items))
	var b strings.Builder
	for i := range items {
		m := &items[i]
		b.Reset()
		b.WriteString(time + formatMillis(m.Timestamp) + closes)
		b.WriteString(size + formatBytes(float64(m.Size)) + closes)
		b.WriteString(priority + strconv.Itoa(m.Priority) + closes)
		b.WriteString(deliveries + strconv.FormatUint(uint64(m.DeliveryCount), 10) + closes)
		if bodies {
			b.WriteString(body + template.HTMLEscapeString(preview(m.raw)) + closes)
		}
		list = append(list, messageRow{m.ID, m.Cursor, m.Persistent, m.Headers.get(broker.PropDeathReason), template.HTML(b.String())})
	}
	return list
}
