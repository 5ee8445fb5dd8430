package frame

import (
	"bytes"
	"strings"
	"unsafe"
)

// firstBody is about how much memory a large body gets at first, in bytes. It grows with what arrives.
const firstBody = 64 << 10

// outgrows reports whether the body being read cannot lie in the buffer with its head.
func (r *Reader) outgrows() bool {
	if r.length >= 0 {
		return int64(r.pos)+r.length+1 > bigBuffer
	}
	return r.end-r.start+leastRoom > bigBuffer
}

// readLarge reads the rest of a frame whose body gets memory of its own.
func (r *Reader) readLarge(f *Frame) error {
	var memory, content []byte
	var err error
	if r.length >= 0 {
		memory, err = r.readCounted()
		if err == nil {
			content = memory[int64(len(memory))-r.length:]
		}
	} else {
		content, err = r.readToNUL()
		memory = content
	}
	if err != nil {
		return err
	}
	if err := r.deliver(f, content); err != nil {
		return err
	}
	if f.Body != nil {
		f.Memory = memory
	}
	return nil
}

// readCounted reads a body of known length and its NUL, straight from the source to their place, and nothing that comes
// after them. It returns memory that ends with the body and begins with as much spare room as was asked for.
func (r *Reader) readCounted() ([]byte, error) {
	spare := 0
	if r.opts.Spare != nil {
		spare = r.opts.Spare(r.pos, len(r.spans))
	}
	most := int64(spare) + r.length + 1
	content, err := r.grow(nil, spare+r.end-r.start-r.pos, most)
	if err == nil {
		content, err = r.takeBody(content[:spare], most, r.end)
	}
	if err != nil {
		return nil, err
	}
	for int64(len(content)) < most {
		if len(content) == cap(content) {
			if content, err = r.grow(content, len(content)+1, most); err != nil {
				return nil, err
			}
		}
		if r.srcErr != nil {
			return nil, r.endOf(r.srcErr)
		}
		n, err := r.readSome(content[len(content):cap(content)])
		content = content[:len(content)+n]
		if err := r.arrived(n, err); err != nil {
			return nil, err
		}
	}
	if content[most-1] != 0 {
		return nil, r.noNUL()
	}
	r.phase, r.size = complete, r.pos
	r.filled = false // a small read finds the next head, and leaves its body for its own place
	return content[: most-1 : most-1], nil
}

// readToNUL reads a body that ends at the first NUL, by way of the buffer.
func (r *Reader) readToNUL() ([]byte, error) {
	var content []byte
	for {
		part := r.buf[r.start+r.pos : r.end]
		n := bytes.IndexByte(part, 0)
		whole := n >= 0
		if whole {
			part = part[:n]
		}
		if int64(len(content)+len(part)) > r.bodyLimit() {
			return nil, r.tooLarge()
		}
		var err error
		if whole {
			content, err = r.takeBody(content, r.bodyLimit(), r.start+r.pos+n)
			r.phase, r.size = complete, r.pos+1
			return content, err
		}
		if content, err = r.takeBody(content, r.bodyLimit(), r.end); err != nil {
			return nil, err
		}
		if err := r.fill(); err != nil {
			return nil, err
		}
	}
}

// takeBody appends the part of the body that lies in the buffer, up to index to, to content and closes the gap, so that
// what follows is at pos again. A body that comes to most is whole.
func (r *Reader) takeBody(content []byte, most int64, to int) ([]byte, error) {
	from := r.start + r.pos
	part := r.buf[from:to]
	if need := len(content) + len(part); need > cap(content) || content == nil {
		var err error
		if content, err = r.grow(content, need, most); err != nil {
			return nil, err
		}
	}
	content = append(content, part...)
	r.end = from + copy(r.buf[from:], r.buf[to:r.end])
	return content, nil
}

// grow moves content to memory for at least need bytes, out of at most most, and charges it to the Budget.
func (r *Reader) grow(content []byte, need int, most int64) ([]byte, error) {
	size := nextSize(int64(need), most)
	if err := r.claim.reserve(size, r.oversized()+most+(most+3)/4, r.opts.Done); err != nil {
		return nil, err
	}
	grown := append(uncleared(size), content...)
	r.claim.give(int64(cap(content)))
	if size == most {
		r.claim.noMore()
	}
	return grown, nil
}

// uncleared returns an empty slice with room for at least n bytes. A Builder's memory is the one that the language gives
// without clearing it first, which for a body that is read into it would be a tenth of all the broker does.
func uncleared(n int64) []byte {
	var b strings.Builder
	b.Grow(int(n))
	b.WriteByte(0) // an empty string need not point to it
	return unsafe.Slice(unsafe.StringData(b.String()), b.Cap())[:0:n]
}

// nextSize picks the memory for a body of which need bytes are there and most may come: most divided by four as often
// as need and firstBody allow. So it is never more than four times what arrived (or firstBody four times over), ends at
// exactly most, and while moving old and new together are at most 5/4 of it.
func nextSize(need, most int64) int64 {
	for size := most; ; {
		smaller := (size + 3) / 4
		if smaller < max(need, firstBody) {
			return size
		}
		size = smaller
	}
}
