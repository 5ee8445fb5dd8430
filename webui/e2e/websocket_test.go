package e2e

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"treadmq/embed"
)

// bundle is stompjs for browsers, as npm installed it.
const bundle = "../../scripts/clients/js/node_modules/@stomp/stompjs/bundles/stomp.umd.min.js"

// stompPage is a program of a web page. What it does shows in its globals.
const stompPage = `<!doctype html><meta charset="utf-8"><title>STOMP</title><link rel="icon" href="data:,"><body><script src="/stomp.js"></script><script>
var got = {}, ended = false;
function connect(url, binary) {
  window.client = new StompJs.Client({
    brokerURL: url, reconnectDelay: 0, forceBinaryWSFrames: binary, splitLargeFrames: true, maxWebSocketChunkSize: 1000,
    heartbeatIncoming: 1000, heartbeatOutgoing: 1000,
    onConnect: function(f) { window.version = f.headers.version; },
    onStompError: function(f) { window.error = f.headers.message; },
    onWebSocketClose: function() { ended = true; },
  });
  client.activate();
}
function subscribe(destination, id) {
  client.watchForReceipt(id, function() { window[id] = true; });
  client.subscribe(destination, function(m) {
    got[id] = {body: m.body, bytes: Array.from(m.binaryBody), headers: m.headers};
    m.ack();
  }, {id: id, ack: 'client-individual', receipt: id});
}
</script>`

// page serves the program on a port of its own.
func page(t *testing.T) *rig {
	t.Helper()
	script, err := os.ReadFile(filepath.FromSlash(bundle))
	if err != nil {
		t.Fatalf("stompjs is missing, install it with scripts/deps.sh browser: %v", err)
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/stomp.js" {
			w.Header().Set("Content-Type", "text/javascript")
			_, _ = w.Write(script)
			return
		}
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte(stompPage))
	}))
	t.Cleanup(s.Close)
	return &rig{t: t, url: s.URL, host: strings.TrimPrefix(s.URL, "http://")}
}

func startBroker(t *testing.T) *embed.Broker {
	t.Helper()
	b, err := embed.Start(embed.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// becomes waits for a condition of the page's own variables, which until does not see.
func (b *tab) becomes(script string) {
	b.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !eval[bool](b, "!!("+script+")"); <-tick.C {
		if time.Now().After(deadline) {
			b.t.Fatalf("never happened: %s\n%s", script, eval[string](b, "JSON.stringify([got, window.error, ended], function(k, v) { return k === \"body\" ? v.length : k === \"bytes\" ? v.slice(0, 4) : v })"))
		}
	}
}

// A web page sends and receives with @stomp/stompjs, in text and in binary messages, frames in pieces of 1000 bytes.
func TestStompInAPage(t *testing.T) {
	for _, binary := range []string{"false", "true"} {
		t.Run("binary "+binary, func(t *testing.T) {
			b := startBroker(t)
			p := page(t).open()
			p.goTo("/")
			eval[bool](p, `connect("`+b.WebSocketURL()+`", `+binary+`), true`)
			p.becomes(`window.version === "1.2"`)
			eval[bool](p, `subscribe("/queue/orders", "s1"), true`)
			p.becomes(`window.s1`)
			eval[bool](p, `client.publish({destination: "/queue/orders", body: "grüße ".repeat(1000), headers: {kind: "a:b"}}), true`)
			p.becomes(`got.s1 && got.s1.body === "grüße ".repeat(1000) && got.s1.headers.kind === "a:b"`)
			eval[bool](p, `client.publish({destination: "/queue/orders", binaryBody: new Uint8Array([0, 255, 10, 0])}), true`)
			p.becomes(`got.s1.bytes.join() === "0,255,10,0"`)
			p.becomes(`(client.publish({destination: "/topic/ping", body: ""}), client.connected)`)
			if info := b.Core().Connections(); len(info) != 1 || info[0].ConnOptions.Protocol != "STOMP 1.2 over WebSocket" {
				t.Errorf("%+v", info)
			}
			eval[bool](p, `client.deactivate(), true`)
			p.becomes(`ended`)
			if n := b.Depth("orders"); n != 0 {
				t.Errorf("%d messages are left", n)
			}
		})
	}
}

// An operator's words reach the page before its connection ends.
func TestStompErrorInAPage(t *testing.T) {
	b := startBroker(t)
	p := page(t).open()
	p.goTo("/")
	eval[bool](p, `connect("`+b.WebSocketURL()+`", false), true`)
	p.becomes(`window.version === "1.2"`)
	b.Disconnect("down for repairs")
	p.becomes(`window.error === "down for repairs" && ended`)
}

// A page of another site is refused.
func TestStompFromAForeignPage(t *testing.T) {
	b := startBroker(t)
	r := page(t)
	r.url, r.host = strings.Replace(r.url, "127.0.0.1", "localhost", 1), strings.Replace(r.host, "127.0.0.1", "localhost", 1)
	p := r.open("WebSocket connection to", "403")
	p.goTo("/")
	eval[bool](p, `connect("`+b.WebSocketURL()+`", false), true`)
	p.becomes(`ended`)
	if eval[bool](p, `window.version !== undefined`) || len(b.Core().Connections()) != 0 {
		t.Error("it was let in")
	}
}
