package local

import (
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"treadmq/store"
	"treadmq/store/vfs"
)

// Options of a store. The zero value of each field means its default.
type Options struct {
	FS  vfs.FS // default vfs.OS
	Dir string // the data folder; made if it is not there

	// Seq hands out sequence numbers; stores of one broker share one, so that no
	// two references ever have the same. It holds the next number. Default: its own.
	Seq *atomic.Uint64
	// Gate moves the commit position. Default: what is synced here is committed.
	Gate Gate
	// OnGroup is called on the commit goroutine after the Done calls of each group.
	OnGroup func()
	// Temporary makes a store whose contents are worthless after a restart: nothing is
	// synced, and Open begins empty.
	Temporary bool

	SegmentSize int64 // bytes; default 64 MiB
	// MaxPending bounds the bytes that are appended and not yet written; Append
	// waits beyond. Default 16 MiB.
	MaxPending int64
	// MaxLag bounds the bytes that are written and not yet committed. Default 64 MiB.
	MaxLag int64
	// TailLimit is how many journal bytes may be committed and not in the index before
	// a checkpoint is made at once. At twice that, commits wait for it. Default 32 MiB.
	TailLimit          int64
	CheckpointInterval time.Duration // default 1 s
	LazyDelay          time.Duration // how long a group of lazy batches waits for company; default 5 ms
	SlowSync           time.Duration // a sync that takes longer is logged; default 1 s
	// CompactBelow is the share of live bytes below which a segment is worth
	// rewriting. Default 0.5.
	CompactBelow float64
	// CompactRate bounds rewriting, in bytes per second. Default 32 MiB/s.
	CompactRate int64
	// DiskReserve is disk space in bytes that only removals may use. It is held by a
	// file until it is needed. What is pending when the disk fills up uses it too.
	// Default: MaxPending, one segment and 16 MiB.
	DiskReserve int64
	// MinFree is the free disk space in bytes below which sends are refused; the
	// reserve does not count as free. Default: 16 MiB or a quarter of the reserve.
	MinFree int64
	// Retain is how many bytes of the journal's end are kept although nothing in them is
	// alive, for members of a group that were away. Default 0.
	Retain      int64
	IndexCache  int // bytes of index blocks kept in memory; default 8 MiB
	IndexBuffer int // bytes of index writes gathered in memory; default 8 MiB

	BootID  string // of the machine's present boot; default: what the system says
	Cluster string // name of the cluster the folder belongs to; kept in the meta file
	Logger  *slog.Logger

	rebuild bool // throw the index away
}

// Gate decides when synced journal is committed: on a quorum, say.
type Gate interface {
	// Written says that the journal is written here up to end, and can be read. It must not block.
	Written(e store.Epoch, end store.Position)
	// Synced says that the journal is on stable storage here up to end. It must not block.
	Synced(e store.Epoch, end store.Position)
	// Wait returns nil when everything up to end is committed, an error when this
	// store may never commit again.
	Wait(end store.Position) error
}

func orDefault[T int | int64 | float64 | time.Duration](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}

func (o *Options) complete() error {
	if o.FS == nil {
		o.FS = vfs.OS{}
	}
	if o.Dir == "" {
		return fmt.Errorf("open store: no folder given")
	}
	if o.Seq == nil {
		o.Seq = new(atomic.Uint64)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.BootID == "" {
		o.BootID = bootID()
	}
	orDefault(&o.SegmentSize, 64<<20)
	orDefault(&o.MaxPending, 16<<20)
	orDefault(&o.MaxLag, 64<<20)
	orDefault(&o.TailLimit, 32<<20)
	orDefault(&o.CheckpointInterval, time.Second)
	orDefault(&o.LazyDelay, 5*time.Millisecond)
	orDefault(&o.SlowSync, time.Second)
	orDefault(&o.CompactBelow, 0.5)
	orDefault(&o.CompactRate, 32<<20)
	orDefault(&o.DiskReserve, o.MaxPending+o.SegmentSize+16<<20)
	orDefault(&o.IndexCache, 8<<20)
	orDefault(&o.IndexBuffer, 8<<20)
	if o.SegmentSize < 4096 {
		return fmt.Errorf("open store: segments of %d bytes are too small, give 4096 or more", o.SegmentSize)
	}
	return nil
}
