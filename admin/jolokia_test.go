package admin_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"treadmq/broker"
)

const amq = "org.apache.activemq:type=Broker,brokerName="

// jolokia is one answer of Jolokia's.
type jolokia struct {
	Request   any
	Value     any
	Timestamp int64
	Status    int
	Error     string
	ErrorType string `json:"error_type"`
}

func (j jolokia) object(t *testing.T) map[string]any {
	t.Helper()
	m, ok := j.Value.(map[string]any)
	if !ok || j.Status != 200 {
		t.Fatalf("no object: %+v", j)
	}
	return m
}

func (c *client) jolokia(path string) (j jolokia) {
	c.t.Helper()
	c.get("/api/jolokia"+path).must(c.t, http.StatusOK).json(c.t, &j)
	return j
}

func (c *client) jolokiaPost(body string, into any) {
	c.t.Helper()
	c.do("POST", "/api/jolokia/", "application/json", body).must(c.t, http.StatusOK).json(c.t, into)
}

// jolokiaRig has a queue with two messages and one with an odd name.
func jolokiaRig(t *testing.T) *rig {
	r := newRig(t)
	c := r.basic("alice")
	for range 2 {
		c.send("/api/v1/queues/orders/messages", `{"body":"x"}`)
	}
	c.send("/api/v1/queues/a%2Fb%3A%22c%22/messages", `{"body":"x"}`)
	c.send("/api/v1/topics/news/messages", `{"body":"x"}`)
	r.s.Measure()
	return r
}

// What KEDA's activemq scaler sends: GET with Basic, Content-Type and an Origin, and
// what it makes of the answer.
func TestJolokiaAsKEDA(t *testing.T) {
	c := jolokiaRig(t).basic("vera")
	path := "/api/jolokia/read/org.apache.activemq:type=Broker,brokerName=testbroker,destinationType=Queue,destinationName=orders/QueueSize"
	a := c.do("GET", path, "application/json", "", "Origin", "http://activemq.example:8161").must(t, http.StatusOK)
	var v struct {
		MsgCount  int   `json:"value"`
		Status    int   `json:"status"`
		Timestamp int64 `json:"timestamp"`
	}
	a.json(t, &v)
	if v.MsgCount != 2 || v.Status != 200 || v.Timestamp == 0 {
		t.Errorf("%s", a.body)
	}
	// A queue that does not exist is an error there, and HTTP's status is 200.
	if j := c.jolokia("/read/" + amq + "testbroker,destinationType=Queue,destinationName=none/QueueSize"); j.Status != 404 || j.ErrorType != "javax.management.InstanceNotFoundException" {
		t.Errorf("%+v", j)
	}
}

