package replica

import (
	"treadmq/ha/coord"

	"treadmq/notice"
)

// Action is what the shell must do. It does them in the order given; those on the
// log one after the other, those on the coordination service one after the other.
type Action interface{ action() }

// Actions.
type (
	// OpenSession opens a session with the coordination service, for as long as it takes.
	OpenSession struct{}
	// Change changes the register by compare-and-set, and the lease with it, all or nothing.
	Change struct {
		Op          Op
		Session     SessionID
		Version     coord.Version // or coord.NoRegister
		Register    *Register
		DropLease   bool   // it exists, and goes
		CreateLease *Lease // it does not exist (any more), and is this session's
	}
	// Reclaim creates the lease if the register still has the version.
	Reclaim struct {
		Op      Op
		Session SessionID
		Version coord.Version
		Lease   Lease
	}
	// Publish sets the node's own entry.
	Publish struct {
		Op      Op
		Session SessionID
		Member  Member
	}
	// MarkSuspect leaves a mark that outlives the process. Fail follows it: the shell tries
	// for a moment.
	MarkSuspect struct {
		Op      Op
		Session SessionID
	}
	// Unmark removes the mark.
	Unmark struct {
		Op      Op
		Session SessionID
	}

	// Dial connects to a node's replication port.
	Dial struct {
		Op   Op
		Node NodeID
		Addr string
	}
	// Close ends a link. LinkDown need not follow.
	Close struct{ Link LinkID }
	// Send sends a frame. The shell fills in Welcome.Chain.
	Send struct {
		Link    LinkID
		Message Message
	}
	// Stream sends the log from a position on, and whatever is appended, until the
	// link ends or another Stream. Never more than what Led or Appended has told the
	// core; each Data carries the Commit told last.
	Stream struct {
		Link    LinkID
		Epoch   Epoch
		Session uint64
		From    Position
	}
	// Offer pins a snapshot for as long as the link's session, sends Welcome with its
	// manifest filled in (ID, At, End), and serves what Fetch asks for.
	Offer struct {
		Link    LinkID
		Welcome *Welcome
	}

	// Fence stops whatever appends, finishes the write in hand, and syncs: Fenced.
	Fence struct{ Op Op }
	// SaveMeta makes Meta durable: Saved.
	SaveMeta struct {
		Op   Op
		Meta Meta
	}
	// Lead appends the epoch's start with the register in it and opens the log to the broker: Led.
	Lead struct {
		Op       Op
		Epoch    Epoch
		Register *Register
	}
	// AppendData appends the bytes of one Data frame as they are: Appended.
	AppendData struct {
		Op       Op
		Link     LinkID
		Pos, End Position
	}
	// SyncLog makes all that is written durable: Synced. It is never repeated after an error.
	SyncLog struct{ Op Op }
	// TruncateLog cuts the log if its chain is the one given at that point: Truncated.
	// Trusted: cut without a look at the chain.
	TruncateLog struct {
		Op      Op
		To      Position
		Chain   uint32
		Trusted bool
	}
	// Fetch gets a snapshot into a folder beside the store, resuming what is there: Staged.
	Fetch struct {
		Op       Op
		Link     LinkID
		Manifest Manifest
	}
	// StopFetch gives up fetching; what was fetched stays for the next attempt.
	StopFetch struct{ Op Op }
	// Install makes the fetched snapshot the store, all or nothing, with Meta: Installed.
	Install struct {
		Op   Op
		Meta Meta
	}

	// Commit says that the log is committed up to Pos. On the master: release receipts
	// and deliveries. The index may reflect it up to min(Pos, what is synced here).
	Commit struct{ Pos Position }
	// Serve opens the ports of clients.
	Serve struct{ Epoch Epoch }
	// StopServing closes them at once and leaves the log to replication.
	StopServing struct{}
	// Pause stops appending: Paused. Clients wait.
	Pause struct{ Op Op }
	// Resume ends a pause.
	Resume struct{}
	// Hold says whether to stop reading from producers: no quorum answers.
	Hold struct{ On bool }

	// Ordered answers an operator's Order; Err is "" when it is done.
	Ordered struct {
		ID  uint64
		Err string
	}
	// Report tells the story of the group in words, for the log and the console.
	Report struct {
		Level Level
		Text  notice.Notice
	}
	// Fail ends the process with an exit status other than zero, after closing the session
	// with the coordination service. Nothing follows.
	Fail struct {
		Assertion bool // the protocol was violated, by a fault of this program or of the disk
		Text      string
	}
)

// Level of a Report.
type Level uint8

// Levels.
const (
	Info Level = iota
	Warning
	Alarm // an operator must act
)

func (OpenSession) action() {}
func (Change) action()      {}
func (Reclaim) action()     {}
func (Publish) action()     {}
func (MarkSuspect) action() {}
func (Unmark) action()      {}
func (Dial) action()        {}
func (Close) action()       {}
func (Send) action()        {}
func (Stream) action()      {}
func (Offer) action()       {}
func (Fence) action()       {}
func (SaveMeta) action()    {}
func (Lead) action()        {}
func (AppendData) action()  {}
func (SyncLog) action()     {}
func (TruncateLog) action() {}
func (Fetch) action()       {}
func (StopFetch) action()   {}
func (Install) action()     {}
func (Commit) action()      {}
func (Serve) action()       {}
func (StopServing) action() {}
func (Pause) action()       {}
func (Resume) action()      {}
func (Hold) action()        {}
func (Ordered) action()     {}
func (Report) action()      {}
func (Fail) action()        {}
