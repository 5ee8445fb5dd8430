package load

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"testing"
)

func reading(text string) *conn {
	return &conn{r: bufio.NewReaderSize(strings.NewReader(text), bufferSize)}
}

func TestReadFrames(t *testing.T) {
	c := reading("\n\r\nMESSAGE\r\nack:a\\c1\nack:second\nsubscription:7\nredelivered:true\ncontent-length:3\n\na\x00b\x00\n" +
		"RECEIPT\nreceipt-id:r1\n\n\x00" + "MESSAGE\nsubscription:1\n\nno length\x00")
	var f inFrame
	if err := c.read(&f); err != nil || string(f.body) != "a\x00b" || !f.redelivered || string(f.subscription) != "7" {
		t.Fatalf("%+v %v", f, err)
	}
	if err := c.read(&f); err != nil || f.command != "RECEIPT" || string(f.receipt) != "r1" || f.redelivered || len(f.ack) > 0 {
		t.Fatalf("%+v %v", f, err)
	}
	if err := c.read(&f); err != nil || string(f.body) != "no length" || !c.drained() {
		t.Fatalf("%+v %v", f, err)
	}
	if err := c.read(&f); err != io.EOF {
		t.Fatal(err)
	}
}

func TestReadRefusesBrokenFrames(t *testing.T) {
	for name, text := range map[string]string{
		"no NUL":          "MESSAGE\ncontent-length:1\n\nab\x00",
		"length":          "MESSAGE\ncontent-length:-1\n\n\x00",
		"huge length":     "MESSAGE\ncontent-length:99999999999\n\n\x00",
		"long header":     "MESSAGE\nx:" + strings.Repeat("y", bufferSize) + "\n\n\x00",
		"many headers":    "MESSAGE\n" + strings.Repeat("a:b\n", maxHeaders+1) + "\n\x00",
		"cut":             "MESSAGE\ncontent-length:10\n\nabc",
		"large, no NUL":   "MESSAGE\ncontent-length:70000\n\n" + strings.Repeat("x", 70001),
		"large, then cut": "MESSAGE\ncontent-length:70000\n\n" + strings.Repeat("x", 60000),
	} {
		var f inFrame
		if err := reading(text).read(&f); err == nil {
			t.Errorf("%s passes", name)
		}
	}
	var refused *RefusedError
	var f inFrame
	if err := reading("ERROR\nmessage:no\\c way\nx-code:login\n\n\x00").read(&f); !errors.As(err, &refused) || refused.Message != "no: way" || refused.Code != "login" {
		t.Errorf("%v", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add("MESSAGE\nack:1\nsubscription:0\ncontent-length:2\n\nab\x00\nRECEIPT\nreceipt-id:x\n\n\x00")
	f.Add("ERROR\nmessage:m\n\nbody\x00")
	f.Fuzz(func(t *testing.T, text string) {
		c := reading(text)
		var in inFrame
		for range 100 {
			if err := c.read(&in); err != nil {
				return
			}
			if in.length >= 0 && len(in.body) > in.length {
				t.Fatalf("a body of %d bytes, %d announced", len(in.body), in.length)
			}
			parseStamp(in.body)
			parseID(in.receipt)
			c.drained()
		}
	})
}
