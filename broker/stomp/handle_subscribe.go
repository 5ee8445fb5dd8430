package stomp

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"time"

	"treadmq/broker"
	"treadmq/broker/stomp/frame"
)

// ackMode is what the header ack of SUBSCRIBE says.
type ackMode uint8

const (
	modeAuto ackMode = iota
	modeClient
	modeIndividual
)

// subscription is one SUBSCRIBE. It does not change.
type subscription struct {
	core        *broker.Subscription
	id          string // header id; empty in 1.0 without one
	destination string // as the client wrote it
	durable     string // name of the durable subscription that it consumes from, or ""
	form        string // in which it wants the broker's figures, see figuresForm
	mode        ackMode
	browser     bool
	replies     bool // made by reply-to, see awaitReplies
	version     frame.Version
	header      []byte // the header subscription of MESSAGE, encoded; may be empty in 1.0
	bytes       int    // of the client's headers kept for it
}

// handleSubscribe carries out SUBSCRIBE. STOMP 1.2, SUBSCRIBE; headers as semantics 2.4.
func (s *session) handleSubscribe(f *frame.Frame) error {
	sub, err := s.readSubscription(f)
	if err != nil {
		return err
	}
	receipt, wanted, err := receiptOf(f)
	if err != nil {
		return err
	}
	opts, err := s.subscribeOptions(f, sub)
	if err != nil {
		return err
	}
	if err := s.declare(f, opts.Dests); err != nil {
		return err
	}
	s.endReplies(sub.destination)
	if sub.core, err = s.conn.Subscribe(opts); err != nil {
		return err
	}
	s.enlist(sub)
	s.subBytes += sub.bytes
	if wanted {
		s.out.receipt(s.version, receipt, nil, sub.core)
	} else {
		sub.core.Start()
	}
	return nil
}

func (s *session) readSubscription(f *frame.Frame) (*subscription, error) {
	id, ok := f.Get("id")
	switch {
	case !ok && s.version != frame.V10:
		return nil, requestFault(broker.CodeBadRequest, "SUBSCRIBE without id", "from STOMP 1.1 on SUBSCRIBE needs a header id")
	case len(id) > maxName:
		return nil, requestFault(broker.CodeLimit, "subscription id too long", "it has %d bytes, more than %d", len(id), maxName)
	case ok && s.byID[string(id)] != nil:
		return nil, requestFault(broker.CodeInUse, "subscription id in use", "the connection has a subscription with the id %q", id)
	case len(s.subscriptions()) >= s.srv.opts.MaxSubscriptions:
		return nil, requestFault(broker.CodeLimit, "too many subscriptions", "a connection may have %d", s.srv.opts.MaxSubscriptions)
	}
	mode, err := readAckMode(f)
	if err != nil {
		return nil, err
	}
	dest, ok := f.Get("destination")
	if !ok {
		return nil, requestFault(broker.CodeBadDestination, "no destination", "SUBSCRIBE needs a header destination")
	}
	sub := &subscription{id: string(id), destination: string(dest), mode: mode, version: s.version}
	if ok := len(id) > 0 || s.version != frame.V10; ok {
		sub.header = frame.AppendHeader(nil, s.version, "subscription", id)
	}
	sub.browser = isTrue(f, "browser")
	if v, ok := f.Get(hdrTransformation); ok {
		sub.form = figuresForm(v)
	}
	return sub, nil
}

func readAckMode(f *frame.Frame) (ackMode, error) {
	switch v, _ := f.Get("ack"); string(v) {
	case "", "auto":
		return modeAuto, nil
	case "client":
		return modeClient, nil
	case "client-individual":
		return modeIndividual, nil
	default:
		return 0, requestFault(broker.CodeBadRequest, "bad ack mode", "ack is %q; it must be auto, client or client-individual", v)
	}
}

// notOfferedSubscribe are headers of SUBSCRIBE without which the subscription would not be what the client wants.
var notOfferedSubscribe = [...]string{"from-seq", "from-time", "include-seq", "x-stream-offset", "x-queue-name",
	"x-max-rate", "x-key-concurrency", "x-fair", "x-max-deliveries", "x-dead-letter-to", "x-max-body"}

func notOfferedHeader(f *frame.Frame) error {
	for _, name := range notOfferedSubscribe {
		if _, ok := f.Get(name); ok && !(name == "x-queue-name" && asksDurable(f)) {
			return requestFault(broker.CodeNotOffered, "not offered: "+name, "this version does not carry out the header %s of SUBSCRIBE", name)
		}
	}
	return nil
}

