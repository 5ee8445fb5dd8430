package wire

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
)

// The handshake shows each side that the other knows the group's token, which is
// never sent. Four messages, each a length (u16, big endian) and that many bytes:
//
//	D -> A  "TMQR", version u8, purpose u8, group (length u8, bytes), nonce of 32 bytes
//	A -> D  nonce of 32 bytes
//	D -> A  HMAC-SHA256(token, "dials" | what D and A sent so far)
//	A -> D  HMAC-SHA256(token, "accepts" | the same)
//
// Who dials proves itself first, so a stranger learns nothing from an open port. The
// whole exchange goes into both proofs, so none of it can be replaced. Frames that follow
// are not authenticated one by one: use TLS on networks where others can write.

// Version of the handshake.
const authVersion = 1

// MaxAuth bounds one message of the handshake, without its length.
const MaxAuth = 512

// NonceSize is the length of a nonce in bytes.
const NonceSize = 32

// Purpose says what a connection is for.
type Purpose uint8

// Purposes.
const (
	Link Purpose = iota + 1 // replication
	Ping                    // reachability only
	Bulk                    // pieces of a snapshot
)

// ErrAuth says that the other side is not one of the group. Nothing more is said to it.
var ErrAuth = errors.New("handshake on the replication port failed")

// Handshake is one side's part, free of I/O: send what Start and Take return, give
// to Take what was received.
type Handshake struct {
	token  []byte
	group  string
	dials  bool
	nonce  [NonceSize]byte
	step   int
	log    []byte // all that went into the proofs
	after  Purpose
	failed bool
}

// Dial makes the side that dialled. nonce must be random and never used before.
func Dial(token []byte, group string, p Purpose, nonce [NonceSize]byte) *Handshake {
	return &Handshake{token: token, group: group, dials: true, nonce: nonce, after: p}
}

// Accept makes the other side.
func Accept(token []byte, group string, nonce [NonceSize]byte) *Handshake {
	return &Handshake{token: token, group: group, nonce: nonce}
}

// Purpose says what the connection is for; on the accepting side once Take has said done.
func (h *Handshake) Purpose() Purpose { return h.after }

// Start returns the first message of the side that dials.
func (h *Handshake) Start() []byte {
	b := append([]byte("TMQR"), authVersion, byte(h.after), byte(len(h.group)))
	b = append(append(b, h.group...), h.nonce[:]...)
	h.log = append(h.log, b...)
	return b
}

// Take takes a message of the other side and returns the answer, which may be nil, and
// whether the handshake is done. An error ends it.
func (h *Handshake) Take(msg []byte) (reply []byte, done bool, err error) {
	if h.failed {
		return nil, false, ErrAuth
	}
	h.step++
	switch {
	case h.dials && h.step == 1:
		reply, err = h.prove(msg)
	case h.dials && h.step == 2:
		done, err = true, h.check("accepts", msg)
	case !h.dials && h.step == 1:
		reply, err = h.greet(msg)
	case !h.dials && h.step == 2:
		if err = h.check("dials", msg); err == nil {
			reply, done = h.proof("accepts"), true
		}
	default:
		err = fmt.Errorf("%w: a message too many", ErrAuth)
	}
	if err != nil {
		h.failed = true
		return nil, false, err
	}
	return reply, done, nil
}

// greet checks the first message and answers with a nonce.
func (h *Handshake) greet(msg []byte) ([]byte, error) {
	rest, ok := bytes.CutPrefix(msg, []byte("TMQR"))
	if !ok || len(msg) > MaxAuth || len(rest) < 3+NonceSize || len(rest) != 3+int(rest[2])+NonceSize {
		return nil, fmt.Errorf("%w: not a node of a group", ErrAuth)
	}
	h.after = Purpose(rest[1])
	switch {
	case rest[0] != authVersion:
		return nil, fmt.Errorf("%w: version %d, this program speaks %d", ErrAuth, rest[0], authVersion)
	case h.after < Link || h.after > Bulk:
		return nil, fmt.Errorf("%w: unknown purpose %d", ErrAuth, h.after)
	case string(rest[3:3+int(rest[2])]) != h.group:
		return nil, fmt.Errorf("%w: it is of group %q, not %q", ErrAuth, rest[3:3+int(rest[2])], h.group)
	case bytes.Equal(rest[len(rest)-NonceSize:], h.nonce[:]):
		return nil, fmt.Errorf("%w: it sends back what it was sent", ErrAuth)
	}
	h.log = append(append(h.log, msg...), h.nonce[:]...)
	return bytes.Clone(h.nonce[:]), nil
}

// prove answers the nonce of the accepting side.
func (h *Handshake) prove(msg []byte) ([]byte, error) {
	if len(msg) != NonceSize || bytes.Equal(msg, h.nonce[:]) {
		return nil, fmt.Errorf("%w: not a node of a group", ErrAuth)
	}
	h.log = append(h.log, msg...)
	return h.proof("dials"), nil
}

func (h *Handshake) proof(side string) []byte {
	m := hmac.New(sha256.New, h.token)
	m.Write([]byte(side))
	m.Write(h.log)
	return m.Sum(nil)
}

func (h *Handshake) check(side string, msg []byte) error {
	if !hmac.Equal(msg, h.proof(side)) {
		return fmt.Errorf("%w: the tokens differ: set the same securityToken on all nodes", ErrAuth)
	}
	return nil
}
