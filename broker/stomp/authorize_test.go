package stomp

import (
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"treadmq/broker"
)

// anyPassword lets everybody in whose password is "pw".
type anyPassword struct{}

func (anyPassword) Authenticate(user, password, _ string) (bool, string, time.Duration) {
	return password == "pw", user, 0
}

// rules are a Guard: "user kind pattern" to rights. Patterns are names, or end in >.
type rules map[string]broker.Right

func (g rules) Rights(user string, d broker.Destination) (have broker.Right) {
	for entry, right := range g {
		f := strings.Fields(entry)
		stem, whole := strings.CutSuffix(f[2], ">")
		if (f[0] == user || f[0] == "*") && f[1] == d.Kind.String() && (d.Name == f[2] || whole && strings.HasPrefix(d.Name, stem)) {
			have |= right
		}
		if (f[0] == user || f[0] == "*") && f[1] == "temporary" && d.Kind.IsTemporary() {
			have |= right
		}
	}
	return have
}

const (
	rd, wr, ad = broker.RightRead, broker.RightWrite, broker.RightAdmin
	rwa        = broker.AllRights
)

// shopRules: root may do everything, shop writes orders and reads its answers, stock reads orders.
func shopRules() rules {
	return rules{
		"root queue >": rwa, "root topic >": rwa, "root temporary >": rwa,
		"shop queue orders.>": wr, "shop queue made.>": rwa, "shop topic news.>": rwa, "shop temporary >": rwa,
		"stock queue orders.>": rd, "stock queue Consumer.stock.>": rwa, "stock topic events.>": rd, "stock topic news.free": rd,
		"figures queue ActiveMQ.Statistics.>": wr, "figures temporary >": rwa, "figures topic ActiveMQ.Scheduler.Management": wr,
	}
}

func guarded(t *testing.T, change ...func(*rig)) *rig {
	r := newRig(t, append([]func(*rig){withOptions(func(o *Options) { o.Anonymous, o.Auth = true, anyPassword{} })}, change...)...)
	for _, name := range []string{"orders.new", "secret", "Consumer.stock.VirtualTopic.x"} {
		if err := r.b.CreateQueue(name); err != nil {
			t.Fatal(err)
		}
	}
	r.b.SetGuard(shopRules())
	return r
}

func (r *rig) as(user, headers string) *client {
	if user != "" {
		headers = "login:" + user + "\npasscode:pw\n" + headers
	}
	return r.connected(headers)
}

func sendTo(dest, more string) string {
	return "SEND\ndestination:" + dest + "\n" + more + "\nhello\x00"
}

func subTo(dest, more string) string {
	return "SUBSCRIBE\nid:1\ndestination:" + dest + "\n" + more + "\n\x00"
}

