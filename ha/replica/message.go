package replica

import (
	"treadmq/store"

	"treadmq/notice"
)

// Message is a frame of the replication link as the core sees it: positions, never
// bytes of the log. Package wire encodes them; every frame carries the group.
type Message interface{ message() }

// Versions of the link that this program speaks.
const (
	MinVersion = 1
	MaxVersion = 1
)

// Hello opens a session, follower to master. A second one on the same link opens
// the next session, after a snapshot was installed.
type Hello struct {
	Group    string
	Cluster  string // "" if the node never took part
	Node     NodeID
	Min, Max uint16 // versions spoken
	Session  uint64 // number that Welcome repeats
	Promised Epoch
	LogState          // of the follower; nothing is under way in it
	Known    Position // committed for certain
	Snapshot bool     // it cannot use its own log
	Feature  int      // newest format it understands
}

// Welcome answers Hello, master to follower: cut at TruncateTo, where the chain of
// checksums is Chain, and take what comes from there; or fetch Snapshot.
type Welcome struct {
	Group      string
	Epoch      Epoch
	Version    uint16
	Session    uint64
	TruncateTo Position
	Chain      uint32 // filled in by the shell, which can look into the journal
	Commit     Position
	Active     bool // the epoch's start is committed: Commit covers all that ever was
	Epochs     store.EpochList
	Snapshot   *Manifest // nil: stream
}

// Manifest describes a snapshot: the index at At and the log from there to End.
type Manifest struct {
	ID     uint64   // of the offer
	At     Position // that the index reflects
	End    Position // of the pinned log
	Commit Position // the store may be replaced when its log reaches this
	Active bool     // as in Welcome
}

// Data says that whole batches arrived, master to follower. The shell keeps the bytes.
type Data struct {
	Group    string
	Epoch    Epoch // of the master, not of the batches
	Session  uint64
	Pos, End Position
	Commit   Position
}

// Ack says, follower to master: my log below Written is the one of the master of
// Epoch, and below Stable it is on disk.
type Ack struct {
	Group   string
	Epoch   Epoch
	Session uint64
	Written Position
	Stable  Position
	Applied Position
	NoVote  bool // it is suspect or corrupt: it holds the log, but does not count in an election
}

// Heartbeat goes each way. The master tells the commit position in it.
type Heartbeat struct {
	Group  string
	Epoch  Epoch
	Commit Position
	Active bool
}

// Reason says why a link is refused.
type Reason uint8

// Reasons.
const (
	NotMaster Reason = iota + 1
	OtherGroup
	OtherCluster
	OtherVersion
	TooOld // the follower does not understand the group's format
	HigherEpoch
	DiskFull
	Unready // the master cannot serve this follower yet
)

var reasons = [...]notice.Notice{
	NotMaster:    notice.New("story.reason.master", "not the master"),
	OtherGroup:   notice.New("story.reason.group", "another group"),
	OtherCluster: notice.New("story.reason.cluster", "another cluster"),
	OtherVersion: notice.New("story.reason.version", "no common protocol version"),
	TooOld:       notice.New("story.reason.format", "format of the group not understood"),
	HigherEpoch:  notice.New("story.reason.epoch", "a higher epoch is known"),
	DiskFull:     notice.New("story.reason.full", "disk full"),
	Unready:      notice.New("story.reason.unready", "not ready"),
}

func (r Reason) notice() notice.Notice {
	if r == 0 || int(r) >= len(reasons) {
		return notice.New("story.reason.unknown", "unknown reason")
	}
	return reasons[r]
}

func (r Reason) String() string { return r.notice().Text }

// Refuse ends a link in words, either way.
type Refuse struct {
	Group  string
	Epoch  Epoch
	Reason Reason
}

func (*Hello) message()     {}
func (*Welcome) message()   {}
func (*Data) message()      {}
func (*Ack) message()       {}
func (*Heartbeat) message() {}
func (*Refuse) message()    {}
