package admin_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"testing"
	"time"

	"treadmq/admin"
	"treadmq/broker"
)

// rest is a request of ActiveMQ's servlet.
func (c *client) rest(method, path string, headers ...string) answer {
	c.t.Helper()
	return c.do(method, "/api/message/"+path, "", "", headers...)
}

func (c *client) restPost(path, kind, body string) answer {
	c.t.Helper()
	return c.do("POST", "/api/message/"+path, kind, body)
}

const plainForm = "application/x-www-form-urlencoded"

// As ActiveMQ's own page on REST shows it, with curl's habits.
func TestRestSendsAndReceives(t *testing.T) {
	r := newRig(t)
	c := r.basic("uli")
	for _, x := range []struct {
		name, post, kind, body string
		get, want              string
	}{
		{"body in a form", "a.b?type=queue", plainForm, "body=hello+there", "a.b?type=queue", "hello there"},
		{"body in the address", "a.b?type=queue&body=x%26y", "", "", "a.b?type=queue", "x&y"},
		{"raw body", "a.b?type=queue", "text/plain", "one\ntwo=3\n", "a.b?type=queue", "one\ntwo=3\n"},
		{"raw body that curl calls a form", "a.b?type=queue", plainForm, "no pairs here", "a.b?type=queue", "no pairs here"},
		{"all in a form", "", plainForm, "destination=queue%3A%2F%2Fa.b&body=in", "?destination=queue://a.b", "in"},
		{"slashes are dots", "a/b?type=queue&body=s", "", "", "a.b?type=queue", "s"},
		{"odd name", "a%2Fb%20%3F?type=queue&body=odd", "", "", "?destination=queue://a/b%20%3F", "odd"},
		{"binary", "a.b?type=queue", "application/octet-stream", "\x00\xff\xfe", "a.b?type=queue", "\x00\xff\xfe"},
	} {
		a := c.restPost(x.post, x.kind, x.body).must(t, http.StatusOK)
		if a.body != "Message sent" || a.header.Get("messageID") == "" {
			t.Errorf("%s: %s %v", x.name, a.body, a.header)
		}
		got := c.rest("GET", x.get).must(t, http.StatusOK)
		if got.body != x.want || got.header.Get("id") != a.header.Get("messageID") {
			t.Errorf("%s: %q %v", x.name, got.body, got.header)
		}
	}
	await(t, "the last acknowledgement", func() bool { // it comes after the answer
		q, err := r.b.Queue(broker.Destination{Kind: broker.Queue, Name: "a.b"})
		return err == nil && q.Messages == 0 && q.Dequeued > 0
	})
	c.rest("GET", "a.b?type=queue&readTimeout=0").must(t, http.StatusNoContent)
	c.rest("DELETE", "a.b?type=queue&readTimeout=1").must(t, http.StatusNoContent)
}

