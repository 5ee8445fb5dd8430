package failover

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"github.com/go-stomp/stomp/v3"
)

// AckMode says how received messages are acknowledged.
type AckMode = stomp.AckMode

// The ack modes of STOMP 1.2 SUBSCRIBE.
const (
	AckAuto             = stomp.AckAuto
	AckClient           = stomp.AckClient
	AckClientIndividual = stomp.AckClientIndividual
)

// Defaults of Options.
const (
	DefaultHeartBeat      = 10 * time.Second
	DefaultWindow         = 1000
	DefaultWindowBytes    = 16 << 20
	DefaultBufferMessages = 10_000
	DefaultBufferBytes    = 16 << 20
	DefaultMaxMessageSize = 100 << 20
)

// Options say who connects and how much memory the connection may use. The
// zero value is usable.
type Options struct {
	// Login and Passcode are sent in CONNECT unless the address has its own.
	Login, Passcode string
	// ClientID is CONNECT's client-id, the owner of durable subscriptions.
	ClientID string
	// Host is CONNECT's host (virtual host); the broker's name when empty.
	Host string
	// Headers are added to CONNECT.
	Headers []Header
	// HeartBeat is the interval offered in both directions; 0 means
	// DefaultHeartBeat, negative none. A broker silent for twice the agreed
	// interval counts as lost.
	HeartBeat time.Duration

	// TLS is the base for stomp+ssl addresses; ServerName and
	// InsecureSkipVerify are filled in from the address.
	TLS *tls.Config
	// CAFile is a PEM file of certificates to trust instead of the system's.
	CAFile string
	// DialContext replaces the TCP dialer, as in net.Dialer.DialContext.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)

	// Window and WindowBytes bound messages sent and not yet confirmed; one
	// message larger than WindowBytes passes when no other is on its way.
	Window      int
	WindowBytes int
	// BufferMessages and BufferBytes bound received messages that the program
	// has not fetched, over all subscriptions.
	BufferMessages int
	BufferBytes    int
	// MaxMessageSize in bytes ends a connection that announces a larger body.
	MaxMessageSize int
	// DedupID adds an x-dedup-id header to messages of a failover address, by which
	// TreadMQ recognises what was sent again. Other brokers pass it on as a header like any other.
	DedupID bool

	// Logger gets connects and losses; nil discards them.
	Logger *slog.Logger
	// OnInterrupted is told that the connection to addr (host:port) ended, and
	// why; OnResumed that a later one is in use. Both run one after the other
	// on the goroutine that reconnects, so they must not wait for the Conn: no
	// Send, Subscribe, Close or Disconnect (SendAsync only while the window has
	// room).
	OnInterrupted func(addr string, err error)
	OnResumed     func(addr string)

	// shuffle replaces the random order of addresses in tests.
	shuffle func([]Address)
}

// withDefaults returns validated options with every zero filled in.
func (o Options) withDefaults(u *URL) (Options, error) {
	if o.HeartBeat == 0 {
		o.HeartBeat = DefaultHeartBeat
	}
	o.HeartBeat = max(o.HeartBeat, 0)
	for _, f := range []struct {
		name   string
		value  *int
		preset int
	}{
		{"Window", &o.Window, DefaultWindow},
		{"WindowBytes", &o.WindowBytes, DefaultWindowBytes},
		{"BufferMessages", &o.BufferMessages, DefaultBufferMessages},
		{"BufferBytes", &o.BufferBytes, DefaultBufferBytes},
		{"MaxMessageSize", &o.MaxMessageSize, DefaultMaxMessageSize},
	} {
		if *f.value < 0 {
			return o, fmt.Errorf("failover option %s is %d; it must be positive, or 0 for %d", f.name, *f.value, f.preset)
		}
		if *f.value == 0 {
			*f.value = f.preset
		}
	}
	if o.ClientID != "" && u.Failover && u.Policy.Backup {
		return o, errors.New("backup=true cannot be used with a client id: two connections would carry it and brokers refuse the second; drop one of them")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.DialContext == nil {
		o.DialContext = (&net.Dialer{}).DialContext
	}
	return o, errors.Join(o.loadTLS(), o.checkConnectHeaders())
}

// maxCAFile bounds the PEM file read from CAFile.
const maxCAFile = 4 << 20

func (o *Options) loadTLS() error {
	if o.TLS == nil {
		o.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if o.CAFile == "" {
		return nil
	}
	info, err := os.Stat(o.CAFile)
	if err != nil {
		return fmt.Errorf("read CA file: %w", err)
	}
	if info.Size() > maxCAFile {
		return fmt.Errorf("CA file %s has %d bytes, more than the %d allowed", o.CAFile, info.Size(), maxCAFile)
	}
	pem, err := os.ReadFile(o.CAFile)
	if err != nil {
		return fmt.Errorf("read CA file: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return fmt.Errorf("CA file %s holds no PEM certificate", o.CAFile)
	}
	o.TLS = o.TLS.Clone()
	o.TLS.RootCAs = pool
	return nil
}

// checkConnectHeaders refuses what cannot stand in CONNECT, where STOMP has no
// escapes.
func (o *Options) checkConnectHeaders() error {
	if err := checkCredentials(o.Login, o.Passcode); err != nil {
		return err
	}
	headers := append([]Header{H("host", o.Host), H("client-id", o.ClientID)}, o.Headers...)
	for _, h := range headers {
		if h.Name == "" || strings.ContainsAny(h.Name, ":\r\n\x00") || strings.ContainsAny(h.Value, "\r\n\x00") {
			return fmt.Errorf("CONNECT header %q: line ends, NUL and a colon in the name cannot be sent", h.Name)
		}
	}
	return nil
}

func checkCredentials(login, passcode string) error {
	if strings.ContainsAny(login+passcode, "\r\n\x00") {
		return errors.New("login and passcode cannot hold line ends or NUL, which STOMP cannot carry in CONNECT")
	}
	return nil
}

// tlsConfig is the TLS configuration for one address.
func (o *Options) tlsConfig(a Address) *tls.Config {
	config := o.TLS.Clone()
	if config.ServerName == "" {
		config.ServerName, _, _ = strings.Cut(a.Host, "%")
	}
	config.InsecureSkipVerify = config.InsecureSkipVerify || a.InsecureSkipVerify
	return config
}
