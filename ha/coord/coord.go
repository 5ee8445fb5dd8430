// Package coord is what a replicated group needs of a coordination service: one
// versioned register, changed by compare-and-set only, a lease and the members'
// entries, which vanish with the session that made them, and marks that stay.
//
// The service knows nothing of what the bytes mean. Safety rests on the register
// alone; lease and members are for detection and discovery. What a session shows
// may be stale, and a change may take effect although its answer was lost: that
// is [Unknown], an answer of its own, never to be taken for success or failure.
//
// ha/zk implements it on ZooKeeper; [Memory] in this process, for a group of one
// and for tests.
package coord

import (
	"context"
	"errors"
)

// Version of the register; it grows with each change.
type Version int32

// NoRegister as [Change.Version] says that the register must not exist yet.
const NoRegister Version = -1

// Limits of what is stored and read, so that nothing from outside is held without bound.
const (
	MaxData    = 64 << 10 // bytes of one entry
	MaxEntries = 64       // members, and marks
)

// Outcome says what is known of a change.
type Outcome uint8

// Outcomes. The zero value is the one that is safe to assume.
const (
	Unknown  Outcome = iota // it may have taken effect, or may yet
	Done                    // it took effect
	Conflict                // it did not and will not: something else came first
	Refused                 // it did not and will not: the service does not allow it
)

func (o Outcome) String() string {
	switch o {
	case Done:
		return "done"
	case Conflict:
		return "conflict"
	case Refused:
		return "refused"
	}
	return "unknown"
}

// Result is the answer to a change. Version is the register's after Done of Write.
// Err says why it is not Done.
type Result struct {
	Outcome Outcome
	Version Version
	Err     error
}

// Errors in results.
var (
	ErrLost     = errors.New("the session with the coordination service has ended")
	ErrTooLarge = errors.New("larger than the coordination service takes")

	errConflict = errors.New("the register or the lease is not as expected")
)

// Change changes the register, and the lease with it, all or nothing.
type Change struct {
	Version     Version // of the register that was decided on, or NoRegister
	Register    []byte
	DropLease   bool   // the lease exists and is removed, whoever holds it
	CreateLease []byte // not nil: a lease of this session is made; conflict if there is one
}

// Entry is a member or a mark.
type Entry struct {
	Name string
	Data []byte
}

// View is what a session last saw. Slices must not be changed.
type View struct {
	Connected bool // to a server, as far as is known
	Read      bool // whether anything was read yet; nothing below counts before
	Exists    bool // the register
	Version   Version
	Register  []byte
	Leased    bool // somebody holds the lease
	Own       bool // and that is this session
	Lease     []byte
	Members   []Entry // in order of name
	Marks     []Entry // in order of name
}

// Session is one session with the service. It is never silently replaced by
// another: when it has ended, everything answers Unknown with ErrLost. Methods are
// safe for concurrent use.
type Session interface {
	View() View
	// Changed receives after the view changed; several changes may be one.
	Changed() <-chan struct{}
	// Lost is closed when the session has ended, for ever.
	Lost() <-chan struct{}
	Write(ctx context.Context, c Change) Result
	// Reclaim makes the lease anew if the register is still at version v.
	Reclaim(ctx context.Context, v Version, lease []byte) Result
	// Publish sets the member's entry, which ends with the session. One that an earlier
	// session of the same name left is replaced.
	Publish(ctx context.Context, name string, data []byte) Result
	// Mark and Unmark set and remove an entry that outlives the session.
	Mark(ctx context.Context, name string, data []byte) Result
	Unmark(ctx context.Context, name string) Result
	// Close ends the session: lease and member vanish at once where the service is reachable.
	Close()
}

// Coordinator opens sessions.
type Coordinator interface {
	// Open returns a session as soon as the service knows it. It fails when ctx ends
	// first, or when the service refuses for good (wrong password, bad path).
	Open(ctx context.Context) (Session, error)
}