func TestRestHeaders(t *testing.T) {
	r := newRig(t)
	c := r.basic("uli")
	c.restPost("q?type=queue&JMSPriority=7&JMSTimeToLive=60000&JMSCorrelationID=c1&JMSReplyTo=answers&JMSType=order&JMSDeliveryMode=nonpersistent"+
		"&shop=7&Set-Cookie=a%3Db&Content-Security-Policy=x&X-Accel-Redirect=%2Fetc&bad%20name=x&split=a%0d%0aSet-Cookie:b", plainForm, "body=%3Ca%2F%3E").must(t, http.StatusOK)
	a := c.rest("GET", "q?type=queue").must(t, http.StatusOK)
	for name, want := range map[string]string{
		"destination": "queue://q", "priority": "7", "correlation-id": "c1", "reply-to": "/queue/answers", "type": "order", "shop": "7", "persistent": "",
		"Content-Type": "application/xml", "Set-Cookie": "", "X-Accel-Redirect": "", "Split": "", "Content-Security-Policy": "default-src 'none'; sandbox",
	} {
		if got := a.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	for query, want := range map[string]string{"json=true": "application/json", "xml=true": "application/xml", "": "text/plain; charset=utf-8"} {
		c.restPost("q?type=queue&body=x", "", "").must(t, http.StatusOK)
		if got := c.rest("GET", "q?type=queue&"+query).must(t, http.StatusOK).header.Get("Content-Type"); got != want {
			t.Errorf("%s: %q", query, got)
		}
	}
	c.restPost("q?type=queue", "text/html", "plain <script>").must(t, http.StatusOK)
	if got := c.rest("GET", "q?type=queue").header.Get("Content-Type"); got != "text/plain; charset=utf-8" {
		t.Errorf("a browser would run %q", got)
	}
	c.restPost("default?type=queue&body=x", "", "").must(t, http.StatusOK)
	if a := c.rest("GET", "default?type=queue"); a.header.Get("priority") != "5" || a.header.Get("persistent") != "true" {
		t.Errorf("defaults: %v", a.header)
	}
}

func TestRestSelector(t *testing.T) {
	r := newRig(t)
	c := r.basic("uli")
	for _, shop := range []string{"1", "2", "3"} {
		c.restPost("q?type=queue&body=of"+shop+"&shop="+shop, "", "").must(t, http.StatusOK)
	}
	if a := c.rest("GET", "q?type=queue", "selector", "shop > 1").must(t, http.StatusOK); a.body != "of2" {
		t.Errorf("%q", a.body)
	}
	c.rest("GET", "q?type=queue&readTimeout=0", "selector", "shop = 9").must(t, http.StatusNoContent)
	c.rest("GET", "q?type=queue", "selector", "shop =").must(t, http.StatusBadRequest)
	await(t, "the others back in the queue", func() bool {
		q, err := r.b.Queue(broker.Destination{Kind: broker.Queue, Name: "q"})
		return err == nil && q.Ready == 2 && q.InFlight == 0
	})
}

func TestRestRefusals(t *testing.T) {
	r := newRig(t)
	c := r.basic("uli")
	for path, status := range map[string]int{
		"":                                  400,
		"?destination=bogus://x":            400,
		"q?type=queue&readTimeout=x":        400,
		"q?type=queue&ack=maybe":            400,
		"q?ack=explicit":                    400,
		"q?type=queue&ack=explicit&lease=0": 400,
		"q?type=queue&ack=explicit&lease=999999999": 400,
		"ack%zz?type=queue":                         400,
	} {
		if path == "ack%zz?type=queue" {
			continue // Go's client does not send that
		}
		if a := c.rest("GET", path); a.status != status || a.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("GET %s: %d %s", path, a.status, a.body)
		}
	}
	c.rest("HEAD", "q?type=queue").must(t, http.StatusMethodNotAllowed)
	c.restPost("q?type=queue&body=x&JMSPriority=11", "", "").must(t, http.StatusBadRequest)
	c.restPost("q?type=queue&body=x&JMSTimeToLive=soon", "", "").must(t, http.StatusBadRequest)
	c.restPost("q?type=queue", plainForm, "a=%zz").must(t, http.StatusBadRequest)
	c.restPost("q?type=queue&body=x", "", "").must(t, http.StatusOK)
	r.basic("vera").rest("GET", "q?type=queue").must(t, http.StatusForbidden)
	r.basic("vera").restPost("q?type=queue&body=x", "", "").must(t, http.StatusForbidden)
	r.client().rest("GET", "q?type=queue").must(t, http.StatusUnauthorized)
	// A page of another site cannot take messages with the browser's login.
	r.loggedIn("uli").rest("GET", "q?type=queue", "Sec-Fetch-Site", "cross-site").must(t, http.StatusForbidden)
	r.loggedIn("uli").rest("GET", "q?type=queue", "Origin", "http://evil.example").must(t, http.StatusForbidden)
	r.loggedIn("uli").rest("GET", "q?type=queue", "Sec-Fetch-Site", "same-origin").must(t, http.StatusOK)
}

// begin starts a GET and returns when the server is at work on it.
func (c *client) begin(t *testing.T, path string) <-chan answer {
	t.Helper()
	got, sent := make(chan answer, 1), make(chan struct{})
	req, err := http.NewRequest("GET", c.url+"/api/message/"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(c.user, c.user+"-pw")
	req = req.WithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { close(sent) }}))
	go func() {
		res, err := c.http.Do(req)
		if err != nil {
			got <- answer{body: err.Error()}
			return
		}
		defer res.Body.Close()
		text, _ := io.ReadAll(res.Body)
		got <- answer{res.StatusCode, res.Header, string(text)}
	}()
	<-sent
	return got
}

