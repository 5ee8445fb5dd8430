package replica

import (
	"treadmq/ha/coord"
	"treadmq/store"
)

// Event is what happened outside. The shell gives events to [Core.Step] one at a time.
type Event interface{ event() }

// Op numbers what the core asked for, so that answers find it. 0 is none.
type Op uint64

// LinkID names one connection to another node, for ever, as the shell chose it.
type LinkID uint64

// SessionID names one session with the coordination service, as the shell chose it.
type SessionID uint64

// Events. Those of the log answer actions in the order in which the actions were
// given: one goroutine works on the log.
type (
	// Tick says that time has passed; due at [Core.Deadline].
	Tick struct{}

	// SessionUp answers OpenSession.
	SessionUp struct{ Session SessionID }
	// SessionLost says that the session has ended; nothing it owned exists any more.
	SessionLost struct{ Session SessionID }
	// Suspended says that no server is heard; the next ViewSeen ends that.
	Suspended struct{ Session SessionID }
	// ViewSeen shows the newest view. The first of a session was read after a sync with the service.
	ViewSeen struct {
		Session SessionID
		View    *View
	}
	// Answered ends Change, Reclaim, Publish, MarkSuspect and Unmark. What is not certain is Unknown.
	Answered struct {
		Op      Op
		Outcome coord.Outcome
		Version coord.Version // of the register after a Change that is Done
	}

	// Reachable tells which other nodes answer pings, in order of ID.
	Reachable struct{ Nodes []NodeID }
	// Dialed answers Dial. A refused one has OK false.
	Dialed struct {
		Op   Op
		Link LinkID
		OK   bool
	}
	// Accepted says that another node dialled and proved that it knows the token.
	Accepted struct{ Link LinkID }
	// LinkDown says that a link has ended.
	LinkDown struct{ Link LinkID }
	// Received is a frame of a link.
	Received struct {
		Link    LinkID
		Message Message
	}

	// Fenced answers Fence: nothing is under way in the log and all of it is on disk.
	Fenced struct {
		Op  Op
		Log LogState
	}
	// Saved answers SaveMeta: it is durable.
	Saved struct{ Op Op }
	// Led answers Lead: the epoch's start was written from Start to End.
	Led struct {
		Op         Op
		Start, End Position
	}
	// Appended says that the log was written up to End: on the master whenever it
	// wrote, on a follower as answer to AppendData (Op). Starts are the epochs that began in it.
	Appended struct {
		Op     Op
		Epoch  Epoch // that appended, on the master
		End    Position
		Starts []store.EpochStart
		Failed AppendError
	}
	// Synced says that the log is on disk up to Stable. Op answers SyncLog, 0 on the master.
	Synced struct {
		Op     Op
		Stable Position
	}
	// Truncated answers TruncateLog. Mismatch: the chain was another one and nothing was cut.
	Truncated struct {
		Op       Op
		Mismatch bool
	}
	// Applied says that the index durably reflects the log up to Pos.
	Applied struct{ Pos Position }
	// TailMoved says that log below Tail can no longer be streamed.
	TailMoved struct{ Tail Position }
	// Paused answers Pause: nothing will be appended until Resume.
	Paused struct {
		Op  Op
		End Position
	}
	// Staged answers Fetch: the whole snapshot is on disk beside the store, its log up to End.
	Staged struct {
		Op  Op
		End Position
	}
	// Installed answers Install: the snapshot is the store now.
	Installed struct {
		Op  Op
		Log LogState
	}
	// DiskSpace says whether there is room for more log.
	DiskSpace struct{ Full bool }
	// SyncFailed says that a write or sync of log or meta failed for good.
	SyncFailed struct{ Text string }
	// Damaged says that the store found damage in what was acknowledged.
	Damaged struct{ Text string }

	// Order is what an operator asked for; Ordered answers it.
	Order struct {
		ID      uint64
		Command Command
	}
)

// AppendError says why batches of the master were not appended.
type AppendError uint8

// Errors of an append.
const (
	AppendOK   AppendError = iota
	NoRoom                 // End is where the log ends
	Mismatched             // position, epoch or chain does not continue the log
)

// Command is an operator's wish.
type Command interface{ command() }

// Commands.
type (
	// Handover moves mastership to a voter that is up to date.
	Handover struct{ To NodeID }
	// SetVoters changes voters, places and format in one step. Zero Replicas and Feature mean: as they are.
	SetVoters struct {
		Voters   []Voter
		Replicas int
		Feature  int
	}
	// Elect asks for a new election.
	Elect struct{}
	// Reseed makes the register anew after the coordination service lost it. All
	// voters must be present but those that are Lost, and what only they held is gone. When a
	// quorum is lost, the lost ones have no place any more.
	Reseed struct{ Lost []NodeID }
)

func (Handover) command()  {}
func (SetVoters) command() {}
func (Elect) command()     {}
func (Reseed) command()    {}

func (Tick) event()        {}
func (SessionUp) event()   {}
func (SessionLost) event() {}
func (Suspended) event()   {}
func (ViewSeen) event()    {}
func (Answered) event()    {}
func (Reachable) event()   {}
func (Dialed) event()      {}
func (Accepted) event()    {}
func (LinkDown) event()    {}
func (Received) event()    {}
func (Fenced) event()      {}
func (Saved) event()       {}
func (Led) event()         {}
func (Appended) event()    {}
func (Synced) event()      {}
func (Truncated) event()   {}
func (Applied) event()     {}
func (TailMoved) event()   {}
func (Paused) event()      {}
func (Staged) event()      {}
func (Installed) event()   {}
func (DiskSpace) event()   {}
func (SyncFailed) event()  {}
func (Damaged) event()     {}
func (Order) event()       {}
