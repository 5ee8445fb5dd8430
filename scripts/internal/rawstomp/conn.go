// Package rawstomp is the least STOMP 1.2 client there can be: it writes the
// frames it is told to and hands over those that come. Tests use it where they
// must know exactly what was sent and what was answered.
package rawstomp

import (
	"bytes"
	"fmt"
	"net"
	"time"

	"treadmq/broker/stomp/frame"
)

// dialTimeout bounds connecting and logging in.
const dialTimeout = 30 * time.Second

// Frame is a frame that came in; it is the caller's to keep.
type Frame struct {
	Command string
	Headers map[string]string // of a repeated one the first
	Body    []byte
}

// Get returns a header, "" if there is none.
func (f *Frame) Get(name string) string { return f.Headers[name] }

// Error is an ERROR frame where something else was expected.
type Error struct{ Frame *Frame }

func (e *Error) Error() string {
	return fmt.Sprintf("the broker answered ERROR: %s: %s", e.Frame.Get("message"), bytes.TrimSpace(e.Frame.Body))
}

// Conn is a connection. One goroutine may write while another one reads.
type Conn struct {
	net.Conn
	Connected *Frame // the broker's answer to CONNECT

	frames *frame.Reader
	in     frame.Frame
	out    []byte
}

// Dial connects and logs in. Further CONNECT headers are given as name, value, name, value...
func Dial(addr, login, passcode string, headers ...string) (*Conn, error) {
	return DialTimeout(addr, login, passcode, dialTimeout, headers...)
}

// DialTimeout is Dial with a bound on how long it takes: first for TCP, then for the answer to CONNECT.
func DialTimeout(addr, login, passcode string, timeout time.Duration, headers ...string) (*Conn, error) {
	raw, err := net.DialTimeout("tcp", addr, timeout)
	if err != nil {
		return nil, err
	}
	c := &Conn{Conn: raw, frames: frame.NewReader(raw, frame.ReaderOptions{})}
	if err := c.logIn(timeout, append([]string{"accept-version", "1.2", "host", "localhost", "login", login, "passcode", passcode}, headers...)); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (c *Conn) logIn(timeout time.Duration, headers []string) error {
	if err := c.SetDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	if err := c.Send("CONNECT", nil, headers...); err != nil {
		return err
	}
	f, err := c.Receive()
	if err != nil {
		return err
	}
	if f.Command != "CONNECTED" {
		return &Error{f}
	}
	c.Connected = f
	c.frames.SetVersion(frame.V12)
	return c.SetDeadline(time.Time{})
}

// Send writes one frame. Headers are given as name, value, name, value...
func (c *Conn) Send(command string, body []byte, headers ...string) error {
	c.Append(command, body, headers...)
	return c.Flush()
}

// Append adds a frame to what the next Flush writes.
func (c *Conn) Append(command string, body []byte, headers ...string) {
	v := frame.V12
	if command == "CONNECT" {
		v = frame.V10
	}
	c.out = append(append(c.out, command...), '\n')
	for i := 0; i+1 < len(headers); i += 2 {
		c.out = frame.AppendHeader(c.out, v, headers[i], headers[i+1])
	}
	if len(body) > 0 {
		c.out = frame.AppendHeaderInt(c.out, "content-length", int64(len(body)))
	}
	c.out = frame.AppendBody(frame.AppendEnd(c.out), body)
}

// Flush writes what was appended. After an error nobody knows which of it arrived.
func (c *Conn) Flush() error {
	_, err := c.Write(c.out)
	c.out = c.out[:0]
	return err
}

// Receive reads the next frame.
func (c *Conn) Receive() (*Frame, error) {
	if err := c.frames.Read(&c.in); err != nil {
		return nil, err
	}
	f := &Frame{Command: c.in.Command.String(), Headers: make(map[string]string, len(c.in.Headers)), Body: bytes.Clone(c.in.Body)}
	for _, h := range c.in.Headers {
		if _, ok := f.Headers[string(h.Name)]; !ok {
			f.Headers[string(h.Name)] = string(h.Value)
		}
	}
	return f, nil
}
