package admin

import (
	"net/http"
	"slices"
	"strings"
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

// cell is one figure of a row.
type cell struct {
	Key, Kind, Label, Text string
	First                  bool
}

// row is an item of a list with the figures that its columns show.
type row[T sortable] struct {
	Item  T
	Cells []cell
}

// rows makes the rows of a page; spark is the picture of an item.
func rows[T sortable](columns []columnChoice, items []T, of figures[T], spark func(*T) []int, text func(string) string) []row[T] {
	shown := []cell{}
	for _, c := range columns {
		if c.Shown {
			shown = append(shown, cell{Key: c.Key, Kind: c.Kind, Label: text(c.Label), First: len(shown) == 0})
		}
	}
	list := make([]row[T], 0, len(items))
	for i := range items {
		cells := slices.Clone(shown)
		for k := range cells {
			c := &cells[k]
			switch c.Kind {
			case sparkColumn:
				c.Text = sparkline(spark(&items[i]))
			case "rate":
				c.Text = formatRate(of[c.Key](&items[i]))
			case "bytes":
				c.Text = formatBytes(of[c.Key](&items[i]))
			default:
				c.Text = formatNumber(int64(of[c.Key](&items[i])))
			}
		}
		list = append(list, row[T]{items[i], cells})
	}
	return list
}
