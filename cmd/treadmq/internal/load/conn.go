package load

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"treadmq/ha/failover"
)

// Bounds of a connection.
const (
	bufferSize     = 64 << 10 // of reading; also the longest header line
	flushSize      = 32 << 10 // what is gathered before it is written
	maxHeaders     = 1000
	maxErrorText   = 1 << 10
	connectTimeout = 10 * time.Second
	goodbyeTimeout = 30 * time.Second
)

// conn is a STOMP 1.2 connection. Reading and writing may be done by two goroutines.
type conn struct {
	net.Conn
	r   *bufio.Reader
	out []byte // frames not yet written, always whole ones
}

// RefusedError is an ERROR frame of the broker.
type RefusedError struct{ Message, Code string }

// Error is what the broker said.
func (e *RefusedError) Error() string { return "broker says: " + e.Message }

// errBody is a broken frame.
var errBody = errors.New("the broker's frame is broken: no NUL after its body")

func dialAny(ctx context.Context, cfg *Config) (failover.Address, error) {
	var all []error
	for _, a := range cfg.Addresses {
		c, err := dial(ctx, cfg, a)
		if err == nil {
			c.Close()
			return a, nil
		}
		var refused *RefusedError
		if errors.As(err, &refused) || ctx.Err() != nil {
			return a, err
		}
		all = append(all, err)
	}
	return failover.Address{}, errors.Join(all...)
}

func dial(ctx context.Context, cfg *Config, a failover.Address) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", a.HostPort())
	if err != nil {
		return nil, err
	}
	if a.TLS {
		t, err := tlsConfig(cfg, a)
		if err != nil {
			raw.Close()
			return nil, err
		}
		raw = tls.Client(raw, t)
	}
	c := &conn{Conn: raw, r: bufio.NewReaderSize(raw, bufferSize)}
	if err := c.connect(cfg, a); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func tlsConfig(cfg *Config, a failover.Address) (*tls.Config, error) {
	t := &tls.Config{ServerName: a.Host, InsecureSkipVerify: a.InsecureSkipVerify, MinVersion: tls.VersionTLS12}
	if cfg.Options.CAFile != "" {
		pem, err := os.ReadFile(cfg.Options.CAFile)
		if err != nil {
			return nil, err
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate in PEM form", cfg.Options.CAFile)
		}
	}
	return t, nil
}

func (c *conn) connect(cfg *Config, a failover.Address) error {
	login, passcode := cfg.Options.Login, cfg.Options.Passcode
	if a.Login != "" {
		login, passcode = a.Login, a.Passcode
	}
	host := cfg.Options.Host
	if host == "" {
		host = a.Host
	}
	c.command("CONNECT").raw("accept-version", "1.2").raw("host", host).raw("heart-beat", "0,0")
	if login != "" {
		if strings.ContainsAny(login+passcode, "\n\r\x00") {
			return errors.New("login and passcode must not hold line ends or NUL")
		}
		c.raw("login", login).raw("passcode", passcode)
	}
	c.end(nil)
	c.SetDeadline(time.Now().Add(connectTimeout))
	if err := c.flush(); err != nil {
		return err
	}
	var f inFrame
	if err := c.read(&f); err != nil {
		return err
	}
	if f.command != "CONNECTED" {
		return fmt.Errorf("the broker answered CONNECT with %s", f.command)
	}
	return c.SetDeadline(time.Time{})
}

func (c *conn) command(name string) *conn {
	c.out = append(append(c.out, name...), '\n')
	return c
}

// raw adds a header as it is.
func (c *conn) raw(name, value string) *conn {
	c.out = append(append(append(append(c.out, name...), ':'), value...), '\n')
	return c
}

