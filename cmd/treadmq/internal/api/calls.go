package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Item is one object of an answer: its JSON, and some fields by name.
type Item struct {
	json.RawMessage
	fields map[string]any
}

// UnmarshalJSON keeps the object as it came.
func (i *Item) UnmarshalJSON(b []byte) error {
	i.RawMessage = append(json.RawMessage(nil), b...)
	i.fields = nil
	return nil
}

// Text is a field as text: a string as it is, a number or a bool as JSON writes it,
// empty when there is none.
func (i *Item) Text(field string) string { return text(i.Sub(field)) }

// Short is a field as text for people: as Text, but with one digit behind the point of a number.
func (i *Item) Short(field string) string { return short(i.Sub(field)) }

// Sub is a field as it was decoded; a number is a json.Number.
func (i *Item) Sub(field string) any {
	if i.fields == nil {
		i.fields = map[string]any{}
		d := newDecoder(i.RawMessage)
		d.Decode(&i.fields)
	}
	return i.fields[field]
}

// Texts is a field that is a list of strings.
func (i *Item) Texts(field string) (list []string) {
	values, _ := i.Sub(field).([]any)
	for _, v := range values {
		list = append(list, text(v))
	}
	return list
}

// Int is a field that is a whole number, 0 when there is none.
func (i *Item) Int(field string) int64 {
	n, _ := strconv.ParseInt(i.Text(field), 10, 64)
	return n
}

// Float is a field that is a number, 0 when there is none.
func (i *Item) Float(field string) float64 {
	f, _ := strconv.ParseFloat(i.Text(field), 64)
	return f
}

// Object is a field that is an object; one without fields when there is none.
func (i *Item) Object(field string) *Item {
	m, _ := i.Sub(field).(map[string]any)
	if m == nil {
		m = map[string]any{}
	}
	return &Item{fields: m}
}

// List is what to ask of a list of destinations. Empty fields mean the broker's defaults.
type List struct {
	Filter string // part of the name
	Sort   string // field
	Order  string // asc or desc
}

type page struct {
	Items []Item `json:"items"`
	Next  string `json:"next"`
	Total int64  `json:"total"`
}

// Destinations calls each for every destination of a kind ("queues" or "topics"), page by
// page, until each returns false or an error.
func (c *Client) Destinations(ctx context.Context, kind string, l List, each func(Item) (bool, error)) error {
	q := url.Values{}
	for k, v := range map[string]string{"filter": l.Filter, "sort": l.Sort, "order": l.Order} {
		if v != "" {
			q.Set(k, v)
		}
	}
	return c.pages(ctx, path(kind), q, each)
}

func (c *Client) pages(ctx context.Context, path string, q url.Values, each func(Item) (bool, error)) error {
	if c.Limit > 0 {
		q.Set("limit", strconv.Itoa(c.Limit))
	}
	for {
		var p page
		if err := c.do(ctx, http.MethodGet, path, q, nil, &p); err != nil {
			return err
		}
		for _, item := range p.Items {
			if more, err := each(item); err != nil || !more {
				return err
			}
		}
		if p.Next == "" || p.Next == q.Get("cursor") {
			return nil
		}
		q.Set("cursor", p.Next)
	}
}

// Destination asks for one destination of a kind ("queues" or "topics").
func (c *Client) Destination(ctx context.Context, kind, name string) (item Item, err error) {
	err = c.do(ctx, http.MethodGet, path(kind, name), nil, nil, &item)
	return item, err
}

// CreateQueue makes a queue; one that is there already is no error.
func (c *Client) CreateQueue(ctx context.Context, name string) error {
	return c.do(ctx, http.MethodPut, path("queues", name), nil, nil, nil)
}

// CreateSubscription makes a durable subscription, or makes one anew that is there
// with other topics or another selector.
func (c *Client) CreateSubscription(ctx context.Context, name, clientID string, topics []string, selector string) error {
	body := map[string]any{"topics": topics, "selector": selector, "clientId": clientID}
	return c.do(ctx, http.MethodPut, path("subscriptions", name), nil, body, nil)
}

// Removal is what came of a purge or a deletion.
type Removal struct {
	Removed   int64  // messages
	UndoID    uint32 // its number in the trash, 0: it cannot be undone
	UndoUntil string // RFC 3339
}

type removal struct {
	Removed int64 `json:"removed"`
	Undo    struct {
		ID    uint32 `json:"id"`
		Until string `json:"until"`
	} `json:"undo"`
}

func (r *removal) public() Removal { return Removal{r.Removed, r.Undo.ID, r.Undo.Until} }