// Everything that is not allowed is answered, with and without receipt, and does nothing.
func TestDenied(t *testing.T) {
	r := guarded(t)
	root := r.as("root", "client-id:stock\n")
	root.send("SUBSCRIBE\nid:d\ndestination:/topic/secret.news\nactivemq.subscriptionName:d\nreceipt:1\n\n\x00")
	root.expectReceipt("1")
	root.send("UNSUBSCRIBE\nid:d\nreceipt:2\n\n\x00")
	root.expectReceipt("2")
	root.send("SEND\ndestination:/queue/later\nx-schedule-id:nightly\nx-delay:3600000\nreceipt:3\n\nx\x00")
	root.expectReceipt("3")
	root.send("DISCONNECT\nreceipt:4\n\n\x00")
	root.expectReceipt("4")
	root.expectEnd()
	for _, c := range []struct{ name, user, frames, words string }{
		{"send", "shop", sendTo("/queue/secret", ""), "send to the queue secret"},
		{"send to a topic", "shop", sendTo("/topic/secret", ""), "send to the topic secret"},
		{"send, anonymous", "", sendTo("/queue/orders.new", ""), "a client without login may not send"},
		{"send where it may read", "stock", sendTo("/queue/orders.new", ""), "send to"},
		{"one of a composite", "shop", sendTo("/queue/orders.new,/queue/secret", ""), "queue secret"},
		{"make by sending", "shop", sendTo("/queue/orders.fresh", ""), "there is no queue orders.fresh"},
		{"make by a hint", "shop", sendTo("/queue/orders.fresh", "x-max-length:3\n"), "there is no queue orders.fresh"},
		{"say what is there", "shop", sendTo("/amq/queue/nothing.here", ""), "send to the queue nothing.here"},
		{"in a transaction", "shop", "BEGIN\ntransaction:t\n\n\x00" + sendTo("/queue/secret", "transaction:t\n") + "COMMIT\ntransaction:t\n\n\x00", "queue secret"},
		{"later", "shop", sendTo("/queue/secret", "AMQ_SCHEDULED_DELAY:3600000\n"), "queue secret"},
		{"later, in a transaction", "shop", "BEGIN\ntransaction:t\n\n\x00" + sendTo("/queue/secret", "transaction:t\nAMQ_SCHEDULED_DELAY:3600000\n"), "queue secret"},
		{"take the place of a schedule", "shop", sendTo("/queue/made.x", "x-schedule-id:nightly\nx-delay:3600000\n"), "queue later"},
		{"take its place in a transaction", "shop", "BEGIN\ntransaction:t\n\n\x00" + sendTo("/queue/made.x", "transaction:t\nx-schedule-id:nightly\nx-delay:3600000\n"), "queue later"},
		{"ask for statistics", "shop", sendTo("/queue/ActiveMQ.Statistics.Broker", "reply-to:/temp-queue/r\n"), "service"},
		{"have an answer sent", "figures", sendTo("/queue/ActiveMQ.Statistics.Broker", "reply-to:/queue/secret\n"), "queue secret"},
		{"have it sent later", "figures", sendTo("/queue/ActiveMQ.Statistics.Broker", "reply-to:/queue/secret\nAMQ_SCHEDULED_DELAY:1\n"), "queue secret"},
		{"have it sent in a transaction", "figures", "BEGIN\ntransaction:t\n\n\x00" + sendTo("/queue/ActiveMQ.Statistics.Broker", "transaction:t\nreply-to:/queue/secret\n"), "queue secret"},
		{"list schedules", "shop", sendTo("/broker/schedules", "x-action:list\nreply-to:/temp-queue/r\n"), "Scheduler.Management"},
		{"cancel schedules", "shop", sendTo("/topic/ActiveMQ.Scheduler.Management", "AMQ_SCHEDULER_ACTION:REMOVEALL\n"), "Scheduler.Management"},
		{"have schedules sent", "figures", sendTo("/broker/schedules", "x-action:list\nreply-to:/queue/secret\n"), "queue secret"},
		{"temporary queue", "stock", subTo("/temp-queue/mine", ""), "temporary queue"},
		{"temporary queue as reply-to", "stock", sendTo("/queue/Consumer.stock.VirtualTopic.x", "reply-to:/temp-queue/mine\n"), "make the temporary queue"},
		{"send to somebody's temporary queue", "stock", sendTo("/remote-temp-queue/test.1-1", ""), "send to the temporary queue"},
		{"read", "stock", subTo("/queue/secret", ""), "read from the queue secret"},
		{"read where it may send", "shop", subTo("/queue/orders.new", ""), "read from"},
		{"browse", "shop", subTo("/queue/orders.new", "browser:true\n"), "read from"},
		{"one of several", "stock", subTo("/queue/orders.new,/queue/secret", ""), "queue secret"},
		{"all", "stock", subTo("/queue/>", ""), "read from the queue >"},
		{"all as #", "stock", subTo("/queue/#", ""), "read from the queue #"},
		{"all topics", "stock", subTo("/topic/*.free", ""), "*.free"},
		{"make by reading", "stock", subTo("/queue/orders.fresh", ""), "there is no queue orders.fresh"},
		{"make a topic by reading", "stock", subTo("/topic/events.fresh", ""), "there is no topic events.fresh"},
		{"make by a hint and reading", "stock", subTo("/queue/orders.fresh", "x-expires:1000\n"), "there is no queue orders.fresh"},
		{"say what is there by reading", "stock", subTo("/amq/queue/nothing.here", ""), "read from the queue nothing.here"},
		{"another's virtual topic queue", "stock", subTo("/queue/Consumer.shop.VirtualTopic.x", ""), "read from"},
		{"all queues of virtual topics", "stock", subTo("/queue/Consumer.*.VirtualTopic.x", ""), "read from"},
		{"advisories", "shop", subTo("/topic/ActiveMQ.Advisory.>", ""), "read from"},
		{"durable", "stock", subTo("/topic/secret.news", "activemq.subscriptionName:mine\n"), "read from the topic secret.news"},
		{"durable by a pattern", "stock", subTo("/topic/>", "activemq.subscriptionName:mine\n"), "read from"},
		{"consume another's durable", "stock", subTo("/dsub/stock.d", ""), "durable subscription stock.d"},
		{"send to another's durable", "shop", sendTo("/dsub/stock.d", ""), "durable subscription stock.d"},
		{"change another's durable", "stock", subTo("/topic/events.a", "activemq.subscriptionName:d\n"), "durable subscription stock.d"},
		{"delete another's durable", "stock", "UNSUBSCRIBE\nid:9\nactivemq.subscriptionName:d\nreceipt:u\n\n\x00", "durable subscription stock.d"},
		{"delete by the name of its topic", "stock", subTo("secret.news::stock.d", ""), "durable subscription stock.d"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, receipt := range []string{"", "receipt:r\n"} {
				client := r.as(c.user, "client-id:stock\n")
				client.send(strings.ReplaceAll(c.frames, "destination:", receipt+"destination:"))
				g, err := client.read()
				for err == nil && g.command == "RECEIPT" { // of frames before
					g, err = client.read()
				}
				if err != nil || g.command != "ERROR" || g.get("x-code") != string(broker.CodeNotAuthorized) || !strings.Contains(g.get("message"), c.words) {
					t.Fatalf("receipt %q: %v %v", receipt, g, err)
				}
				client.expectEnd()
				until(t, "the end of the connection", func() bool { return len(r.b.Connections()) == 0 })
			}
		})
	}
	for _, q := range r.b.Queues(nil) {
		if q.Messages != 0 || q.Destination.Name == "orders.fresh" || q.Destination.Name == "Consumer.shop.VirtualTopic.x" {
			t.Errorf("%s is there with %d messages", q.Destination, q.Messages)
		}
	}
	if info, err := r.b.DurableSubscription("stock.d"); err != nil || info.Topics[0] != "secret.news" {
		t.Errorf("the durable subscription is now %+v, %v", info, err)
	}
	if s, _, err := r.b.Schedule("nightly"); err != nil || s.Destinations[0].Name != "later" {
		t.Errorf("the schedule is now %+v, %v", s, err)
	}
}