func (s *session) subscribeOptions(f *frame.Frame, sub *subscription) (broker.SubscribeOptions, error) {
	var none broker.SubscribeOptions
	if err := notOfferedHeader(f); err != nil {
		return none, err
	}
	kind, _ := f.Get("subscription-type")
	bare, err := bareKind(kind)
	if err != nil {
		return none, err
	}
	parsed, err := parseDest(sub.destination, bare, true, s)
	if err != nil {
		return none, err
	}
	if len(parsed.present) > 0 {
		if err := s.conn.Authorize(broker.RightRead, parsed.dests...); err != nil {
			return none, err // before anything is said of what there is
		}
	}
	if err := s.mustExist(parsed.present); err != nil {
		return none, err
	}
	selector, _ := f.Get("selector")
	end, _ := f.Get("browser-end")
	sub.bytes = len(sub.id) + len(sub.header) + len(sub.destination) + len(selector)
	if s.subBytes+sub.bytes > maxSubBytes {
		return none, requestFault(broker.CodeLimit, "subscriptions too large",
			"the destinations and selectors of a connection's subscriptions may have %d bytes together", maxSubBytes)
	}
	o := broker.SubscribeOptions{
		ID: sub.id, Dests: parsed.dests, Selector: string(selector), Auto: sub.mode == modeAuto, Browser: sub.browser,
		Tail:        sub.browser && string(end) == "false", // Apollo's
		Exclusive:   isTrue(f, "activemq.exclusive") || isTrue(f, "exclusive"),
		Retroactive: isTrue(f, "activemq.retroactive") || isTrue(f, "retroactive"),
		NoLocal:     isTrue(f, "activemq.noLocal") || isTrue(f, "no-local") || isTrue(f, "noLocal"),
	}
	err = setWindow(&o, func(name string) ([]byte, bool) { return f.Get(name) })
	if err == nil && len(parsed.options) > 0 {
		err = setOptions(&o, parsed.options)
	}
	if err != nil {
		return none, err
	}
	if v, ok := f.Get("x-ack-timeout"); ok {
		ms, err := number("x-ack-timeout", v)
		if err != nil {
			return none, err
		}
		o.AckTimeout = time.Duration(min(ms, maxAckTimeout.Milliseconds())) * time.Millisecond
	}
	if v, ok := f.Get("x-max-messages"); ok {
		n, err := number("x-max-messages", v)
		if err != nil {
			return none, err
		}
		o.Most = uint64(n)
	}
	s.applyDialect(&o, f)
	o.Shared = isTrue(f, "x-shared") || s.listener.Dialect == DialectRabbitMQ
	o.Durable, err = s.durable(f, sub, &o)
	if o.Durable != nil {
		sub.durable = o.Durable.Name
	}
	return o, err
}

// setOptions applies ?consumer.X=Y of a destination, where the headers say nothing: the same keys, without prefix.
func setOptions(o *broker.SubscribeOptions, options []destOption) error {
	find := func(name string) ([]byte, bool) {
		for _, opt := range options {
			if opt.name == strings.TrimPrefix(name, "activemq.") {
				return []byte(opt.value), true
			}
		}
		return nil, false
	}
	flag := func(names ...string) bool {
		return slices.ContainsFunc(names, func(n string) bool { v, _ := find(n); return string(v) == "true" })
	}
	own := broker.SubscribeOptions{}
	if err := setWindow(&own, find); err != nil {
		return err
	}
	o.Exclusive = o.Exclusive || flag("exclusive")
	o.NoLocal = o.NoLocal || flag("noLocal", "no-local")
	o.Retroactive = o.Retroactive || flag("retroactive")
	setDefault(&o.Prefetch, own.Prefetch)
	setDefault(&o.PrefetchBytes, own.PrefetchBytes)
	setDefault(&o.Priority, own.Priority)
	setDefault(&o.PendingLimit, own.PendingLimit)
	if v, ok := find("selector"); ok && o.Selector == "" {
		o.Selector = string(v)
	}
	return nil
}

// maxAckTimeout bounds x-ack-timeout.
const maxAckTimeout = 30 * 24 * time.Hour

// maxPrefetch bounds a window in messages.
const maxPrefetch = 1 << 20

// setWindow reads how much the client wants to be sent before it acknowledges, and its priority.
func setWindow(o *broker.SubscribeOptions, get func(string) ([]byte, bool)) error {
	for _, name := range [...]string{"activemq.prefetchSize", "prefetch-count"} {
		if v, ok := get(name); ok {
			n, err := number(name, v)
			if err != nil {
				return err
			}
			o.Prefetch = int(min(max(n, 1), maxPrefetch)) // semantics 4 #5: 0 means 1
			break
		}
	}
	if err := setWindowBytes(o, get); err != nil {
		return err
	}
	for _, name := range [...]string{"activemq.priority", "x-priority"} {
		if v, ok := get(name); ok {
			n, err := consumerPriority(name, v)
			if err != nil {
				return err
			}
			o.Priority = n
			break
		}
	}
	if v, ok := get("activemq.maximumPendingMessageLimit"); ok {
		n, err := number("activemq.maximumPendingMessageLimit", v)
		if err != nil {
			return err
		}
		o.PendingLimit = int(min(n, maxPrefetch))
	}
	return nil
}