// Delete removes a destination with its messages; force also when it is in use. With undo they go to the trash.
func (c *Client) Delete(ctx context.Context, kind, name string, force, undo bool) (Removal, error) {
	q := undoQuery(undo)
	if force {
		q.Set("force", "true")
	}
	var answer removal
	err := c.do(ctx, http.MethodDelete, path(kind, name), q, nil, &answer)
	return answer.public(), err
}

func undoQuery(undo bool) url.Values {
	if undo {
		return url.Values{}
	}
	return url.Values{"undo": {"false"}}
}

// Purge removes all messages of a queue. With undo they go to the trash.
func (c *Client) Purge(ctx context.Context, queue string, undo bool) (Removal, error) {
	var answer removal
	err := c.do(ctx, http.MethodPost, path("queues", queue, "purge"), undoQuery(undo), struct{}{}, &answer)
	return answer.public(), err
}

// Life asks what is known of a message, by its id.
func (c *Client) Life(ctx context.Context, id string) ([]Item, error) {
	var answer struct {
		Events []Item `json:"events"`
	}
	err := c.do(ctx, http.MethodGet, path("life", id), nil, nil, &answer)
	return answer.Events, err
}

// Trace notes for a while what happens to each message of a queue; 0 ends it.
func (c *Client) Trace(ctx context.Context, queue string, span time.Duration) (item Item, err error) {
	q := url.Values{"seconds": {strconv.Itoa(int(span.Seconds()))}}
	err = c.do(ctx, http.MethodPost, path("queues", queue, "trace"), q, struct{}{}, &item)
	return item, err
}

// Trash asks for what can be undone.
func (c *Client) Trash(ctx context.Context) ([]Item, error) {
	var p page
	err := c.do(ctx, http.MethodGet, path("trash"), nil, nil, &p)
	return p.Items, err
}

// Restore undoes a purge or deletion.
func (c *Client) Restore(ctx context.Context, id string) (item Item, err error) {
	err = c.do(ctx, http.MethodPost, path("trash", id, "restore"), nil, struct{}{}, &item)
	return item, err
}

// DropTrash removes for good what a purge or deletion has left.
func (c *Client) DropTrash(ctx context.Context, id string) error {
	return c.do(ctx, http.MethodDelete, path("trash", id), nil, nil, nil)
}

// Schedules chooses schedules. Empty fields mean all.
type Schedules struct {
	From, To    string // by the next delivery, both included: ms since 1970 or RFC 3339
	Destination string // as in SEND
}

func (s Schedules) values() url.Values {
	q := url.Values{}
	for k, v := range map[string]string{"from": s.From, "to": s.To, "destination": s.Destination} {
		if v != "" {
			q.Set(k, v)
		}
	}
	return q
}

// Schedules calls each for schedules in order of their next delivery, until each
// returns false or an error.
func (c *Client) Schedules(ctx context.Context, s Schedules, each func(Item) (bool, error)) error {
	return c.pages(ctx, path("schedules"), s.values(), each)
}

// Schedule asks for one schedule, with the body of its message.
func (c *Client) Schedule(ctx context.Context, id string) (item Item, err error) {
	err = c.do(ctx, http.MethodGet, path("schedules", id), url.Values{"body": {"true"}}, nil, &item)
	return item, err
}

// CancelSchedule ends one schedule.
func (c *Client) CancelSchedule(ctx context.Context, id string) error {
	return c.do(ctx, http.MethodDelete, path("schedules", id), nil, nil, nil)
}

// CancelSchedules ends all schedules that s chooses and tells how many.
func (c *Client) CancelSchedules(ctx context.Context, s Schedules) (removed int64, err error) {
	q := s.values()
	q.Set("all", "true")
	var answer struct {
		Removed int64 `json:"removed"`
	}
	err = c.do(ctx, http.MethodDelete, path("schedules"), q, nil, &answer)
	return answer.Removed, err
}

// RunSchedule delivers a schedule's message now.
func (c *Client) RunSchedule(ctx context.Context, id string) error {
	return c.do(ctx, http.MethodPost, path("schedules", id, "run"), nil, struct{}{}, nil)
}

// Overview asks for the broker as a whole.
func (c *Client) Overview(ctx context.Context) (item Item, err error) {
	err = c.do(ctx, http.MethodGet, path("overview"), nil, nil, &item)
	return item, err
}

// Search says which messages of a queue are meant.
type Search struct{ Selector, Text string }

// Find calls each for every message of a queue that matches, oldest first, without
// consuming any, until each returns false or an error.
func (c *Client) Find(ctx context.Context, queue string, s Search, bodies bool, each func(Item) (bool, error)) error {
	q := url.Values{}
	if bodies {
		q.Set("body", "true")
	}
	for k, v := range map[string]string{"selector": s.Selector, "text": s.Text} {
		if v != "" {
			q.Set(k, v)
		}
	}
	return c.pages(ctx, path("queues", queue, "messages"), q, each)
}