func TestAllowed(t *testing.T) {
	r := guarded(t)
	shop, stock := r.as("shop", ""), r.as("stock", "client-id:c\n")
	stock.send(subTo("/queue/orders.>", "receipt:s\n"))
	stock.expectReceipt("s")
	stock.send("SUBSCRIBE\nid:v\ndestination:/queue/Consumer.stock.VirtualTopic.x\nreceipt:v\n\n\x00")
	stock.expectReceipt("v")
	stock.send("SUBSCRIBE\nid:d\ndestination:/topic/events.a\nactivemq.subscriptionName:d\nreceipt:d\n\n\x00")
	stock.expectReceipt("d")
	shop.send(sendTo("/queue/orders.new", "receipt:1\n"))
	shop.expectReceipt("1")
	if g := stock.expect("MESSAGE"); g.get("destination") != "/queue/orders.new" {
		t.Fatal(g)
	}
	shop.send(sendTo("/queue/made.here", "receipt:2\n"))
	shop.expectReceipt("2")
	root := r.as("root", "")
	root.send(sendTo("/topic/VirtualTopic.x", "receipt:3\n")) // the copy is the broker's to make
	root.expectReceipt("3")
	if g := stock.expect("MESSAGE"); g.get("subscription") != "v" {
		t.Fatal(g)
	}
	root.send(sendTo("/topic/events.a", ""))
	if g := stock.expect("MESSAGE"); g.get("subscription") != "d" {
		t.Fatal(g)
	}
	stock.send("UNSUBSCRIBE\nid:d\nactivemq.subscriptionName:d\nreceipt:e\n\n\x00")
	stock.expectReceipt("e")
	figures := r.as("figures", "")
	figures.send(subTo("/temp-queue/r", "") + sendTo("/queue/ActiveMQ.Statistics.Broker", "reply-to:/temp-queue/r\n"))
	if g := figures.expect("MESSAGE"); !strings.Contains(g.body, "brokerName") {
		t.Fatal(g)
	}
	figures.send(sendTo("/broker/schedules", "x-action:list\nreply-to:/temp-queue/r\n"))
	if g := figures.expect("MESSAGE"); !strings.Contains(g.body, "schedules") {
		t.Fatal(g)
	}
}

