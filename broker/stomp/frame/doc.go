// Package frame reads and writes STOMP frames, versions 1.0, 1.1 and 1.2. It knows no broker and imports only the
// standard library.
//
// # Reading
//
// A [Reader] parses in place. It looks for the ends of lines in its read buffer, notes where names and values lie as
// offsets from the start of the frame, and only when the frame is whole turns them into slices of that buffer. Small
// frames therefore cost no allocation and no copy; the price is that a [Frame] is valid only until the next Read.
// Parsing is resumable: it never looks at a byte twice because a frame came in many pieces, and what it reports does
// not depend on where the pieces were cut.
//
// Memory follows traffic. A reader starts with 4 KiB. When a read fills that, or a frame needs more, it borrows a
// 64 KiB buffer from the [Budget]'s pool and gives it back as soon as it is empty and reads have become small, so an
// idle connection holds 4 KiB whatever it did before. A frame that does not fit 64 KiB keeps its head in the buffer
// and gets a body of its own ([Frame.Memory]), which grows four-fold with the bytes that have really arrived and
// never by the announced content-length. All such bodies, and heads beyond 64 KiB, are charged to the Budget, which
// all connections share: a piece is granted only if every claim can still be finished afterwards, and when memory is
// short the claim that stalled longest gives way. Small frames never wait for it.
//
// A session that shares a Budget closes its Reader at the end, and calls Release as soon as it has handed a large body
// on if it may wait for anything but the next frame.
//
// # Leniency
//
// What a server must accept beyond the specification, because clients in use send it: stray NULs and CRs between
// frames; CR LF in 1.0 and 1.1 if the frame's command line ended so; \r as an escape in 1.1; padded values in 1.0 and
// a padded content-length in all versions; a raw colon in a value; a body of nothing but line ends on a frame that may
// have none, and in 1.0 any body there (it is dropped). Headers of CONNECT, STOMP and CONNECTED are never unescaped;
// [Unescape] helps with clients that escape them nevertheless. They are trimmed as 1.0 only if the frame does not
// speak of versions.
//
// Stricter than the specification: a NUL within the head is an error. It nearly always means that the blank line
// before the body is missing, and clients that look for the NUL first would read such a header as two frames.
//
// # Errors
//
// Faults of the peer are *[Error]; everything else comes from the underlying reader unchanged, except that io.EOF
// within a frame becomes io.ErrUnexpectedEOF. After any error the stream cannot be trusted, so every later Read
// returns the same error. With an *Error the Frame still holds the command and the headers understood so far, so that
// an ERROR frame can name the receipt.
//
// # Writing
//
// The Append functions build a frame at the end of a byte slice:
//
//	b = frame.AppendCommand(b, frame.MESSAGE)
//	b = frame.AppendHeader(b, frame.V12, "destination", "/queue/a")
//	b = frame.AppendHeaderInt(b, "content-length", int64(len(body)))
//	b = frame.AppendEnd(b)
//	b = frame.AppendBody(b, body)
//
// They emit strictly: whatever the name and value hold, the result is one well-formed header line.
package frame
