package stomp

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"time"

	"treadmq/broker"
)

// Authenticator checks logins. It is called from many goroutines and may take its time.
type Authenticator interface {
	// Authenticate checks a login from a remote address (host without port). principal is the user's name from then on.
	// The answer is held back for wait, whatever it is; the session bounds it by maxLoginWait.
	Authenticate(user, password, remote string) (ok bool, principal string, wait time.Duration)
}

// Options shape a Server. Fields that are zero mean their default.
type Options struct {
	Broker *broker.Broker
	// Auth checks logins; nil accepts any if Anonymous is set, and none otherwise.
	Auth Authenticator
	// Anonymous lets clients in that give no login.
	Anonymous bool
	// TLS is offered on every listener, found by the first byte a client sends; nil offers none. With
	// GetConfigForClient certificates can be replaced while the server runs.
	TLS *tls.Config
	// CertUser says which part of a verified client certificate logs the client in if it gives no login: "cn", "dn", "san",
	// or nothing by default.
	CertUser string
	// CertOnly lets nobody in but by a certificate that names a user; what login and passcode say is not looked at.
	CertOnly bool
	// CertUsers returns the user of a distinguished name (RFC 2253), "" for nobody. nil: the name is the user.
	CertUsers func(dn string) string
	// ClientIDConflict says what happens when a client connects with the client id of another; the default refuses it.
	ClientIDConflict broker.Conflict
	// Cluster, if not nil, is the header x-cluster of CONNECTED for clients of a listener, known by its name: where they reach the
	// brokers that may serve them next, as host1/port1,host2/port2. "" for none.
	Cluster func(listener string) string
	// ServerHeader is the header server of CONNECTED; default TreadMQ.
	ServerHeader string
	// Hosts are the virtual hosts that CONNECT may name; empty accepts any.
	Hosts []string

	MaxBody       int64 // bytes of a body; default 100 MiB
	MaxHeaderLine int   // bytes of a header line; default 64 KiB
	MaxHeaders    int   // headers of a frame; default 1000

	MaxConnections           int // default 100,000
	MaxConnectionsPerAddress int // default 0: no bound
	MaxConnectionsPerUser    int // of those who gave a login or a certificate; default 0: no bound
	MaxSubscriptions         int // of one connection; default 10,000

	ConnectTimeout  time.Duration // from accept to CONNECT; default 10 s
	WriteTimeout    time.Duration // for one write of at most 256 KiB; default 30 s
	OutboundLimit   int           // bytes of receipts waiting for a client that does not read; default 1 MiB
	UnfinishedLimit int64         // bytes of all large frames that are still arriving; default 256 MiB
	HeartBeatMin    time.Duration // shortest interval granted; default 500 ms
	HeartBeatMax    time.Duration // longest interval granted; default 300 s

	// Current says whether this broker may still hand out messages; while it says no, MESSAGE frames wait. It is asked
	// before each write and must be fast. nil: always.
	Current func() bool

	// SoftErrors keeps a connection open after a SEND, ACK or SUBSCRIBE that failed; the default, as the protocol
	// demands, closes it. A client chooses for itself with x-errors:soft or x-errors:strict in CONNECT.
	SoftErrors bool

	Logger *slog.Logger // default: discard
}

// Defaults of Options.
const (
	defaultServerHeader   = "TreadMQ"
	defaultMaxBody        = 100 << 20
	defaultMaxHeaderLine  = 64 << 10
	defaultMaxHeaders     = 1000
	defaultConnections    = 100_000
	defaultSubscriptions  = 10_000
	defaultConnectTimeout = 10 * time.Second
	defaultWriteTimeout   = 30 * time.Second
	defaultOutboundLimit  = 1 << 20
	defaultUnfinished     = 256 << 20
	defaultHeartBeatMin   = 500 * time.Millisecond
	defaultHeartBeatMax   = 300 * time.Second
)

// Bounds that are not worth an option.
const (
	maxOpenTickets   = 32      // flushed bursts of one connection that are not committed yet
	maxTicketBytes   = 4 << 20 // bytes of messages in them
	maxBurstOps      = 256     // frames gathered before a flush
	maxBurstBytes    = 1 << 20 // bytes of messages gathered before a flush
	maxParked        = 1 << 20 // bytes of messages that wait for room before the reader waits too
	maxTemporaries   = 1000    // temporary destinations of one connection
	maxName          = 1 << 10 // bytes of a transaction's or subscription's name, a client id, a login
	maxSubBytes      = 4 << 20 // bytes of the headers of all subscriptions of a connection
	maxCachedDest    = 256     // bytes of such a header
	maxKeptHeader    = 4 << 10 // bytes of headers for which a connection keeps room between messages
	maxReceiptID     = 4 << 10 // bytes of a receipt header
	maxLoginWait     = 30 * time.Second
	maxComposite     = 1000 // destinations in one header
	maxCachedDests   = 64   // parsed destination headers remembered per connection
	drainTime        = time.Second
	drainBytes       = 16 << 20 // read and thrown away after the last frame
	settleTimeout    = 30 * time.Second
	maxRefusals      = 64 // connections over the limit that are told so at the same time
	maxNackDelay     = 30 * 24 * time.Hour
	tcpKeepAlive     = 30 * time.Second
	maxErrorMessage  = 200 // bytes of the message header of an ERROR frame
	writeChunk       = 256 << 10
	largeBody        = 64 << 10 // bodies from here on are written from where they lie
	maxPooledBuffer  = 512 << 10
	maxKeptControl   = 16 << 10
	maxKeptNotes     = 4 // soft errors to log
	maxKeptDelivers  = 256
	outputBufferSize = 4 << 10
)

// withDefaults fills in defaults and checks the rest.
func (o Options) withDefaults() (Options, error) {
	if o.Broker == nil {
		return o, errors.New("stomp: Options.Broker is missing")
	}
	if o.CertUser != "" && o.CertUser != "cn" && o.CertUser != "dn" && o.CertUser != "san" {
		return o, errors.New("stomp: Options.CertUser must be cn, dn or san, not " + o.CertUser)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	setDefault(&o.ServerHeader, defaultServerHeader)
	setDefault(&o.MaxBody, defaultMaxBody)
	setDefault(&o.MaxHeaderLine, defaultMaxHeaderLine)
	setDefault(&o.MaxHeaders, defaultMaxHeaders)
	setDefault(&o.MaxConnections, defaultConnections)
	setDefault(&o.MaxSubscriptions, defaultSubscriptions)
	setDefault(&o.ConnectTimeout, defaultConnectTimeout)
	setDefault(&o.WriteTimeout, defaultWriteTimeout)
	setDefault(&o.OutboundLimit, defaultOutboundLimit)
	setDefault(&o.UnfinishedLimit, defaultUnfinished)
	setDefault(&o.HeartBeatMin, defaultHeartBeatMin)
	setDefault(&o.HeartBeatMax, defaultHeartBeatMax)
	return o, nil
}

func setDefault[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}