// What Metricbeat's module and Telegraf's jolokia2 input send: a list of reads with patterns.
func TestJolokiaAsMetricbeatAndTelegraf(t *testing.T) {
	c := jolokiaRig(t).basic("vera")
	var list []jolokia
	c.jolokiaPost(`[
	 {"type":"read","mbean":"org.apache.activemq:brokerName=*,type=Broker","attribute":["BrokerName","MemoryPercentUsage","StorePercentUsage","TempPercentUsage","TotalConnectionsCount","TotalConsumerCount","TotalDequeueCount","TotalEnqueueCount","TotalMessageCount","TotalProducerCount"],"config":{"ignoreErrors":true,"canonicalNaming":true}},
	 {"type":"read","mbean":"org.apache.activemq:brokerName=*,destinationName=*,destinationType=Queue,type=Broker","attribute":["Name","QueueSize","AverageEnqueueTime","AverageMessageSize","ConsumerCount","DequeueCount","DispatchCount","EnqueueCount","ExpiredCount","InFlightCount","MaxEnqueueTime","MemoryPercentUsage","MinEnqueueTime","ProducerCount"]},
	 {"type":"read","mbean":"org.apache.activemq:brokerName=*,destinationName=*,destinationType=Topic,type=Broker","attribute":["Name","EnqueueCount"]},
	 {"type":"read","mbean":"java.lang:type=Memory","attribute":["HeapMemoryUsage"],"path":"used"},
	 {"type":"read","mbean":"java.lang:type=Runtime","attribute":"Uptime"}
	]`, &list)
	if len(list) != 5 {
		t.Fatalf("%d answers", len(list))
	}
	b := list[0].object(t)["org.apache.activemq:brokerName=testbroker,type=Broker"].(map[string]any)
	if len(b) != 10 || b["BrokerName"] != "testbroker" || b["TotalMessageCount"] != 3.0 || b["TotalEnqueueCount"] != 4.0 {
		t.Errorf("%v", b)
	}
	q := list[1].object(t)
	orders := q["org.apache.activemq:brokerName=testbroker,destinationName=orders,destinationType=Queue,type=Broker"].(map[string]any)
	if len(q) != 2 || orders["Name"] != "orders" || orders["QueueSize"] != 2.0 || orders["EnqueueCount"] != 2.0 || len(orders) != 14 {
		t.Errorf("%v", q)
	}
	if n := list[2].object(t); len(n) != 1 {
		t.Errorf("%v", n)
	}
	if list[4].Value.(float64) < 0 || list[3].Status != 404 && list[3].Value == nil {
		t.Errorf("%+v %+v", list[3], list[4])
	}
}

// What scripts send: predic8's check for Nagios, Zabbix templates, shell one-liners.
func TestJolokiaAsScripts(t *testing.T) {
	r := jolokiaRig(t)
	c := r.basic("vera")
	broker := c.jolokia("/read/" + amq + "localhost").object(t) // ActiveMQ's default name, as it stands in scripts
	queues := broker["Queues"].([]any)
	if len(queues) != 2 || broker["TotalMessageCount"] != 3.0 {
		t.Fatalf("%v", broker)
	}
	names := []string{}
	for _, q := range queues { // each name that it gives leads to the queue
		at := q.(map[string]any)["objectName"].(string)
		path := strings.NewReplacer("!", "!!", "/", "!/", "%", "%25", `"`, "%22").Replace(at)
		names = append(names, c.jolokia("/read/" + path).object(t)["Name"].(string))
	}
	slices.Sort(names)
	if !slices.Equal(names, []string{`a/b:"c"`, "orders"}) {
		t.Errorf("%q", names)
	}
	if v := c.jolokia("/read/" + amq + "localhost,service=Health").object(t); v["CurrentStatus"] != "Good" {
		t.Errorf("%v", v)
	}
	if v := c.jolokia("/read/" + amq + "localhost/MemoryPercentUsage"); v.Value != 0.0 {
		t.Errorf("%+v", v)
	}
	if v := c.jolokia("/read/" + amq + "localhost,destinationType=Queue,destinationName=orders/QueueSize,ConsumerCount").object(t); v["QueueSize"] != 2.0 || v["ConsumerCount"] != 0.0 || len(v) != 2 {
		t.Errorf("%v", v)
	}
	if v := c.jolokia("/read/" + amq + "*,destinationType=Queue,destinationName=*/QueueSize").object(t); len(v) != 2 {
		t.Errorf("%v", v)
	}
	if v := c.jolokia("/read/" + amq + "testbroker,destinationType=Topic,*").object(t); len(v) != 1 {
		t.Errorf("%v", v)
	}
	if v := c.jolokia("/read/" + amq + "localhost,destinationType=Queue,destinationName=a!/b%3A%22c%22"); v.Value == nil {
		t.Errorf("%+v", v)
	}
	if v := c.jolokia("/read/" + amq + "localhost,destinationType=Queue,destinationName=a!/b__c_/Name"); v.Value != `a/b:"c"` { // as ActiveMQ writes it
		t.Errorf("%+v", v)
	}
	if v := c.jolokia("/read/java.lang:type=Memory/HeapMemoryUsage/used"); v.Status != 200 || v.Value.(float64) <= 0 {
		t.Errorf("%+v", v)
	}
}

