package e2e

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"treadmq/broker"
)

// shopQueues are queues of a shop and how many messages lie in each.
var shopQueues = map[string]int{
	"billing.invoices.created": 0, "billing.invoices.overdue": 38, "billing.payments.captured": 0, "billing.payments.refunds": 4, "catalogue.images.resize": 212,
	"catalogue.import": 0, "catalogue.search.index": 0, "customers.address-check": 0, "customers.newsletter": 640, "customers.signup": 0, "fraud.score.requests": 0,
	"fraud.score.manual-review": 17, "logistics.carrier.dhl.labels": 0, "logistics.carrier.ups.labels": 3, "logistics.returns": 9, "logistics.tracking": 0,
	"mail.bounced": 0, "mail.outgoing": 55, "orders.cancelled": 0, "orders.incoming": 0, "orders.validated": 0, "orders.archive": 900, "prices.recalculate": 0,
	"reports.nightly": 84, "stock.reservations": 0, "stock.updates": 0, "warehouse.pick.hamburg": 0, "warehouse.pick.rotterdam": 31,
	"warehouse.integration.legacy-mainframe-bridge.inbound.article-master-data.delta": 2, "zürich/ä?#%2F": 3, "订单.处理": 12,
}

// flows are queues with traffic: messages a second in, and out.
var shopFlows = []struct {
	name    string
	in, out int
}{
	{"orders.incoming", 60, 60}, {"orders.validated", 55, 55}, {"stock.updates", 120, 120}, {"catalogue.search.index", 20, 20}, {"billing.payments.captured", 12, 12},
	{"logistics.tracking", 35, 35}, {"fraud.score.requests", 25, 15}, {"catalogue.images.resize", 4, 9}, {"mail.outgoing", 10, 9}, {"prices.recalculate", 7, 7},
}

var shopTopics = []string{"prices.eur", "prices.usd", "prices.gbp", "events.orders", "events.stock", "events.customers.signup", "config.changed"}

// shop is a broker as it is at three in the morning: much goes well, some does not.
// The traffic ends with the test.
func (r *rig) shop() {
	r.t.Helper()
	for name, n := range shopQueues {
		bodies := make([]string, n)
		for i := range bodies {
			bodies[i] = fmt.Sprintf(`{"order": %d, "customer": "C-%05d", "lines": [{"sku": "A-%d", "qty": 2}, {"sku": "B-9", "qty": 1}], "note": "Grüße, 谢谢"}`, 4711+i, i*7%99991, i%50)
		}
		if n == 0 {
			if err := r.b.CreateQueue(name); err != nil {
				r.t.Fatal(err)
			}
			continue
		}
		r.fill(queue(name), bodies...)
	}
	r.failures()
	if _, _, err := r.b.PurgeToTrash(queue("orders.archive"), "alice"); err != nil {
		r.t.Fatal(err)
	}
	if err := r.b.Pause(queue("billing.invoices.overdue"), true); err != nil {
		r.t.Fatal(err)
	}
	r.durables()
	r.plans()
	r.traffic()
}

// failures leaves dead letters of several queues.
func (r *rig) failures() {
	r.t.Helper()
	r.buryFor("orders.incoming", "timeout of the price service", `{"order": 9001}`, `{"order": 9002}`, `{"order": 9003}`, `{"order": 9004}`)
	r.buryFor("mail.outgoing", "550 5.1.1 no such mailbox", "Dear customer", "Dear customer", "Dear customer")
	r.buryFor("warehouse.pick.rotterdam", "java.lang.NullPointerException: Cannot invoke \"Shelf.id()\" because \"shelf\" is null at com.example.pick.Planner.plan(Planner.java:214)", "{}", "{}")
	r.buryFor("stock.updates", "article 4006381333931 is not known", `{"ean": 4006381333931}`)
}

func (r *rig) durables() {
	r.t.Helper()
	for name, o := range map[string]broker.DurableOptions{
		"accounting.orders": {Topics: []string{"events.orders"}, ClientID: "accounting"},
		"app.prices":        {Topics: []string{"prices.>"}, Selector: "tenant = 'north'"},
		"search.indexer":    {Topics: []string{"events.orders", "events.stock"}, ClientID: "search"},
	} {
		o.Name = name
		if err := r.b.OpenDurable(o); err != nil {
			r.t.Fatal(err)
		}
	}
	for _, name := range shopTopics {
		r.fill(topic(name), "1", "2", "3")
	}
}