// await waits for a condition of the broker.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s did not come", what)
		}
	}
}

func (r *rig) subscribers(name string) int {
	for _, x := range r.b.Topics(nil) {
		if x.Destination.Name == name {
			return x.Subscribers
		}
	}
	return 0
}

func TestRestWaitsForAMessage(t *testing.T) {
	r := newRig(t)
	c := r.basic("uli")
	got := c.begin(t, "q?type=queue")
	await(t, "the consumer", func() bool {
		q, err := r.b.Queue(broker.Destination{Kind: broker.Queue, Name: "q"})
		return err == nil && q.Consumers == 1
	})
	r.basic("alice").restPost("q?type=queue&body=late", "", "").must(t, http.StatusOK)
	if a := <-got; a.body != "late" {
		t.Errorf("%+v", a)
	}
	topic := c.begin(t, "news")
	await(t, "the subscriber", func() bool { return r.subscribers("news") == 1 })
	r.basic("alice").restPost("news?body=flash", "", "").must(t, http.StatusOK)
	if a := <-topic; a.body != "flash" || a.header.Get("destination") != "topic://news" {
		t.Errorf("%+v", a)
	}
	await(t, "the end of the subscriber", func() bool { return r.subscribers("news") == 0 })
}

// A client with an id misses nothing between its requests.
func TestRestClientOfATopic(t *testing.T) {
	r := newRig(t)
	c, alice := r.basic("uli"), r.basic("alice")
	c.rest("GET", "news?clientId=me&readTimeout=0").must(t, http.StatusNoContent)
	for _, body := range []string{"1", "2", "3"} {
		alice.restPost("news?body="+body, "", "").must(t, http.StatusOK)
	}
	for _, want := range []string{"1", "2", "3"} {
		if a := c.rest("GET", "news?clientId=me").must(t, http.StatusOK); a.body != want {
			t.Errorf("%q, want %q", a.body, want)
		}
	}
	// The same id of another user is another client.
	alice.rest("GET", "news?clientId=me&readTimeout=0&oneShot=true").must(t, http.StatusNoContent)
	got := c.begin(t, "news?clientId=me")
	await(t, "the conflict", func() bool { return c.rest("GET", "news?clientId=me&readTimeout=0").status == http.StatusConflict })
	c.restPost("?clientId=me&action=unsubscribe", "", "").must(t, http.StatusOK)
	if a := <-got; a.status != http.StatusServiceUnavailable {
		t.Errorf("%+v", a)
	}
	if n := r.subscribers("news"); n != 0 {
		t.Errorf("%d subscribers are left", n)
	}
}

func TestRestClientsAreBounded(t *testing.T) {
	r := newRig(t)
	c := r.basic("uli")
	for i := range admin.MaxRestOfUser {
		c.rest("GET", fmt.Sprintf("news?clientId=c%d&readTimeout=0", i)).must(t, http.StatusNoContent)
	}
	c.rest("GET", "news?clientId=more&readTimeout=0").must(t, http.StatusConflict)
	r.basic("alice").rest("GET", "news?clientId=more&readTimeout=0").must(t, http.StatusNoContent)
	c.restPost("?clientId=c0&action=unsubscribe", "", "").must(t, http.StatusOK)
	c.rest("GET", "news?clientId=more&readTimeout=0").must(t, http.StatusNoContent)
}

// Whom nobody asks for any more, the broker does not keep.
func TestRestClientIsForgotten(t *testing.T) {
	r := newRig(t)
	r.s.SetRestIdle(time.Millisecond)
	r.basic("uli").rest("GET", "news?clientId=me&readTimeout=0").must(t, http.StatusNoContent)
	await(t, "the end of the subscriber", func() bool { return r.subscribers("news") == 0 })
}