// With soft errors a refusal does not end the connection.
func TestDeniedSoftly(t *testing.T) {
	r := guarded(t)
	c := r.as("shop", "x-errors:soft\n")
	for _, receipt := range []string{"", "receipt:r\n"} {
		c.send(sendTo("/queue/secret", receipt))
		g := c.expect("ERROR")
		if g.get("x-fatal") != "false" || g.get("x-code") != "not-authorized" || g.get("receipt-id") != strings.TrimSuffix(strings.TrimPrefix(receipt, "receipt:"), "\n") {
			t.Fatal(g)
		}
	}
	c.send(sendTo("/queue/orders.new", "receipt:ok\n"))
	c.expectReceipt("ok")
}

func TestDeniedOverWebSocket(t *testing.T) {
	r := guarded(t, func(r *rig) { r.listener = withWebSocket(r.listener) })
	ws := r.dialWS("ws://"+r.addr+"/ws", nil)
	ws.send(websocket.MessageText, "CONNECT\naccept-version:1.2\nhost:test\nlogin:shop\npasscode:pw\n\n\x00")
	ws.expect(websocket.MessageText, "CONNECTED")
	ws.send(websocket.MessageText, sendTo("/queue/secret", ""))
	if g := ws.expect(websocket.MessageText, "ERROR"); g.get("x-code") != "not-authorized" {
		t.Fatal(g)
	}
}

// New rules count at once: for the next frame, for a transaction that is open, and for
// subscriptions that are there.
func TestRulesChange(t *testing.T) {
	r := guarded(t)
	shop, stock := r.as("shop", "x-errors:soft\n"), r.as("stock", "")
	shop.send(sendTo("/queue/orders.new", "receipt:1\n") + "BEGIN\ntransaction:t\n\n\x00" + sendTo("/queue/orders.new", "transaction:t\nreceipt:2\n"))
	shop.expectReceipt("1")
	shop.expectReceipt("2")
	stock.send(subTo("/queue/orders.new", "receipt:s\n"))
	stock.expectReceipt("s")
	stock.expect("MESSAGE")

	less := shopRules()
	delete(less, "shop queue orders.>")
	delete(less, "stock queue orders.>")
	r.b.SetGuard(less)
	if g := stock.expect("ERROR"); g.get("x-code") != "not-authorized" || !strings.Contains(g.get("message"), "read from the queue orders.new") {
		t.Fatal(g)
	}
	stock.expectEnd()
	shop.send(sendTo("/queue/orders.new", ""))
	if g := shop.expect("ERROR"); g.get("x-code") != "not-authorized" {
		t.Fatal(g)
	}
	shop.send("COMMIT\ntransaction:t\nreceipt:c\n\n\x00")
	if g := shop.expect("ERROR"); g.get("x-code") != "not-authorized" || g.get("receipt-id") != "c" {
		t.Fatal(g)
	}
	r.b.SetGuard(nil)
	shop.send("COMMIT\ntransaction:t\nreceipt:c\n\n\x00")
	shop.expectReceipt("c")
	shop.send(sendTo("/queue/secret", "receipt:3\n"))
	shop.expectReceipt("3")
}