// setWindowBytes reads consumer-window-size (bytes; -1 no limit, 0 one message at a time) and credit:count[,bytes].
func setWindowBytes(o *broker.SubscribeOptions, get func(string) ([]byte, bool)) error {
	if v, ok := get("consumer-window-size"); ok && string(v) != "-1" {
		n, err := number("consumer-window-size", v)
		if err != nil {
			return err
		}
		if o.PrefetchBytes = n; n == 0 {
			o.Prefetch = 1
		}
	}
	v, ok := get("credit")
	if !ok {
		return nil
	}
	count, size, both := bytes.Cut(v, []byte{','})
	n, err := number("credit", count)
	if err != nil {
		return err
	}
	o.Prefetch = int(min(max(n, 1), maxPrefetch))
	if both {
		o.PrefetchBytes, err = number("credit", size)
	}
	return err
}

// consumerPriority reads a consumer's priority, which may be negative.
func consumerPriority(name string, value []byte) (int, error) {
	digits, negative := bytes.CutPrefix(bytes.Trim(value, " "), []byte{'-'})
	n, err := number(name, digits)
	if err != nil {
		return 0, err
	}
	n = min(n, 1<<20)
	if negative {
		n = -n
	}
	return int(n), nil
}

func isTrue(f *frame.Frame, name string) bool {
	v, ok := f.Get(name)
	return ok && bytes.EqualFold(bytes.Trim(v, " "), []byte("true"))
}

// subscriptions returns the connection's subscriptions by rising serial. Any goroutine.
func (s *session) subscriptions() []*subscription {
	if p := s.subs.Load(); p != nil {
		return *p
	}
	return nil
}

// subscriptionOf returns the subscription of a delivery, or nil if it has ended. Any goroutine.
func (s *session) subscriptionOf(core *broker.Subscription) *subscription {
	sub := s.bySerial(core.Serial())
	if sub == nil || sub.core != core {
		return nil
	}
	return sub
}

func (s *session) bySerial(serial uint32) *subscription {
	subs := s.subscriptions()
	i, ok := slices.BinarySearchFunc(subs, serial, func(x *subscription, serial uint32) int {
		return int(int64(x.core.Serial()) - int64(serial))
	})
	if !ok {
		return nil
	}
	return subs[i]
}

// enlist makes a subscription known to the writer. Reader only.
func (s *session) enlist(sub *subscription) {
	old := s.subscriptions()
	subs := append(make([]*subscription, 0, len(old)+1), old...)
	subs = append(subs, sub)
	s.subs.Store(&subs)
	if sub.id == "" && s.version == frame.V10 {
		return
	}
	if s.byID == nil {
		s.byID = make(map[string]*subscription)
	}
	s.byID[sub.id] = sub
}

// delist is the reverse of enlist.
func (s *session) delist(sub *subscription) {
	subs := slices.DeleteFunc(slices.Clone(s.subscriptions()), func(x *subscription) bool { return x == sub })
	s.subs.Store(&subs)
	s.subBytes -= sub.bytes
	if s.byID[sub.id] == sub {
		delete(s.byID, sub.id)
	}
}

// handleUnsubscribe carries out UNSUBSCRIBE. STOMP 1.2, UNSUBSCRIBE.
func (s *session) handleUnsubscribe(f *frame.Frame) error {
	sub, err := s.findSubscription(f)
	if err != nil {
		return err
	}
	durable := s.unsubscribed(f, sub)
	if durable != "" {
		sub = s.consumesDurable(durable)
	}
	if sub != nil {
		s.endSubscription(sub)
	}
	if durable != "" {
		err = s.deleteDurable(durable)
	}
	if gone(err) || (sub == nil && durable == "") {
		if _, ok := f.Get("receipt"); !ok {
			return nil // semantics 1.4: nobody waits for an answer
		}
		return requestFault(broker.CodeNoSubscription, "no such subscription", "the connection has no subscription of that id or destination")
	}
	if err != nil {
		return err
	}
	return s.receipt(f)
}

// gone reports whether an error says that there is no such destination.
func gone(err error) bool {
	var e *broker.Error
	return errors.As(err, &e) && e.Code == broker.CodeNoDestination
}

func (s *session) endSubscription(sub *subscription) {
	if sub.mode == modeAuto {
		sub.core.Stop()
		s.out.delivered() // what the client has already got is acknowledged, and does not go back
	}
	sub.core.Close()
	s.delist(sub)
}

// findSubscription finds what UNSUBSCRIBE means: by id, or without one by destination, the first.
func (s *session) findSubscription(f *frame.Frame) (*subscription, error) {
	if id, ok := f.Get("id"); ok {
		return s.byID[string(id)], nil
	}
	dest, ok := f.Get("destination")
	if _, _, named := s.durableNamed(f); !ok && named {
		return nil, nil // it is meant by that name
	}
	if !ok {
		return nil, requestFault(broker.CodeBadRequest, "UNSUBSCRIBE without id", "UNSUBSCRIBE needs the header id of its SUBSCRIBE")
	}
	for _, sub := range s.subscriptions() {
		if sub.destination == string(dest) {
			return sub, nil
		}
	}
	return nil, nil
}