// A client that breaks off while it reads loses nothing: the message comes again.
func TestRestBrokenAnswerLosesNothing(t *testing.T) {
	for _, dest := range []string{"queue", "topic"} {
		t.Run(dest, func(t *testing.T) {
			r := newRig(t)
			c := r.basic("uli")
			ask := "big?type=" + dest + "&clientId=me"
			c.rest("GET", ask+"&readTimeout=0").must(t, http.StatusNoContent)
			body := strings.Repeat("0123456789abcdef", 12<<20/16) // more than the buffers of a socket
			c.restPost("big?type="+dest, "text/plain", body).must(t, http.StatusOK)
			breakOff(t, r, ask)
			var a answer
			await(t, "the message", func() bool { // until the broken request has ended, the client is busy
				a = c.rest("GET", ask+"&readTimeout=100")
				return a.status == http.StatusOK
			})
			if a.body != body || a.header.Get("redelivered") != "true" {
				t.Errorf("%d bytes, redelivered %q", len(a.body), a.header.Get("redelivered"))
			}
			c.rest("GET", ask+"&readTimeout=0").must(t, http.StatusNoContent)
		})
	}
}

// breakOff asks for a message, reads the beginning of the answer and is gone.
func breakOff(t *testing.T, r *rig, ask string) {
	t.Helper()
	u, err := url.Parse(r.url)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.(*net.TCPConn).SetReadBuffer(4096)
	fmt.Fprintf(conn, "GET /api/message/%s HTTP/1.1\r\nHost: x\r\nAuthorization: Basic dWxpOnVsaS1wdw==\r\n\r\n", ask)
	line, err := bufio.NewReaderSize(conn, 16).ReadString('\n')
	if err != nil || !strings.Contains(line, "200") {
		t.Fatal(line, err)
	}
	conn.(*net.TCPConn).SetLinger(0)
}

func TestRestExplicitAcknowledgement(t *testing.T) {
	r := newRig(t)
	c := r.basic("uli")
	q := broker.Destination{Kind: broker.Queue, Name: "q"}
	for _, body := range []string{"1", "2"} {
		c.restPost("q?type=queue&body="+body, "", "").must(t, http.StatusOK)
	}
	first := c.rest("GET", "q?type=queue&ack=explicit").must(t, http.StatusOK)
	second := c.rest("GET", "q?type=queue&ack=explicit&lease=1").must(t, http.StatusOK)
	if first.body != "1" || second.body != "2" || first.header.Get("ackId") == "" {
		t.Fatalf("%q %q %v", first.body, second.body, first.header)
	}
	r.basic("alice").rest("DELETE", "ack/"+first.header.Get("ackId")).must(t, http.StatusNotFound) // not hers
	c.rest("DELETE", "ack/"+first.header.Get("ackId")).must(t, http.StatusNoContent)
	c.rest("DELETE", "ack/"+first.header.Get("ackId")).must(t, http.StatusNotFound)
	await(t, "the end of the lease", func() bool {
		i, err := r.b.Queue(q)
		return err == nil && i.Ready == 1 && i.InFlight == 0
	})
	c.rest("DELETE", "ack/"+second.header.Get("ackId")).must(t, http.StatusNotFound)
	if a := c.rest("GET", "q?type=queue").must(t, http.StatusOK); a.body != "2" || a.header.Get("redelivered") != "true" {
		t.Errorf("%q %v", a.body, a.header)
	}
}

// What is neither acknowledged nor given back is there after the console has ended.
func TestRestLeaseEndsWithTheConsole(t *testing.T) {
	r := newRig(t)
	c := r.basic("uli")
	c.restPost("q?type=queue&body=1", "", "").must(t, http.StatusOK)
	c.rest("GET", "q?type=queue&ack=explicit").must(t, http.StatusOK)
	c.rest("GET", "news?clientId=me&readTimeout=0").must(t, http.StatusNoContent)
	if err := r.s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if q, err := r.b.Queue(broker.Destination{Kind: broker.Queue, Name: "q"}); err != nil || q.Ready != 1 {
		t.Errorf("%+v %v", q, err)
	}
	if n := len(r.b.Connections()); n != 0 {
		t.Errorf("%d connections are left", n)
	}
}
