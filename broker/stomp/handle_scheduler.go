package stomp

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"

	"treadmq/broker"
	"treadmq/broker/stomp/frame"
	"treadmq/broker/stomp/sendheader"
)

// Where requests about schedules are sent to: ActiveMQ's destination, as topic or queue, with AMQ_SCHEDULER_ACTION;
// our own with x-action. Semantics 2.3, row Schedule admin.
const (
	schedulerName = "ActiveMQ.Scheduler.Management"
	schedulesDest = "/broker/schedules"
)

// Headers of requests about schedules.
const (
	hdrAction = "x-action"
	hdrJobID  = "scheduledJobId"
	hdrFrom   = "ACTION_START_TIME"
	hdrTo     = "ACTION_END_TIME"
	hdrOnly   = "x-destination"
	hdrLimit  = "x-limit"
	hdrCursor = "x-cursor"
	hdrNext   = "x-next" // on the last answer: the cursor to go on with
)

// Bounds of an answer about schedules.
const (
	defaultListed   = 100
	maxListed       = 1000
	maxBrowsedBytes = 16 << 20
)

// isSchedulerRequest reports whether a SEND is no message but a request about schedules.
func isSchedulerRequest(f *frame.Frame, h *sendHeaders) bool {
	if string(h.destination) == schedulesDest {
		return true
	}
	if _, ok := f.Get(sendheader.SchedulerAction); !ok {
		return false
	}
	name, found := bytes.CutSuffix(h.destination, []byte(schedulerName))
	switch string(name) {
	case "", prefixTopic, prefixQueue, "topic://", "queue://":
		return found
	}
	return false
}

// schedulerRequest is a request about schedules.
type schedulerRequest struct {
	action string // in lower case
	id     string
	query  broker.ScheduleQuery
	reply  broker.Destination // Name "" = none
	corrID []byte
}

// handleScheduler carries out a request about schedules. It is no part of a transaction.
func (s *session) handleScheduler(f *frame.Frame, h *sendHeaders) error {
	if h.has(hTransaction) {
		return requestFault(broker.CodeBadRequest, "not in a transaction", "requests to the scheduler are carried out at once; send them without a header transaction")
	}
	if err := s.conn.Authorize(broker.RightWrite, broker.Destination{Kind: broker.Service, Name: "topic://" + schedulerName}); err != nil {
		return err
	}
	s.flush() // what came before goes first
	r, err := s.readSchedulerRequest(f, h)
	if err != nil {
		return err
	}
	b := s.srv.opts.Broker
	n := int64(0)
	switch r.action {
	case "browse":
		return s.answerAll(h, r)
	case "list":
		return s.answerList(h, r)
	case "remove", "cancel":
		var missing *broker.Error
		err = b.CancelSchedule(r.id)
		switch {
		case err == nil:
			n = 1
		case errors.As(err, &missing) && missing.Code == broker.CodeNoSchedule:
			err = nil
		}
	case "removeall":
		r.query.Cursor = ""
		n, err = b.CancelSchedules(r.query)
	case "run":
		n, err = 1, b.RunSchedule(r.id)
	}
	if err != nil {
		return err
	}
	return s.answerJSON(h, r, map[string]int64{"schedules": n})
}

// readSchedulerRequest reads a request's headers.
func (s *session) readSchedulerRequest(f *frame.Frame, h *sendHeaders) (*schedulerRequest, error) {
	r := &schedulerRequest{corrID: h.correlationID}
	get := headerGetter(f)
	name, action := sendheader.First(get, sendheader.SchedulerAction, hdrAction)
	r.action = strings.ToLower(action)
	needsID, needsReply := false, false
	switch r.action {
	case "browse", "list":
		needsReply = true
	case "remove", "cancel", "run":
		needsID = true
	case "removeall":
	default:
		return nil, badSchedule(orName(name, hdrAction), "it is %.50q; it must be browse, list, run, remove (or cancel) or removeall", action)
	}
	if _, id := sendheader.First(get, hdrJobID, sendheader.ScheduleID); id != "" {
		r.id = id
	}
	if needsID && r.id == "" {
		return nil, badSchedule(hdrJobID, "%s says of which schedule, or %s", hdrJobID, sendheader.ScheduleID)
	}
	if h.has(hReplyTo) {
		d, err := s.replyTo(string(h.replyTo))
		if err != nil {
			return nil, err
		}
		if d.Kind != 0 {
			r.reply = d
		}
	}
	if needsReply && r.reply.Name == "" {
		return nil, badSchedule("reply-to", "it must name the destination for the answer, for example /temp-queue/schedules")
	}
	return r, s.readScheduleQuery(f, &r.query, r.action)
}

