// Package mutate names the safety rules of ha/replica that a simulation can
// switch off, to prove that it notices. Being internal to ha, no program can.
package mutate

// Set is a set of rules that are broken. The zero value is the protocol.
type Set uint32

// Rules that can be broken.
const (
	CompareLength     Set = 1 << iota // the longest log wins, whatever its last epoch
	NoFence                           // a position is published while the old master is still followed
	AnyPromise                        // a promise of any epoch counts for a claim
	NoTruncation                      // a follower keeps what its master does not have
	TruncateToCommit                  // a follower cuts at its own commit, not where the logs part
	EarlyAck                          // an ACK is sent before the session's truncation
	CommitOldEpochs                   // commit moves before the epoch's start is on a quorum
	ResumeEpoch                       // a restarted master goes on in its old epoch
	ReclaimBlindly                    // the lease is made anew without a look at the register
	AckUnsynced                       // an ACK says stable for what is only written
	IgnoreSuspect                     // a suspect node counts like any other
	VotersBlindly                     // voters change before they hold the log
	VolatilePromise                   // a promise is published before it is durable
	AnyAck                            // an ACK counts whatever its epoch, session and link
	ActOnUnknown                      // a claim whose answer was lost is taken for won
	TruncateCommitted                 // a follower cuts below what it knows to be committed
	WipedVotes                        // a node that lost its disk keeps its identity
	InstallEarly                      // a snapshot replaces the store before its log reaches the commit
	IgnoreForeign                     // a register of a lower epoch, or none, is believed
	ServeEarly                        // clients are served before the epoch's start is committed
	CommitAlone                       // commit counts the master alone
	IgnoreCorrupt                     // a damaged node counts like any other
	OldMaster                         // a follower accepts a master below its promise
	KeepAppending                     // the log grows while voters change
)

// Has says whether a rule is broken.
func (s Set) Has(rule Set) bool { return s&rule != 0 }