func TestJolokiaConsumers(t *testing.T) {
	r := jolokiaRig(t)
	c := r.basic("vera")
	got := r.basic("uli").begin(t, "news?readTimeout=20000")
	await(t, "the subscriber", func() bool { return r.subscribers("news") == 1 })
	v := c.jolokia("/read/" + amq + "localhost,destinationType=Topic,destinationName=news").object(t)
	subs := v["Subscriptions"].([]any)
	if len(subs) != 1 || v["ConsumerCount"] != 1.0 {
		t.Fatalf("%v", v)
	}
	sub := c.jolokia("/read/" + subs[0].(map[string]any)["objectName"].(string)).object(t)
	if sub["DestinationName"] != "news" || sub["Active"] != true || sub["UserName"] != "uli" {
		t.Errorf("%v", sub)
	}
	r.basic("uli").restPost("news?body=x", "", "").must(t, http.StatusOK)
	<-got
}

func TestJolokiaSearchListVersion(t *testing.T) {
	c := jolokiaRig(t).basic("vera")
	if v := c.jolokia("/search/org.apache.activemq:destinationType=Queue,*"); len(v.Value.([]any)) != 2 {
		t.Errorf("%+v", v)
	}
	if v := c.jolokia("/search/" + amq + "*?canonicalNaming=false"); v.Value.([]any)[0] != amq+"testbroker" {
		t.Errorf("%+v", v)
	}
	if v := c.jolokia("/search/nothing:*"); len(v.Value.([]any)) != 0 || v.Status != 200 {
		t.Errorf("%+v", v)
	}
	all := c.jolokia("/list").object(t)
	if len(all) != 2 || len(all["org.apache.activemq"].(map[string]any)) != 5 {
		t.Errorf("%v", all)
	}
	if v := c.jolokia("/list/java.lang/type=Memory/attr").object(t); v["HeapMemoryUsage"] == nil {
		t.Errorf("%v", v)
	}
	for _, path := range []string{"", "/", "/version"} {
		if v := c.jolokia(path).object(t); v["protocol"] == "" || v["agent"] != "1.2.3" {
			t.Errorf("%q: %v", path, v)
		}
	}
}

// Nothing is changed through it, and what is not understood is said in Jolokia's way.
func TestJolokiaRefusals(t *testing.T) {
	r := jolokiaRig(t)
	c := r.basic("alice")
	for path, status := range map[string]int{
		"/exec/" + amq + "localhost,destinationType=Queue,destinationName=orders/purge": 403,
		"/write/" + amq + "localhost/MemoryLimit/1":                                     403,
		"/read/nonsense":                               400,
		"/read/" + amq + `%22open`:                     400,
		"/read/" + amq + "other":                       404,
		"/read/" + amq + "localhost/NoSuch":            404,
		"/read/" + amq + "localhost/BrokerName/deeper": 404,
		"/dance": 400,
	} {
		if v := c.jolokia(path); v.Status != status || v.Error == "" || v.ErrorType == "" || v.Value != nil {
			t.Errorf("%s: %+v", path, v)
		}
	}
	for body, status := range map[string]int{`{}`: 400, `nonsense`: 400, `{"type":"exec","mbean":"x:y=z","operation":"purge"}`: 403, `{"type":"read","mbean":"x:y=z","attribute":5}`: 400} {
		var v jolokia
		if c.jolokiaPost(body, &v); v.Status != status {
			t.Errorf("%s: %+v", body, v)
		}
	}
	many, err := json.Marshal(make([]struct{}, 1001))
	if err != nil {
		t.Fatal(err)
	}
	c.do("POST", "/api/jolokia", "application/json", string(many)).must(t, http.StatusBadRequest)
	r.client().get("/api/jolokia/version").must(t, http.StatusUnauthorized)
	if q, err := r.b.Queue(broker.Destination{Kind: broker.Queue, Name: "orders"}); err != nil || q.Messages != 2 {
		t.Errorf("%+v %v", q, err)
	}
}