func orName(name, otherwise string) string {
	if name == "" {
		return otherwise
	}
	return name
}

// readScheduleQuery reads which schedules are meant.
func (s *session) readScheduleQuery(f *frame.Frame, q *broker.ScheduleQuery, action string) error {
	get := headerGetter(f)
	for _, x := range []struct {
		header string
		at     *time.Time
	}{{hdrFrom, &q.From}, {hdrTo, &q.To}} {
		name, value := sendheader.First(get, x.header)
		if name == "" {
			continue
		}
		n, err := sendheader.Bound(name, value)
		if err != nil {
			return badHeader(err)
		}
		*x.at = time.UnixMilli(n)
	}
	if name, value := sendheader.First(get, hdrOnly); name != "" {
		d, err := parseDest(value, broker.Queue, false, s)
		if err != nil {
			return err
		}
		q.Destination = d.dests[0]
	}
	q.Max = defaultListed
	if action == "browse" {
		q.Max = maxListed
	}
	if name, value := sendheader.First(get, hdrLimit); name != "" {
		n, err := number(name, []byte(value))
		if err != nil {
			return err
		}
		q.Max = int(min(max(n, 1), maxListed))
	}
	_, q.Cursor = sendheader.First(get, hdrCursor)
	return nil
}

// headerGetter returns a frame's headers as text.
func headerGetter(f *frame.Frame) func(name string) string {
	return func(name string) string {
		v, _ := f.Get(name)
		return string(v)
	}
}

// badHeader words what is wrong with a header.
func badHeader(err error) error {
	var bad *sendheader.BadHeader
	if errors.As(err, &bad) {
		return badSchedule(bad.Name, "%s", bad.Text)
	}
	return err
}

func badSchedule(header, format string, args ...any) *fault {
	return requestFault(broker.CodeBadRequest, "bad header "+header, format, args...)
}

// answerAll sends each schedule's message to the destination for the answer, as ActiveMQ does.
func (s *session) answerAll(h *sendHeaders, r *schedulerRequest) error {
	list, next, err := s.readSchedules(r)
	if err != nil {
		return err
	}
	t := s.gather()
	for i := range list {
		cursor := ""
		if i == len(list)-1 {
			cursor = next
		}
		if err := s.answer(t, r, s.browsed(r, &list[i], cursor)); err != nil {
			return err
		}
	}
	s.answered(t, h)
	return nil
}

// storedSchedule is a schedule with its message.
type storedSchedule struct {
	broker.ScheduleInfo
	m *broker.Message
}

// readSchedules reads one answer's worth of schedules with their messages, and the cursor to go on with.
func (s *session) readSchedules(r *schedulerRequest) (list []storedSchedule, next string, err error) {
	b := s.srv.opts.Broker
	q := r.query
	for size := 0; ; q.Cursor = next {
		page, after, err := b.Schedules(q)
		if err != nil {
			return nil, "", err
		}
		next = after
		for i := range page {
			info, m, err := b.Schedule(page[i].ID)
			var gone *broker.Error
			if errors.As(err, &gone) && gone.Code == broker.CodeNoSchedule {
				continue // delivered meanwhile
			}
			if err != nil {
				return nil, "", err
			}
			list = append(list, storedSchedule{info, m})
			if size += m.Size(); size > maxBrowsedBytes && (i < len(page)-1 || next != "") {
				return list, page[i].Cursor, nil
			}
		}
		if next == "" || len(list) > 0 {
			return list, next, nil
		}
	}
}

