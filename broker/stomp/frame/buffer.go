package frame

import "io"

// Sizes of the read buffer, in bytes.
const (
	smallBuffer = 4 << 10  // every reader has one from its first Read on
	bigBuffer   = 64 << 10 // borrowed while traffic warrants it; larger frames are charged to the Budget
)

// maxEmptyReads is how many reads in a row may bring neither bytes nor an error before the Reader gives up.
const maxEmptyReads = 100

// fill reads once, into room that it makes if need be.
func (r *Reader) fill() error {
	if r.srcErr != nil {
		return r.endOf(r.srcErr)
	}
	if err := r.makeRoom(); err != nil {
		return err
	}
	room := r.buf[r.end:]
	n, err := r.readSome(room)
	r.end += n
	r.filled = n == len(room)
	return r.arrived(n, err)
}

// readSome reads at least one byte into p, or returns an error.
func (r *Reader) readSome(p []byte) (int, error) {
	for range maxEmptyReads {
		n, err := r.src.Read(p)
		if n < 0 || n > len(p) {
			panic("stomp frame: reader returned a count out of range")
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
	return 0, io.ErrNoProgress
}

// progressUnit is how many bytes must arrive for a large frame to count as moving. It keeps a trickle from holding the
// Budget's memory.
const progressUnit = 4 << 10

// arrived notes the outcome of a read. An error that came together with bytes is put off until these are used up.
func (r *Reader) arrived(n int, err error) error {
	if r.claim.held > 0 {
		if r.claim.evicted() {
			return stalledError()
		}
		if r.moved += n; r.moved >= progressUnit {
			r.claim.touch()
			r.moved = 0
		}
	}
	if err == nil {
		return nil
	}
	r.srcErr = err
	if n > 0 {
		return nil
	}
	return r.endOf(err)
}

// endOf is what an error of the underlying reader means at this point of the frame.
func (r *Reader) endOf(err error) error {
	if err == io.EOF && r.phase != between {
		return io.ErrUnexpectedEOF
	}
	return err
}

// makeRoom sees to it that buf has room after end, moving or changing the buffer. Only Read may cause it, since it
// invalidates the frame handed out last.
func (r *Reader) makeRoom() error {
	used := r.end - r.start
	need := used + 1
	if r.phase == body {
		if r.length < 0 {
			need = used + leastRoom
		} else {
			need = max(need, min(r.pos+int(r.length)+1, bigBuffer))
		}
	}
	switch {
	case need > bigBuffer:
		if need > len(r.buf) {
			return r.enlarge()
		}
		r.claim.reopen()
	case used == 0 && !r.filled:
		r.useSmall()
	case need > smallBuffer || r.filled:
		r.useBig()
	}
	if r.start > 0 && (len(r.buf)-r.end < leastRoom || r.start+need > len(r.buf)) {
		r.moveTo(r.buf)
	}
	return nil
}

// leastRoom is the room, in bytes, for which a read is worth while if moving the unread bytes makes more.
const leastRoom = 1 << 10

// moveTo makes to the buffer and moves the unread bytes to its beginning.
func (r *Reader) moveTo(to []byte) {
	r.end = copy(to, r.buf[r.start:r.end])
	r.buf, r.start = to, 0
}

// useSmall goes back to the small buffer, for a reader with nothing buffered.
func (r *Reader) useSmall() {
	if r.small == nil {
		r.small = make([]byte, smallBuffer)
	}
	r.replace(r.small)
	r.returnBig()
}

// useBig goes over to the big buffer, into which the unread bytes fit.
func (r *Reader) useBig() {
	if r.big == nil {
		r.big = r.opts.Budget.getBuffer()
		r.replace(r.big[:])
	}
}

// replace is moveTo, and gives back what the old buffer had reserved.
func (r *Reader) replace(to []byte) {
	old := r.oversized()
	r.moveTo(to)
	r.claim.give(old)
}

// returnBig gives the big buffer back to the Budget. Nothing may point into it any more.
func (r *Reader) returnBig() {
	if r.big != nil {
		r.opts.Budget.putBuffer(r.big)
		r.big = nil
	}
}

// enlarge goes over to a buffer twice as long, charged to the Budget: the head of a frame does not fit bigBuffer.
func (r *Reader) enlarge() error {
	size := 2 * len(r.buf)
	most := 4*int64(r.limits.CommandLine+r.limits.Headers) + 4*bigBuffer
	if err := r.claim.reserve(int64(size), most, r.opts.Done); err != nil {
		return err
	}
	r.replace(make([]byte, size))
	r.returnBig()
	return nil
}

// oversized is how many bytes the buffer itself has reserved of the Budget.
func (r *Reader) oversized() int64 {
	if len(r.buf) > bigBuffer {
		return int64(len(r.buf))
	}
	return 0
}
