package admin

import (
	"html/template"
	"net/http"
	"slices"
	"strings"

	"treadmq/broker"
)

// Which columns a list shows is everybody's own choice, kept in a cookie for each list.

// column is one that a list can show besides the name.
type column struct {
	Key   string // of the figure, as in the API
	Label string // key of its text
	Kind  string // how it is shown: "num", "rate", "bytes", or "spark" for a picture
	Usual bool   // shown unless somebody chose
}

const (
	columnsCookie = "treadmq-columns-" // the name of the list follows
	sparkColumn   = "spark"
)

// listColumns are the columns of the lists that let their columns be chosen, in their order.
var listColumns = map[string][]column{
	"queues": {
		{"messages", "figure.messages", "num", true}, {sparkColumn, "figure.depth", sparkColumn, true}, {"inFlight", "figure.inflight", "num", true},
		{"consumers", "figure.consumers", "num", true}, {"rateIn", "figure.in", "rate", true}, {"rateOut", "figure.out", "rate", true},
		{"enqueued", "figure.enqueued", "num", true}, {"dequeued", "figure.dequeued", "num", true}, {"ready", "figure.ready", "num", false},
		{"delayed", "figure.delayed", "num", false}, {"bytes", "figure.bytes", "bytes", false}, {"producers", "producers.title", "num", false},
		{"redelivered", "figure.redelivered", "num", false}, {"expired", "figure.expired", "num", false}, {"deadLettered", "figure.dead", "num", false},
		{"dropped", "figure.dropped", "num", false},
	},
	"topics": {
		{"subscribers", "figure.subscribers", "num", true}, {sparkColumn, "chart.lately", sparkColumn, true}, {"rateIn", "figure.in", "rate", true},
		{"rateOut", "figure.out", "rate", true}, {"published", "figure.published", "num", true}, {"delivered", "figure.delivered", "num", true},
		{"dropped", "figure.dropped", "num", true}, {"backlog", "figure.backlog", "num", true},
	},
}

// columnChoice is a column in the form where columns are chosen.
type columnChoice struct {
	column
	Shown bool
}

// columnsOf are the columns of a list, with what the browser's cookie says of them.
func columnsOf(r *http.Request, list string) []columnChoice {
	var chosen []string
	c, err := r.Cookie(columnsCookie + list)
	if err == nil {
		chosen = strings.Split(c.Value, ".")
	}
	var all []columnChoice
	for _, col := range listColumns[list] {
		shown := col.Usual
		if err == nil {
			shown = slices.Contains(chosen, col.Key)
		}
		all = append(all, columnChoice{col, shown})
	}
	return all
}

// setColumns keeps a choice of columns; an empty one is the usual columns again.
func (s *Server) setColumns(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return formError(err)
	}
	list := r.PostForm.Get("list")
	if listColumns[list] == nil {
		return bad("error.columns", "There is no such list with columns to choose.")
	}
	var chosen []string
	ticked := r.PostForm["column"]
	for _, col := range listColumns[list] { // so that nothing else gets into the cookie
		if slices.Contains(ticked, col.Key) && !slices.Contains(ticked, "usual") {
			chosen = append(chosen, col.Key)
		}
	}
	c := &http.Cookie{Name: columnsCookie + list, Value: strings.Join(chosen, "."), Path: s.opt.PathPrefix + "/", HttpOnly: true, Secure: s.opt.Secure,
		SameSite: http.SameSiteStrictMode, MaxAge: 365 * 24 * 3600}
	if len(chosen) == 0 {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
	http.Redirect(w, r, s.opt.PathPrefix+localPath(r.PostForm.Get("back")), http.StatusSeeOther)
	return nil
}

// row is an item of a list with the figures that its columns show.
type row[T sortable] struct {
	Item  T
	Cells template.HTML
}

// Body is all rows of a list whose rows are made here as a whole.
func (d listData[T]) Body() template.HTML {
	var b strings.Builder
	for i := range d.Rows {
		b.WriteString(string(d.Rows[i].Cells))
		b.WriteString("</tr>\n")
	}
	return template.HTML(b.String())
}

// rows makes the rows of a page; first writes what comes before the columns, if the page's template does not, and spark is
// the picture of an item. Their cells are made here and not by a template, which takes most of the time of a list of 100 queues.
func rows[T sortable](columns []columnChoice, items []T, of figures[T], first func(*strings.Builder, *T), spark func(*T) []int, text func(string) string) []row[T] {
	type shown struct {
		column
		opens string
	}
	var cells []shown
	for _, c := range columns {
		if c.Shown {
			cells = append(cells, shown{c.column, c.opens(text(c.Label), len(cells) == 0)})
		}
	}
	list := make([]row[T], 0, len(items))
	var b strings.Builder
	for i := range items {
		b.Reset()
		if first != nil {
			first(&b, &items[i])
		}
		for k := range cells {
			c := &cells[k]
			b.WriteString(c.opens)
			switch c.Kind {
			case sparkColumn:
				b.WriteString(template.HTMLEscapeString(sparkline(spark(&items[i]))) + sparkCloses)
			case "rate":
				b.WriteString(template.HTMLEscapeString(formatRate(of[c.Key](&items[i]))))
			case "bytes":
				b.WriteString(template.HTMLEscapeString(formatBytes(of[c.Key](&items[i]))))
			default:
				b.WriteString(template.HTMLEscapeString(formatNumber(int64(of[c.Key](&items[i])))))
			}
			b.WriteString("</td>\n")
		}
		list = append(list, row[T]{items[i], template.HTML(b.String())})
	}
	return list
}

// queueRow is the beginning of a queue's row: what the script knows it by, its name, and what is special about it.
func (u *ui) queueRow(text func(string) string) func(*strings.Builder, *queueView) {
	esc := template.HTMLEscapeString
	temporary := ` <span class="tag">` + esc(text("list.temporary")) + `</span>`
	tag := func(class, of, says string) [2]string {
		head, tail := ` <span class="`+class+`" data-if="`+of+`"`, ">"+esc(says)+"</span>"
		return [2]string{head + tail, head + " hidden" + tail}
	}
	paused, still := tag("tag", "paused", text("figure.paused")), tag("tag warn", "standsStill", text("still.tag"))
	return func(b *strings.Builder, v *queueView) {
		kind := ""
		if v.Kind != kindName(broker.Queue) {
			kind = v.Kind
		}
		name := esc(v.Name)
		b.WriteString(`<tr data-row="` + v.Kind + ":" + name + "\">\n" + `<td class="name"><a href="` +
			esc(u.url("/admin/queue", "name", v.Name, "kind", kind)) + `">` + name + "</a>")
		if kind != "" {
			b.WriteString(temporary)
		}
		b.WriteString(shownIf(paused, v.Paused) + shownIf(still, v.StandsStill) + "</td>\n")
	}
}

func shownIf(tag [2]string, shown bool) string {
	if shown {
		return tag[0]
	}
	return tag[1]
}

// sparkCloses ends the picture that a cell with a picture opens.
const sparkCloses = `" vector-effect="non-scaling-stroke"/></svg>`

// opens is how a cell of the column begins.
func (c *column) opens(label string, first bool) string {
	label = template.HTMLEscapeString(label)
	if c.Kind == sparkColumn {
		return `<td class="trend" data-label="` + label +
			`"><svg class="row" viewBox="0 0 58 22" preserveAspectRatio="none" aria-hidden="true"><polyline data-heights points="`
	}
	class := "n"
	if first {
		class = "n strong"
	}
	return `<td class="` + class + `" data-label="` + label + `" data-f="` + c.Key + `" data-k="` + c.Kind + `">`
}