// browsed makes the answer that shows one schedule.
func (s *session) browsed(r *schedulerRequest, i *storedSchedule, cursor string) *broker.Message {
	b, m := &s.builder, i.m
	b.Reset()
	b.Kind, b.Priority, b.Timestamp = m.BodyKind(), m.Priority(), m.Timestamp()
	b.Flags = m.Flags() &^ broker.FlagPersistent
	for it := m.Fields(); it.Next(); {
		if it.Field != broker.FieldDestination {
			b.SetField(it.Field, it.Value)
		}
	}
	add := func(name, value string) {
		if value != "" {
			b.AddString([]byte(name), []byte(value))
		}
	}
	ms := func(d time.Duration) string {
		if d == 0 {
			return ""
		}
		return strconv.FormatInt(d.Milliseconds(), 10)
	}
	add(hdrJobID, i.ID)
	add(sendheader.ScheduleID, i.Name)
	add(sendheader.DeliverAt, strconv.FormatInt(i.Due.UnixMilli(), 10))
	add(hdrOnly, s.destNames(i.Destinations))
	add(sendheader.Delay, ms(i.Delay))
	add(sendheader.Period, ms(i.Period))
	if i.Repeat != 0 {
		add(sendheader.Repeat, strconv.FormatInt(i.Repeat, 10))
	}
	add(sendheader.Cron, i.Cron)
	add(sendheader.CronZone, i.Zone)
	if !i.Until.IsZero() {
		add(sendheader.Until, strconv.FormatInt(i.Until.UnixMilli(), 10))
	}
	add(hdrNext, cursor)
	for it := m.Properties(); it.Next(); {
		b.AddString(it.Name, it.AppendText(nil))
	}
	return b.Build(r.reply, m.Body())
}

// destNames lists destinations as a header destination does.
func (s *session) destNames(dests []broker.Destination) string {
	var out []byte
	for i, d := range dests {
		if i > 0 {
			out = append(out, ',')
		}
		out = s.aliases.appendDest(out, d)
	}
	return string(out)
}

// answerList answers with one message: a list in JSON.
func (s *session) answerList(h *sendHeaders, r *schedulerRequest) error {
	list, next, err := s.srv.opts.Broker.Schedules(r.query)
	if err != nil {
		return err
	}
	answer := struct {
		Schedules []sendheader.ScheduleView `json:"schedules"`
		Next      string                    `json:"next"` // "" at the end
	}{[]sendheader.ScheduleView{}, next}
	path := func(d broker.Destination) string { return string(s.aliases.appendDest(nil, d)) }
	for i := range list {
		answer.Schedules = append(answer.Schedules, sendheader.NewScheduleView(&list[i], path))
	}
	return s.answerJSON(h, r, answer)
}

// answerJSON answers with one message, if an answer is wanted.
func (s *session) answerJSON(h *sendHeaders, r *schedulerRequest, v any) error {
	t := s.gather()
	if r.reply.Name != "" {
		body, err := json.Marshal(v)
		if err != nil {
			return err
		}
		b := &s.builder
		b.Reset()
		b.Kind, b.Timestamp = broker.BodyText, s.srv.opts.Broker.Now().UnixMilli()
		b.SetField(broker.FieldContentType, []byte("application/json"))
		if r.corrID != nil {
			b.SetField(broker.FieldCorrelationID, r.corrID)
		}
		if err := s.answer(t, r, b.Build(r.reply, body)); err != nil {
			return err
		}
	}
	s.answered(t, h)
	return nil
}

// answer sends an answer. Nobody waits for room for it.
func (s *session) answer(t *ticket, r *schedulerRequest, m *broker.Message) error {
	err := t.work.Send([]broker.Destination{r.reply}, m)
	if errors.Is(err, broker.ErrWouldBlock) {
		return requestFault(broker.CodeFull, "no room for the answer", "the destination %s of reply-to is full", r.reply)
	}
	return err
}

// answered adds the request's own receipt.
func (s *session) answered(t *ticket, h *sendHeaders) {
	if h.has(hReceipt) {
		t.receipts = appendReceipt(t.receipts, s.version, h.receipt)
	}
}
