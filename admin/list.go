package admin

import (
	"cmp"
	"encoding/base64"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"treadmq/broker"
)

// listQuery is how a list of destinations is asked for: by programs and by pages.
type listQuery struct {
	Filter string // part of the name, whatever its case
	Name   string // the whole name
	Sort   string // "name" or a figure
	Desc   bool
	Limit  int
	Cursor string
}

func parseListQuery(v url.Values) (listQuery, error) {
	q := listQuery{Filter: v.Get("filter"), Name: v.Get("name"), Sort: v.Get("sort"), Cursor: v.Get("cursor"), Limit: defaultPage}
	if q.Sort == "" {
		q.Sort = "name"
	}
	switch v.Get("order") {
	case "", "asc":
	case "desc":
		q.Desc = true
	default:
		return q, bad("error.order", "order is asc or desc.")
	}
	var err error
	q.Limit, err = limitOf(v)
	return q, err
}

func limitOf(v url.Values) (int, error) {
	text := v.Get("limit")
	if text == "" {
		return defaultPage, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, bad("error.limit", "limit is a number from 1 to %d.", maxPage)
	}
	return min(n, maxPage), nil
}

// values is the query in an address.
func (q listQuery) values() []string {
	order := "asc"
	if q.Desc {
		order = "desc"
	}
	limit := ""
	if q.Limit != defaultPage {
		limit = strconv.Itoa(q.Limit)
	}
	if q.Sort == "name" && !q.Desc {
		return []string{"filter", q.Filter, "limit", limit, "cursor", q.Cursor}
	}
	return []string{"filter", q.Filter, "sort", q.Sort, "order", order, "limit", limit, "cursor", q.Cursor}
}

// wants is the filter for the broker.
func (q listQuery) wants() func(broker.Destination) bool {
	if q.Filter == "" && q.Name == "" {
		return func(broker.Destination) bool { return true }
	}
	part := strings.ToLower(q.Filter)
	return func(d broker.Destination) bool {
		return (q.Name == "" || d.Name == q.Name) && strings.Contains(strings.ToLower(d.Name), part)
	}
}

// sortable is an item of a list.
type sortable interface {
	sortKey() (name, kind string) // together unique in the list
}

// figures says by what a list of T can be sorted besides the name.
type figures[T sortable] map[string]func(*T) float64

// by returns the figure that the query wants, nil for the name.
func (f figures[T]) by(q *listQuery) (func(*T) float64, error) {
	if q.Sort == "name" {
		return nil, nil
	}
	if figure := f[q.Sort]; figure != nil {
		return figure, nil
	}
	return nil, bad("error.sort", "The list cannot be sorted by %q.", q.Sort)
}

// listPage is one page of a list.
type listPage[T sortable] struct {
	Items []T    `json:"items"`
	Next  string `json:"next"`
	Total int    `json:"total"`
	prev  string
	from  int // items before this page
}

// position is a place in a sorted list: behind an item that had this figure and
// name, whether it is still there or not.
type position struct {
	figure     float64
	name, kind string
}

// place is an item's position while a list is sorted.
type place struct {
	position
	item int // index in the list
}

func (p position) String() string {
	text := strconv.FormatFloat(p.figure, 'g', -1, 64) + ":" + p.name
	if p.kind != "" {
		text += "\x00" + p.kind
	}
	return base64.RawURLEncoding.EncodeToString([]byte(text))
}

func parsePosition(text string) (position, error) {
	raw, err := base64.RawURLEncoding.DecodeString(text)
	figure, name, ok := strings.Cut(string(raw), ":")
	f, ferr := strconv.ParseFloat(figure, 64)
	if err != nil || ferr != nil || !ok {
		return position{}, bad("error.cursor", "The cursor is none that a list has given.")
	}
	name, kind, _ := strings.Cut(name, "\x00")
	return position{f, name, kind}, nil
}

// order is how the list is sorted.
func (q *listQuery) order(a, b position) int {
	if c := cmp.Compare(a.figure, b.figure); c != 0 {
		if q.Desc {
			return -c
		}
		return c
	}
	c := strings.Compare(a.name, b.name)
	if c == 0 {
		c = strings.Compare(a.kind, b.kind)
	}
	if q.Desc && q.Sort == "name" {
		return -c
	}
	return c
}

// cut is a page's places in a list, and where the pages beside it begin.
type cut struct {
	places     []place
	from       int // items before
	next, prev string
}

// cutPage finds the page that was asked for without sorting the whole list: of many only the nearest are kept.
func cutPage(places []place, q *listQuery) (cut, error) {
	var c cut
	before := nearest{max: q.Limit + 1, order: func(a, b position) int { return -q.order(a, b) }}
	page := nearest{max: q.Limit + 1, order: q.order}
	var after position
	if q.Cursor != "" {
		var err error
		if after, err = parsePosition(q.Cursor); err != nil {
			return c, err
		}
	}
	for i := range places {
		if p := &places[i]; q.Cursor == "" || q.order(p.position, after) > 0 {
			page.add(p)
		} else {
			c.from++
			before.add(p)
		}
	}
	c.places = page.sorted()
	if len(c.places) > q.Limit {
		c.places = c.places[:q.Limit]
		c.next = c.places[q.Limit-1].String()
	}
	if back := before.sorted(); c.from > q.Limit && len(back) > q.Limit {
		c.prev = back[q.Limit].String()
	}
	return c, nil
}

// nearest keeps the first max places in an order.
type nearest struct {
	max   int
	order func(a, b position) int
	kept  []place
	full  bool // kept[max-1] is the last of the first max that were seen at some time
}

func (n *nearest) add(p *place) {
	if n.full && n.order(p.position, n.kept[n.max-1].position) > 0 {
		return
	}
	if n.kept = append(n.kept, *p); len(n.kept) >= 4*n.max {
		n.kept = n.sorted()
		n.full = true
	}
}

func (n *nearest) sorted() []place {
	slices.SortFunc(n.kept, func(a, b place) int { return n.order(a.position, b.position) })
	return n.kept[:min(len(n.kept), n.max)]
}

// pageOf sorts a list and cuts the page out that was asked for.
func pageOf[T sortable](items []T, q listQuery, by figures[T]) (listPage[T], error) {
	figure, err := by.by(&q)
	if err != nil {
		return listPage[T]{}, err
	}
	places := make([]place, len(items))
	for i := range items {
		p := &places[i]
		p.item = i
		if p.name, p.kind = items[i].sortKey(); figure != nil {
			p.figure = figure(&items[i])
		}
	}
	c, err := cutPage(places, &q)
	if err != nil {
		return listPage[T]{}, err
	}
	p := listPage[T]{Total: len(items), Items: make([]T, 0, len(c.places)), Next: c.next, prev: c.prev, from: c.from}
	for _, x := range c.places {
		p.Items = append(p.Items, items[x.item])
	}
	return p, nil
}
