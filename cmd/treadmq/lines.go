package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
)

// line is one message of a source of lines, or why there are no more.
type line struct {
	body []byte
	err  error
}

// lines gives the lines of a source one after the other, without their delimiter; CR
// before LF goes too. The goroutine behind it ends with the source or with ctx, but a
// read that is under way then goes on until the process ends: reading from a terminal
// or a pipe cannot be stopped.
func lines(ctx context.Context, in io.Reader, delimiter byte) func(context.Context) ([]byte, error) {
	found := make(chan line) // closed by the reader
	go func() {
		defer close(found)
		s := bufio.NewScanner(in)
		s.Buffer(make([]byte, 0, 64<<10), maxBody+2)
		s.Split(func(data []byte, atEOF bool) (int, []byte, error) { return splitAt(data, atEOF, delimiter) })
		for s.Scan() {
			select {
			case found <- line{body: bytes.Clone(s.Bytes())}:
			case <-ctx.Done():
				return
			}
		}
		err := s.Err()
		if err == bufio.ErrTooLong {
			err = &failure{code: exitData, what: fmt.Sprintf("a line is longer than %d bytes", maxBody)}
		}
		if err != nil {
			select {
			case found <- line{err: err}:
			case <-ctx.Done():
			}
		}
	}()
	return func(ctx context.Context) ([]byte, error) {
		select {
		case l, more := <-found:
			if !more {
				return nil, io.EOF
			}
			return l.body, l.err
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// splitAt is a bufio.SplitFunc that ends tokens at a delimiter.
func splitAt(data []byte, atEOF bool, delimiter byte) (advance int, token []byte, err error) {
	if i := bytes.IndexByte(data, delimiter); i >= 0 {
		token = data[:i]
		if delimiter == '\n' {
			token = bytes.TrimSuffix(token, []byte("\r"))
		}
		return i + 1, token, nil
	}
	if atEOF && len(data) > 0 {
		return len(data), data, nil
	}
	return 0, nil, nil
}