// header adds a header with STOMP 1.2's escapes.
func (c *conn) header(name, value string) *conn {
	e := strings.NewReplacer(`\`, `\\`, ":", `\c`, "\n", `\n`, "\r", `\r`)
	return c.raw(e.Replace(name), e.Replace(value))
}

func (c *conn) end(body []byte) {
	c.out = append(c.out, '\n')
	c.out = append(c.out, body...)
	c.out = append(c.out, 0)
}

// flush writes what is gathered, and then more, which is not copied.
func (c *conn) flush(more ...[]byte) error {
	if len(c.out) == 0 && len(more) == 0 {
		return nil
	}
	all := append(net.Buffers{c.out}, more...)
	_, err := all.WriteTo(c.Conn)
	c.out = c.out[:0]
	return err
}

// inFrame is a frame of the broker, as far as a load needs it. It is valid until the
// next read.
type inFrame struct {
	command      string
	receipt      []byte
	ack          []byte // as on the wire: what goes back into ACK
	subscription []byte
	message      []byte
	code         []byte
	redelivered  bool
	length       int    // -1: up to the NUL
	body         []byte // of MESSAGE its beginning at least; of others nothing
}

// read takes the next frame. An ERROR comes back as a *RefusedError.
func (c *conn) read(f *inFrame) error {
	if err := c.head(f); err != nil {
		return err
	}
	if err := c.body(f); err != nil {
		return err
	}
	if f.command == "ERROR" {
		return &RefusedError{Message: unescape(f.message), Code: string(f.code)}
	}
	return nil
}

func unescape(b []byte) string {
	return strings.NewReplacer(`\c`, ":", `\n`, "\n", `\r`, "\r", `\\`, `\`).Replace(string(b))
}

func (c *conn) head(f *inFrame) error {
	line, err := c.line()
	for err == nil && len(line) == 0 {
		line, err = c.line() // heart-beats
	}
	if err != nil {
		return err
	}
	f.command = commandOf(line)
	f.receipt, f.ack, f.subscription = f.receipt[:0], f.ack[:0], f.subscription[:0]
	f.message, f.code, f.redelivered, f.length = f.message[:0], f.code[:0], false, -1
	for range maxHeaders {
		if line, err = c.line(); err != nil || len(line) == 0 {
			return err
		}
		if err := f.take(line); err != nil {
			return err
		}
	}
	return fmt.Errorf("the broker's frame has more than %d headers", maxHeaders)
}

func commandOf(line []byte) string {
	for _, known := range [...]string{"MESSAGE", "RECEIPT", "ERROR", "CONNECTED"} {
		if string(line) == known {
			return known
		}
	}
	return string(line[:min(len(line), 32)])
}

func (f *inFrame) take(line []byte) error {
	name, value, _ := bytes.Cut(line, []byte(":"))
	switch string(name) {
	case "ack":
		f.ack = append(f.ack[:0], value...)
	case "subscription":
		f.subscription = append(f.subscription[:0], value...)
	case "receipt-id":
		f.receipt = append(f.receipt[:0], value...)
	case "redelivered":
		f.redelivered = string(value) == "true"
	case "message":
		f.message = append(f.message[:0], value[:min(len(value), maxErrorText)]...)
	case "x-code":
		f.code = append(f.code[:0], value[:min(len(value), maxErrorText)]...)
	case "content-length":
		n, err := strconv.ParseUint(string(value), 10, 31)
		if err != nil {
			return fmt.Errorf("the broker's content-length is no number: %w", err)
		}
		f.length = int(n)
	}
	return nil
}

// line is a line without its end, valid until the next read.
func (c *conn) line() ([]byte, error) {
	b, err := c.r.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b[:len(b)-1], []byte("\r")), nil
}

func (c *conn) body(f *inFrame) error {
	f.body = nil
	if f.length < 0 {
		return c.bodyToNUL(f)
	}
	if f.length+1 > bufferSize {
		b, err := c.r.Peek(stampSize)
		if err != nil {
			return err
		}
		f.body = bytes.Clone(b)
		if _, err := c.r.Discard(f.length); err != nil {
			return err
		}
		if last, err := c.r.ReadByte(); err != nil || last != 0 {
			return errors.Join(errBody, err)
		}
		return nil
	}
	b, err := c.r.Peek(f.length + 1)
	if err != nil {
		return err
	}
	if b[f.length] != 0 {
		return errBody
	}
	f.body = b[:f.length]
	_, err = c.r.Discard(len(b))
	return err
}

func (c *conn) bodyToNUL(f *inFrame) error {
	b, err := c.r.ReadSlice(0)
	f.body = bytes.Clone(bytes.TrimSuffix(b, []byte{0}))
	for errors.Is(err, bufio.ErrBufferFull) {
		_, err = c.r.ReadSlice(0)
	}
	return err
}

// drained reports whether nothing more can be read without waiting.
func (c *conn) drained() bool {
	for c.r.Buffered() > 0 {
		b, _ := c.r.Peek(1)
		if b[0] != '\n' && b[0] != '\r' {
			return false
		}
		c.r.Discard(1)
	}
	return true
}

// goodbye is written at once, whatever out holds: net.Conn keeps writes apart.
const goodbye = "DISCONNECT\nreceipt:bye\n\n\x00"
