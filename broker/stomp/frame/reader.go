package frame

import (
	"bytes"
	"errors"
	"io"
)

// ReaderOptions are what a Reader needs to know. The zero value will do for tools and tests.
type ReaderOptions struct {
	Version Version // until SetVersion; V10 until the peer's version is known
	Limits  Limits  // until SetLimits

	// Budget is the memory shared with all other readers. nil means none: large bodies are bounded only by Limits.
	Budget *Budget
	// OnEvict is called if the reader's unfinished frame must give way because it stalled. It must wake the blocked
	// Read, for instance by setting a read deadline in the past, and must not block: it runs on the goroutine of
	// another reader. It is called once at most, and the reader is of no use afterwards. Without it the memory comes
	// back only when something else ends the Read.
	OnEvict func()
	// Spare, if not nil, says how many bytes the caller wants before a large body of announced length (Frame.Memory),
	// given the bytes of the frame's head and the number of its headers. It must not be more than a few times their sum.
	Spare func(head, headers int) int
	// Done, if not nil, is closed when the session ends, and wakes a Read that waits for the Budget.
	Done <-chan struct{}
}

// phase says what comes next in the frame being parsed.
type phase uint8

const (
	between  phase = iota // line ends, then a command line
	command               // the command line
	headers               // a header line or the blank line
	body                  // the rest of the body and its NUL
	complete              // nothing: the frame is whole
)

// span is where one header line lies, as offsets from the start of the frame. They stay true when the buffer moves.
type span struct{ name, colon, end int32 }

// Reader reads frames. It may be used by one goroutine at a time. Close it when done.
type Reader struct {
	src     io.Reader
	opts    ReaderOptions
	limits  Limits
	version Version
	claim   claim // this reader's share of the Budget
	err     error // sticky: what every further Read returns
	srcErr  error // what src returned together with bytes, to be reported after them

	// The bytes not yet handed out are buf[start:end].
	buf        []byte
	start, end int
	small      []byte           // kept for good, len smallBuffer
	big        *[bigBuffer]byte // borrowed from the Budget, or nil
	filled     bool             // the last read filled all the room it was given
	moved      int              // bytes read since the claim last heard of progress

	// The frame that begins at buf[start].
	phase  phase
	pos    int // offset of the line or body being read
	seen   int // offset up to which its end has been looked for
	cmd    Command
	crlf   bool // the command line ended in CR LF
	lines  int  // offset of the first header line
	spans  []span
	length int64 // content-length, -1 if there is none
	size   int   // length of the whole frame as it lies in buf, once complete
}

// contentLength is the header that announces the length of the body. STOMP 1.2, Header content-length.
const contentLength = "content-length"

// NewReader returns a Reader of the frames in r. It allocates no buffer before the first Read.
func NewReader(r io.Reader, opts ReaderOptions) *Reader {
	fr := &Reader{src: r, opts: opts, version: opts.Version, limits: opts.Limits.withDefaults(), length: -1}
	fr.claim = claim{budget: opts.Budget, onEvict: opts.OnEvict}
	return fr
}

// SetVersion sets the version that frames read from now on are in.
func (r *Reader) SetVersion(v Version) {
	r.version = v
	r.restart()
}

// SetLimits sets the limits of frames read from now on.
func (r *Reader) SetLimits(l Limits) {
	r.limits = l.withDefaults()
	r.restart()
}

// SetBodyLimit sets Limits.Body alone, in bytes.
func (r *Reader) SetBodyLimit(n int64) {
	r.limits.Body = n
	r.limits = r.limits.withDefaults()
	r.restart()
}

// restart forgets what Buffered has parsed ahead, since it did so under other rules.
func (r *Reader) restart() { r.phase, r.pos, r.seen = between, 0, 0 }

// Buffered reports whether the next Read returns without blocking: a whole frame, or an error, lies in the buffer. It
// leaves the frame of the last Read valid. What it parses is not parsed again.
func (r *Reader) Buffered() bool {
	if r.err != nil {
		return true
	}
	whole, err := r.parse()
	return whole || err != nil
}

// Read reads the next frame into f, which is emptied first, and skips heart-beats before it. It gives back the Budget's
// memory for the last frame as Release does. At the end of the stream between two frames the error is io.EOF.
func (r *Reader) Read(f *Frame) error {
	f.reset()
	if r.err != nil {
		return r.err
	}
	r.Release()
	for {
		whole, err := r.parse()
		switch {
		case err != nil:
		case whole:
			err = r.deliver(f, r.wholeBody())
		case r.phase == body && r.outgrows():
			err = r.readLarge(f)
			whole = true
		default:
			err = r.fill()
		}
		if err != nil {
			return r.fail(f, err)
		}
		if whole {
			return nil
		}
	}
}

// Release tells the Budget that the last frame's large body is no longer this reader's concern: the caller accounts for
// it otherwise, or has dropped it. Without it the next Read does so; call it before waiting long for anything else.
func (r *Reader) Release() {
	if r.claim.held > 0 {
		r.claim.shrink(r.oversized())
	}
}

// Close gives all memory back; the frame of the last Read is no longer valid, except for an owned body. It does not
// close the underlying reader and must not run at the same time as Read.
func (r *Reader) Close() {
	if r.err == nil {
		r.err = errClosed
	}
	r.claim.shrink(0)
	r.returnBig()
	r.buf, r.small, r.start, r.end = nil, nil, 0, 0
	r.restart()
}

var errClosed = errors.New("stomp frame: reader is closed")

// fail makes err sticky and puts into f what is known of the frame.
func (r *Reader) fail(f *Frame, err error) error {
	r.err = err
	r.claim.shrink(0)
	var fault *Error
	if errors.As(err, &fault) && r.phase >= headers && len(f.Headers) == 0 {
		_ = r.decodeHead(f) // err came first
	}
	return err
}

// wholeBody is the body of a complete frame that lies in the buffer as a whole.
func (r *Reader) wholeBody() []byte {
	from, to := r.start+r.pos, r.start+r.size-1
	return r.buf[from:to:to]
}

// deliver puts the complete frame into f and steps over it.
func (r *Reader) deliver(f *Frame, content []byte) error {
	if r.claim.held > 0 && !r.claim.finish() {
		return stalledError()
	}
	if err := r.decodeHead(f); err != nil {
		return err
	}
	if !r.cmd.hasBody() && len(content) > 0 {
		if r.version != V10 && len(bytes.Trim(content, "\r\n")) > 0 {
			return syntaxError("body not allowed",
				"%s may not have a body; only SEND, MESSAGE and ERROR may", r.cmd)
		}
		content = nil
	}
	if len(content) == 0 {
		content = nil
	}
	f.Body, f.HasLength = content, r.length >= 0
	r.start += r.size
	r.restart()
	return nil
}
