package frame

// Header is one header line, decoded. Both slices lie in the memory of the Reader that made them and are valid until
// its next Read; they may be written to, but not appended to in place.
type Header struct{ Name, Value []byte }

// Frame is one frame. A Frame is meant to be reused: Read empties it and keeps its memory.
type Frame struct {
	Command Command
	// Headers in the order sent, repeated ones included; of those the first counts.
	Headers []Header
	// Body, without the NUL. Unless Memory is set it lies in the Reader's memory, valid until its next Read.
	Body []byte
	// HasLength is set if a content-length header announced the body.
	HasLength bool
	// Memory, if not nil, is the caller's to keep and to write to: Body is its end. A body of announced length has
	// ReaderOptions.Spare bytes before it.
	Memory []byte
}

// maxKeptHeaders bounds the headers for which a Frame and a Reader keep room between frames.
const maxKeptHeaders = 64

// Get returns the value of the first header called name. STOMP 1.2, Repeated Header Entries.
func (f *Frame) Get(name string) ([]byte, bool) {
	for i := range f.Headers {
		if string(f.Headers[i].Name) == name {
			return f.Headers[i].Value, true
		}
	}
	return nil, false
}

// reset empties f and keeps a reasonable amount of its memory.
func (f *Frame) reset() {
	headers := f.Headers
	if cap(headers) > maxKeptHeaders && len(headers) <= maxKeptHeaders {
		headers = nil
	}
	clear(headers)
	*f = Frame{Headers: headers[:0]}
}