// FindFrom calls each for every message of a queue behind a cursor, with its body.
func (c *Client) FindFrom(ctx context.Context, queue, cursor string, each func(Item) (bool, error)) error {
	q := url.Values{"body": {"true"}}
	if cursor != "" {
		q.Set("cursor", cursor)
	}
	return c.pages(ctx, path("queues", queue, "messages"), q, each)
}

// Message asks for one message, by the cursor of a list.
func (c *Client) Message(ctx context.Context, queue, at string) (item Item, err error) {
	err = c.do(ctx, http.MethodGet, path("queues", queue, "messages", at), nil, nil, &item)
	return item, err
}

// Has reports whether a queue holds a message that a selector lets through. There need
// be no such queue.
func (c *Client) Has(ctx context.Context, queue, selector string) (found bool, err error) {
	err = c.Find(ctx, queue, Search{Selector: selector}, false, func(Item) (bool, error) {
		found = true
		return false, nil
	})
	if no := (*Error)(nil); errors.As(err, &no) && no.Status == http.StatusNotFound {
		err = nil
	}
	return found, err
}

// Send sends a message to a queue and returns when it is stored.
func (c *Client) Send(ctx context.Context, queue string, message any) error {
	return c.do(ctx, http.MethodPost, path("queues", queue, "messages"), nil, message, nil)
}

// Action is something to do with messages of a queue, as the API takes it.
type Action struct {
	Action   string `json:"action"`
	To       string `json:"to,omitempty"`
	Selector string `json:"selector,omitempty"`
	Text     string `json:"text,omitempty"`
	Limit    int64  `json:"limit,omitempty"`
	Rate     int    `json:"rate,omitempty"`
	DryRun   bool   `json:"dryRun,omitempty"`
	NoUndo   bool   `json:"noUndo,omitempty"`

	At []string `json:"at,omitempty"` // cursors of single messages, at most MaxAt
}

// MaxAt is how many messages one action can name.
const MaxAt = 500

// Act begins an action. The answer is its job, perhaps ended already.
func (c *Client) Act(ctx context.Context, queue string, a Action) (job Item, err error) {
	err = c.do(ctx, http.MethodPost, path("queues", queue, "actions"), nil, a, &job)
	return job, err
}

// Job asks how far an action is.
func (c *Client) Job(ctx context.Context, id string) (job Item, err error) {
	err = c.do(ctx, http.MethodGet, path("jobs", id), nil, nil, &job)
	return job, err
}

// CancelJob ends an action; what it has done stays done.
func (c *Client) CancelJob(ctx context.Context, id string) (job Item, err error) {
	err = c.do(ctx, http.MethodDelete, path("jobs", id), nil, nil, &job)
	return job, err
}

// Pause stops a queue's deliveries, or resumes them.
func (c *Client) Pause(ctx context.Context, queue string, paused bool) (item Item, err error) {
	verb := "resume"
	if paused {
		verb = "pause"
	}
	err = c.do(ctx, http.MethodPost, path("queues", queue, verb), nil, struct{}{}, &item)
	return item, err
}

// DeadLetters asks for groups of dead letters.
func (c *Client) DeadLetters(ctx context.Context) (items []Item, err error) {
	var p page
	err = c.do(ctx, http.MethodGet, path("deadletters"), nil, nil, &p)
	return p.Items, err
}

// DeadTotal tells how many dead letters there are.
func (c *Client) DeadTotal(ctx context.Context) (int64, error) {
	var p page
	err := c.do(ctx, http.MethodGet, path("deadletters"), nil, nil, &p)
	return p.Total, err
}

// Health is what a broker says of itself to whoever asks.
type Health struct {
	Ready   bool     `json:"-"`
	Role    string   `json:"role"`
	Reasons []string `json:"reasons"`
}

// Ready asks whether clients are taken. A broker that takes none is no error.
func (c *Client) Ready(ctx context.Context) (h Health, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base.String()+"/readyz", nil)
	if err != nil {
		return h, err
	}
	req.Header.Set("User-Agent", c.o.Agent)
	resp, err := c.http.Do(req)
	if err != nil {
		return h, err
	}
	defer resp.Body.Close()
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if kind != "application/json" {
		return h, fmt.Errorf("%w: it answered %s", ErrNoAPI, resp.Status)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxProblem)).Decode(&h); err != nil {
		return h, fmt.Errorf("%w: %w", ErrNoAPI, err)
	}
	h.Ready = resp.StatusCode == http.StatusOK
	return h, nil
}

// CloseConnection ends a connection; its client is told why.
func (c *Client) CloseConnection(ctx context.Context, serial, reason string) error {
	return c.do(ctx, http.MethodDelete, path("connections", serial), url.Values{"reason": {reason}}, nil, nil)
}
