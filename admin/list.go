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
		return q, badRequest("order is asc or desc.")
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
		return 0, badRequest("limit is a number from 1 to " + strconv.Itoa(maxPage) + ".")
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
	part := strings.ToLower(q.Filter)
	return func(d broker.Destination) bool {
		return (q.Name == "" || d.Name == q.Name) && strings.Contains(strings.ToLower(d.Name), part)
	}
}

// sortable is an item of a list.
type sortable interface {
	sortName() string // unique in the list
}

// figures says by what a list of T can be sorted besides the name.
type figures[T sortable] map[string]func(*T) float64

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
	figure float64
	name   string
}

// place is an item's position while a list is sorted.
type place struct {
	position
	item int // index in the list
}

func (p position) String() string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatFloat(p.figure, 'g', -1, 64) + ":" + p.name))
}

func parsePosition(text string) (position, error) {
	raw, err := base64.RawURLEncoding.DecodeString(text)
	figure, name, ok := strings.Cut(string(raw), ":")
	f, ferr := strconv.ParseFloat(figure, 64)
	if err != nil || ferr != nil || !ok {
		return position{}, badRequest("The cursor is none that a list has given.")
	}
	return position{f, name}, nil
}

// pageOf sorts a list and cuts the page out that was asked for.
func pageOf[T sortable](items []T, q listQuery, by figures[T]) (listPage[T], error) {
	figure := by[q.Sort]
	if figure == nil {
		if q.Sort != "name" {
			return listPage[T]{}, badRequest("The list cannot be sorted by " + strconv.Quote(q.Sort) + ".")
		}
		figure = func(*T) float64 { return 0 }
	}
	at := func(t *T) position { return position{figure(t), (*t).sortName()} }
	order := func(a, b position) int {
		if c := cmp.Compare(a.figure, b.figure); c != 0 {
			if q.Desc {
				return -c
			}
			return c
		}
		if q.Desc && q.Sort == "name" {
			return -strings.Compare(a.name, b.name)
		}
		return strings.Compare(a.name, b.name)
	}
	places := make([]place, len(items)) // what is compared is made once
	for i := range items {
		places[i] = place{at(&items[i]), i}
	}
	slices.SortFunc(places, func(a, b place) int { return order(a.position, b.position) })
	p := listPage[T]{Total: len(items), Items: []T{}}
	if q.Cursor != "" {
		after, err := parsePosition(q.Cursor)
		if err != nil {
			return p, err
		}
		p.from, _ = slices.BinarySearchFunc(places, after, func(x place, target position) int {
			if order(x.position, target) <= 0 {
				return -1
			}
			return 1
		})
	}
	to := min(p.from+q.Limit, len(items))
	for _, x := range places[p.from:to] {
		p.Items = append(p.Items, items[x.item])
	}
	if to < len(items) {
		p.Next = places[to-1].String()
	}
	if p.from > q.Limit {
		p.prev = places[p.from-q.Limit-1].String()
	}
	return p, nil
}
