package stomp

import (
	"encoding/json"
	"encoding/xml"
	"strings"
	"testing"
)

// javaMap is a Java map as XStream writes it, which checks written for ActiveMQ parse.
type javaMap struct {
	XMLName xml.Name `xml:"map"`
	Entries []struct {
		Strings []string `xml:"string"`
		Long    *int64   `xml:"long"`
		Int     *int32   `xml:"int"`
		Double  *float64 `xml:"double"`
		Boolean *bool    `xml:"boolean"`
	} `xml:"entry"`
}

// The answers come as maps in XML to a subscription that says transformation:jms-map-xml, as checks for Nagios ask.
func TestStatistics_MapXML(t *testing.T) {
	for _, where := range []string{"subscription", "request", "jms-xml"} {
		t.Run(where, func(t *testing.T) {
			r := newRig(t)
			c := r.connected("client-id:<a&b>\n")
			subscribe, request := "transformation:jms-map-xml\n", ""
			switch where {
			case "request":
				subscribe, request = request, subscribe
			case "jms-xml":
				subscribe = "transformation:jms-xml\n"
			}
			c.subscribe("/temp-queue/stats", "ack:auto\n"+subscribe)
			c.publish("/queue/q", "", "body")
			c.send("SEND\ndestination:/queue/ActiveMQ.Statistics.Destination.q\nreply-to:/temp-queue/stats\ncorrelation-id:7\n" + request + "\n\x00")
			g := c.expect("MESSAGE")
			if g.get("transformation") != "jms-map-xml" || g.get("content-type") != "application/xml" || g.get("correlation-id") != "7" || g.get("type") != "Advisory" {
				t.Fatal(g)
			}
			if !strings.HasPrefix(g.body, "<map>\n  <entry>\n    <string>brokerName</string>\n    <string>test</string>\n  </entry>\n") {
				t.Errorf("the body is %s", g.body)
			}
			var m javaMap
			if err := xml.Unmarshal([]byte(g.body), &m); err != nil {
				t.Fatal(err)
			}
			seen := map[string]bool{}
			for _, e := range m.Entries {
				name := e.Strings[0]
				seen[name] = true
				switch name {
				case "destinationName":
					if e.Strings[1] != "queue://q" {
						t.Error(e)
					}
				case "size", "enqueueCount":
					if e.Long == nil || *e.Long != 1 {
						t.Errorf("%s: %v", name, e)
					}
				case "memoryPercentUsage":
					if e.Int == nil {
						t.Errorf("%s is no int", name)
					}
				case "averageMessageSize":
					if e.Double == nil || *e.Double <= 0 {
						t.Errorf("%s is no double", name)
					}
				}
			}
			for _, name := range []string{"brokerName", "destinationName", "size", "enqueueCount", "memoryPercentUsage", "averageMessageSize"} {
				if !seen[name] {
					t.Errorf("no entry %s in %s", name, g.body)
				}
			}
			c.send("SEND\ndestination:/queue/ActiveMQ.Statistics.Subscription\nreply-to:/temp-queue/stats\n" + request + "\n\x00")
			if g := c.expect("MESSAGE"); !strings.Contains(g.body, "<string>&lt;a&amp;b&gt;</string>") || !strings.Contains(g.body, "<boolean>false</boolean>") {
				t.Error(g.body)
			}
			c.send("SEND\ndestination:ActiveMQ.Statistics.Destination.noneActiveMQ.Statistics.Destination.List.End.With.Null\nreply-to:/temp-queue/stats\n" + request + "\n\x00")
			if g := c.expect("MESSAGE"); g.body != "<map/>" {
				t.Error(g.body)
			}
		})
	}
}

// jms-map-json is the same map in the JSON that XStream makes of it. Each subscription has it in its own form.
func TestStatistics_MapJSON(t *testing.T) {
	r := newRig(t)
	asks, reads := r.connected(""), r.connected("")
	asks.subscribe("/topic/stats", "ack:auto\ntransformation:jms-map-json\n")
	reads.subscribe("/topic/stats", "ack:auto\n")
	asks.publish("/queue/q", "", "body")
	asks.send("SEND\ndestination:ActiveMQ.Statistics.Destination.q\nreply-to:/topic/stats\n\n\x00")
	g := asks.expect("MESSAGE")
	var m struct {
		Map struct {
			Entry []struct {
				String any  `json:"string"`
				Long   *int `json:"long"`
			} `json:"entry"`
		} `json:"map"`
	}
	if err := json.Unmarshal([]byte(g.body), &m); err != nil || g.get("transformation") != "jms-map-json" || g.get("content-type") != "application/json" {
		t.Fatalf("%v: %v", err, g)
	}
	got := map[string]any{}
	for _, e := range m.Map.Entry {
		switch name := e.String.(type) {
		case string:
			if e.Long != nil {
				got[name] = *e.Long
			}
		case []any:
			got[name[0].(string)] = name[1]
		}
	}
	if got["destinationName"] != "queue://q" || got["size"] != 1 {
		t.Errorf("%v in %s", got, g.body)
	}
	var plain map[string]any
	if g := reads.expect("MESSAGE"); json.Unmarshal([]byte(g.body), &plain) != nil || plain["size"] != 1.0 || g.get("transformation") != "" {
		t.Error(g)
	}
	// A map of a client is its own affair.
	asks.publish("/topic/stats", "amq-msg-type:map\ntransformation:jms-map-xml\n", `{"a":1}`)
	if g := asks.take(`{"a":1}`)[0]; g.get("transformation") != "jms-map-xml" {
		t.Error(g)
	}
	asks.send("SEND\ndestination:ActiveMQ.Statistics.Destination.noneActiveMQ.Statistics.Destination.List.End.With.Null\nreply-to:/topic/stats\n\n\x00")
	if g := asks.expect("MESSAGE"); g.body != `{"map":""}` {
		t.Error(g.body)
	}
}
