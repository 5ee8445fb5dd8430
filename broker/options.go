package broker

import (
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"treadmq/store"
)

// Options for New.
type Options struct {
	// Store keeps durable queues. Required.
	Store store.Store
	// Temp takes non-persistent messages that memory has no room for; nil keeps
	// them in memory whatever their number.
	Temp store.Store
	// Sequence is the counter that both stores draw their sequence numbers from.
	// Required.
	Sequence *atomic.Uint64
	// Node is part of message ids and of temporary destinations' names:
	// [A-Za-z0-9]. Default "treadmq".
	Node string
	// Policy returns what holds for a destination. Default: DefaultPolicy for all.
	Policy func(Destination) Policy
	// MemoryLimit is the number of bytes of queued messages kept in memory, over all
	// queues. Default 128 MiB.
	MemoryLimit int64
	// StoreLimit and TempLimit are the live bytes of Store and Temp beyond which messages are refused; it is looked at once
	// a second. 0: as many as the disk takes.
	StoreLimit, TempLimit int64
	// MaxDestinations bounds queues and topics together. Default 100,000.
	MaxDestinations int
	// MaxTransactions bounds open transactions of a connection (default 64),
	// MaxTxOps their operations (65,536) and MaxTxBytes the bytes of their messages (128 MiB).
	MaxTransactions, MaxTxOps int
	MaxTxBytes                int64
	// MaxDelayed bounds the messages of a queue that wait for their next delivery;
	// they are in memory. A queue that has as many delivers no more until one is due.
	// Default 100,000.
	MaxDelayed int
	// RecentIDs is how many ids of messages are in memory besides the store, over all destinations, and how many
	// of messages that are not stored. Default 65,536.
	RecentIDs int
	// IndexBlock is how many messages share a run of the index over headers
	// (Policy.IndexHeaders). Default 64.
	IndexBlock int
	// Routing has virtual topics and forwards. Default: DefaultRouting; an empty one
	// means none.
	Routing *Routing
	// Trash bounds what purges and deletions leave behind to be undone. Default: none, what goes is gone.
	Trash TrashLimits
	// Where tells statistics what only the process knows; it may be called at any time. Default: nothing is known.
	Where  func() Where
	Logger *slog.Logger
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Where says how a broker can be reached and where its data is. What is empty there is not.
type Where struct {
	Stomp    string // stomp://HOST:PORT
	StompTLS string // stomp+ssl://HOST:PORT
	DataDir  string
}

func (o *Options) setDefaults() error {
	if o.Store == nil || o.Sequence == nil {
		return errors.New("broker: Options.Store and Options.Sequence are required")
	}
	if o.Node == "" {
		o.Node = "treadmq"
	}
	if o.Policy == nil {
		p := DefaultPolicy()
		o.Policy = func(Destination) Policy { return p }
	}
	if o.Routing == nil {
		r := DefaultRouting()
		o.Routing = &r
	}
	if o.MemoryLimit <= 0 {
		o.MemoryLimit = 128 << 20
	}
	if o.MaxDestinations <= 0 {
		o.MaxDestinations = 100_000
	}
	if o.MaxTransactions <= 0 {
		o.MaxTransactions = 64
	}
	if o.MaxTxOps <= 0 {
		o.MaxTxOps = 65_536
	}
	if o.MaxTxBytes <= 0 {
		o.MaxTxBytes = 128 << 20
	}
	if o.MaxDelayed <= 0 {
		o.MaxDelayed = 100_000
	}
	if o.RecentIDs <= 0 {
		o.RecentIDs = maxRecent
	}
	if o.IndexBlock <= 0 {
		o.IndexBlock = indexBlock
	}
	if o.Where == nil {
		o.Where = func() Where { return Where{} }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return nil
}
