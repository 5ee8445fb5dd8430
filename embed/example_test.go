package embed_test

import (
	"fmt"
	"log"

	"github.com/go-stomp/stomp/v3"

	"treadmq/embed"
)

// A broker for a test: a few lines, no files, nothing left behind. In a test, use t.Cleanup for Close.
func Example() {
	b, err := embed.Start(embed.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer b.Close()

	c, err := stomp.Dial("tcp", b.Addr()) // the program under test gets b.URL()
	if err != nil {
		log.Fatal(err)
	}
	if err := c.Send("/queue/orders", "text/plain", []byte("one pound of coffee"), stomp.SendOpt.Receipt); err != nil {
		log.Fatal(err)
	}
	fmt.Println(b.Depth("orders"), "message")
	if err := c.Disconnect(); err != nil {
		log.Fatal(err)
	}
	// Output: 1 message
}

// Connections in memory need no port.
func ExampleBroker_Dial() {
	b, err := embed.Start(embed.Options{NoPort: true})
	if err != nil {
		log.Fatal(err)
	}
	defer b.Close()

	nc, err := b.Dial()
	if err != nil {
		log.Fatal(err)
	}
	c, err := stomp.Connect(nc)
	if err != nil {
		log.Fatal(err)
	}
	sub, err := c.Subscribe("/topic/news", stomp.AckAuto)
	if err != nil {
		log.Fatal(err)
	}
	if err := c.Send("/topic/news", "text/plain", []byte("hello")); err != nil {
		log.Fatal(err)
	}
	fmt.Println(string((<-sub.C).Body))
	if err := c.Disconnect(); err != nil {
		log.Fatal(err)
	}
	// Output: hello
}