func (r *rig) plans() {
	r.t.Helper()
	c, _ := r.client("scheduler")
	w := c.NewWork()
	for i, s := range []broker.Schedule{
		{Cron: "0 3 * * 1-5", Zone: "Europe/Berlin", Name: "nightly reports"}, {Cron: "*/15 * * * *", Name: "recalculate prices"},
		{Delay: 3 * time.Hour}, {Delay: time.Hour, Period: 10 * time.Minute, Repeat: -1, Name: "check returns"}, {Delay: 26 * time.Hour},
	} {
		d := queue([]string{"reports.nightly", "prices.recalculate", "mail.outgoing", "logistics.returns", "mail.outgoing"}[i])
		var b broker.Builder
		b.Reset()
		b.Kind, b.Flags, b.Timestamp = broker.BodyText, broker.FlagPersistent, r.b.Now().UnixMilli()
		if err := w.Schedule([]broker.Destination{d}, b.Build(d, []byte("{}")), &s); err != nil {
			r.t.Fatal(err)
		}
	}
	r.flush(w)
}

func (r *rig) flush(w *broker.Work) {
	r.t.Helper()
	done := make(chan error, 1)
	w.Flush(func(err error) { done <- err })
	if err := <-done; err != nil {
		r.t.Fatal(err)
	}
}

// traffic sends and consumes until the test is over.
func (r *rig) traffic() {
	r.t.Helper()
	over := make(chan struct{})
	var all sync.WaitGroup
	r.t.Cleanup(func() { close(over); all.Wait() })
	for i, f := range shopFlows {
		all.Go(r.producer(i, queue(f.name), f.in, over))
		all.Go(r.consumer(i, queue(f.name), f.out, over))
	}
	for i, name := range shopTopics[:5] {
		all.Go(r.producer(20+i, topic(name), 3+5*i, over))
		all.Go(r.consumer(20+i, topic(name), 1000, over))
	}
	for i := range 3 { // the rest of those who are connected do nothing
		r.connect(i+40, fmt.Sprintf("monitor-%d", i+1), "")
	}
}

// connect is a client on a host of its own.
func (r *rig) connect(i int, user, id string) *broker.Conn {
	r.t.Helper()
	c, err := r.b.Connect(broker.ConnOptions{Protocol: "STOMP 1.2", Listener: "stomp", Remote: fmt.Sprintf("10.20.%d.%d:%d", 1+i%3, 11+i, 41000+37*i), User: user, ClientID: id,
		TLS: i%4 == 0, Sink: &sink{killed: make(chan error, 1)}})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(c.Close)
	return c
}

// beat is how often the clients of the shop do something.
const beat = 100 * time.Millisecond

// producer sends about so many messages a second, with ups and downs.
func (r *rig) producer(i int, d broker.Destination, rate int, over <-chan struct{}) func() {
	c := r.connect(i, "shop-"+d.Name, "")
	c.Produces([]broker.Destination{d})
	return func() {
		random := rand.New(rand.NewPCG(uint64(i), 7))
		owed, level := 0.0, 1.0
		tick := time.NewTicker(beat)
		defer tick.Stop()
		for {
			select {
			case <-over:
				return
			case <-tick.C:
			}
			level = min(1.6, max(0.4, level+(random.Float64()-0.5)*0.3))
			owed += float64(rate) * level * beat.Seconds()
			w := c.NewWork()
			for ; owed >= 1; owed-- {
				var b broker.Builder
				b.Reset()
				b.Kind, b.Flags, b.Timestamp = broker.BodyText, broker.FlagPersistent, r.b.Now().UnixMilli()
				b.AddString([]byte("tenant"), []byte("north"))
				if w.Send([]broker.Destination{d}, b.Build(d, []byte(`{"order": 4711}`))) != nil {
					return
				}
			}
			c.Produced([]broker.Destination{d})
			if wait(w) != nil {
				return
			}
		}
	}
}

// consumer acknowledges at most so many messages a second.
func (r *rig) consumer(i int, d broker.Destination, rate int, over <-chan struct{}) func() {
	c := r.connect(i+60, "worker-"+d.Name, fmt.Sprintf("worker-%d", i))
	o := broker.SubscribeOptions{ID: "sub-0", Dests: []broker.Destination{d}, Prefetch: 20}
	if i%5 == 2 {
		o.Selector = "tenant = 'north'"
	}
	s, err := c.Subscribe(o)
	if err != nil {
		r.t.Fatal(err)
	}
	s.Start()
	return func() {
		owed := 0.0
		tick := time.NewTicker(beat)
		defer tick.Stop()
		var held []broker.Delivery
		for {
			select {
			case <-over:
				return
			case <-tick.C:
			}
			got := c.Output(nil)
			c.Written(got)
			held = append(held, got...)
			owed = min(owed+float64(rate)*1.3*beat.Seconds(), 100)
			w := c.NewWork()
			for ; owed >= 1 && len(held) > 0; owed-- {
				w.Ack(s, held[0].Tag, held[0].Tag, broker.Ack{})
				held = held[1:]
			}
			if wait(w) != nil {
				return
			}
		}
	}
}

// wait is for what was done to be stored.
func wait(w *broker.Work) error {
	done := make(chan error, 1)
	w.Flush(func(err error) { done <- err })
	return <-done
}
