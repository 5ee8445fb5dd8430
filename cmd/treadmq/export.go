package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"treadmq/cmd/treadmq/internal/api"
)

// An export is a text file, JSON in each line: a head, the messages as the API shows
// them, and an end. It is described in docs/operations.md.
const exportVersion = 1

// exportHead is the first line.
type exportHead struct {
	Export  int       `json:"treadmqExport"` // exportVersion
	Queue   string    `json:"queue"`
	ID      string    `json:"id"` // another one for each export
	Created time.Time `json:"created"`
	Consume bool      `json:"consume,omitempty"` // what is in the file was taken out of the queue
}

// exportEnd is the last line: without it the export is not whole.
type exportEnd struct {
	End      bool  `json:"end"`
	Messages int64 `json:"messages"`
}

const maxExportLine = 256 << 20 // bytes of one message, as the API's answers

func newExportCommand() *cobra.Command {
	f := &apiFlags{}
	var force, consume bool
	cmd := &cobra.Command{
		Use: "export QUEUE FILE", Short: "Copy the messages of a queue to a file, or move them there",
		Long: `Copy all messages of a queue to a file; nothing is consumed. While it is written the
file is called FILE.part: when the command is interrupted, or the broker goes away, the
same command goes on where it ended. Messages that come meanwhile are copied too, those
that are consumed before they are reached are not.

With --consume they are taken out of the queue, each after it is on disk in FILE.part. What
a consumer holds stays in the queue and out of the file. When the command was killed while it
took some out, and consumers took others of the same ` + fmt.Sprint(consumeBatch) + ` at that moment, those are in the file
too: the command says how many that can be.`,
		Example: "  treadmq export orders orders.jsonl\n  treadmq export old.orders old.jsonl --consume\n  treadmq import orders.jsonl --to orders.test",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, err := nameOf("queue", args[0])
			if err != nil {
				return err
			}
			if _, err := os.Stat(args[1]); err == nil && !force {
				return fileError("the export cannot be written to "+args[1], fs.ErrExist)
			}
			return export(cmd, f, name, args[1], consume)
		},
	}
	f.register(cmd)
	cmd.Flags().BoolVar(&force, "force", false, "replace FILE")
	cmd.Flags().BoolVar(&consume, "consume", false, "take the messages out of the queue; needs the role admin")
	outputFlag(cmd)
	return cmd
}

// partFile is an export that is being written.
type partFile struct {
	*os.File
	w        *bufio.Writer
	head     exportHead
	messages int64
	cursor   string     // of the last message in it
	taken    *takenFile // with --consume, else nil
	pending  []place    // what an interrupted one has in it, for that
}

// openPart opens the file of an export, and finds out where one ended that was interrupted.
func openPart(path, queue string, consume bool) (*partFile, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) // messages may be nobody else's business
	if err != nil {
		return nil, fileError("the export cannot be written", err)
	}
	p := &partFile{File: file}
	if err := p.resume(queue, consume); err != nil {
		file.Close()
		return nil, err
	}
	p.w = bufio.NewWriterSize(file, 1<<20)
	if p.head.Export == 0 {
		p.head = exportHead{exportVersion, queue, newExportID(), time.Now().UTC(), consume}
		if err := p.line(p.head); err != nil {
			return p, err
		}
	}
	if !consume {
		return p, nil
	}
	p.taken, err = openTaken(path, p.head.ID, p.pending)
	p.pending = nil
	return p, err
}

// resume reads what is there and cuts off a last line that is not whole.
func (p *partFile) resume(queue string, consume bool) error {
	r := bufio.NewReaderSize(p.File, 1<<20)
	whole := int64(0)
reading:
	for {
		line, err := readExportLine(r)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			return fileError("the interrupted export cannot be read", err)
		}
		if whole == 0 {
			if err := checkHead(line, &p.head); err != nil {
				return err
			}
			if p.head.Queue != queue {
				return &failure{code: exitData, what: fmt.Sprintf("%s is an interrupted export of the queue %q", p.Name(), p.head.Queue), next: "remove it, or give another file"}
			}
			if p.head.Consume != consume {
				return &failure{code: exitData, what: fmt.Sprintf("%s is an interrupted export with --consume=%v", p.Name(), p.head.Consume), next: "go on in the same way, or give another file"}
			}
		} else {
			var at struct {
				ID, Cursor string
				End        bool
			}
			if json.Unmarshal(line, &at) == nil && at.End {
				break reading // killed before the file got its name
			}
			if err := json.Unmarshal(line, &at); err != nil || at.Cursor == "" {
				return &failure{code: exitData, what: fmt.Sprintf("line %d of %s is no message", p.messages+2, p.Name()), why: err, next: "remove the file to begin anew"}
			}
			p.messages, p.cursor = p.messages+1, at.Cursor
			if consume {
				p.pending = append(p.pending, place{at.ID, at.Cursor})
			}
		}
		whole += int64(len(line)) + 1
	}
	if err := p.Truncate(whole); err != nil {
		return err
	}
	_, err := p.Seek(whole, io.SeekStart)
	return err
}

// readExportLine returns a line without its end. io.ErrUnexpectedEOF: it has none.
func readExportLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil:
			return line[:len(line)-1], nil
		case errors.Is(err, io.EOF) && len(line) > 0:
			return nil, io.ErrUnexpectedEOF
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		case len(line) > maxExportLine:
			return nil, fmt.Errorf("a line is longer than %d bytes", maxExportLine)
		}
	}
}

func checkHead(line []byte, head *exportHead) error {
	if err := json.Unmarshal(line, head); err != nil || head.Export == 0 {
		return &failure{code: exitData, what: "the file is no export of TreadMQ", why: err}
	}
	if head.Export != exportVersion {
		return &failure{code: exitData, what: fmt.Sprintf("the export has version %d, and this program knows version %d", head.Export, exportVersion)}
	}
	return nil
}

func (p *partFile) line(v any) error {
	b, err := encodeJSON(v)
	if err == nil {
		_, err = p.w.Write(append(b, '\n'))
	}
	return err
}

// add writes a message.
func (p *partFile) add(m api.Item) error {
	var b bytes.Buffer
	if err := json.Compact(&b, m.RawMessage); err != nil {
		return err
	}
	b.WriteByte('\n')
	_, err := p.w.Write(b.Bytes())
	p.messages++
	p.cursor = m.Text("cursor")
	return err
}

// finish writes the end and gives the file its name.
func (p *partFile) finish(name string) error {
	if err := p.line(exportEnd{true, p.messages}); err != nil {
		return err
	}
	if err := errors.Join(p.w.Flush(), p.Sync(), p.Close()); err != nil {
		return err
	}
	if p.taken != nil {
		return p.taken.finish(p, name)
	}
	return os.Rename(p.Name(), name)
}

func export(cmd *cobra.Command, f *apiFlags, queue, file string, consume bool) error {
	c, err := f.connect(cmd)
	if err != nil {
		return err
	}
	defer c.Close()
	info, err := c.Destination(cmd.Context(), "queues", queue)
	if err != nil {
		return apiError(c, fmt.Sprintf("the queue %q cannot be exported", queue), err)
	}
	if consume {
		if finished, err := finishInterrupted(file); err != nil || finished {
			talk(cmd, "the export was whole when it was interrupted; now %s has its name", file)
			return err
		}
	}
	p, err := openPart(file+".part", queue, consume)
	if err != nil {
		return err
	}
	defer p.Close()
	if p.messages > 0 {
		talk(cmd, "going on behind %d messages", p.messages)
	}
	t := p.taken
	if t != nil {
		defer t.Close()
		if err := t.goOn(cmd, c, p); err != nil {
			return apiError(c, "what the interrupted export has written cannot be taken out of the queue; the same command tries again", err)
		}
	}
	bar := newProgress(cmd, max(info.Int("messages"), p.messages), "export "+queue)
	err = c.FindFrom(cmd.Context(), queue, p.cursor, func(m api.Item) (bool, error) {
		err := p.add(m)
		if err == nil && t != nil {
			err = t.wrote(cmd, c, p, m)
		}
		bar.set(p.messages)
		return true, err
	})
	if err == nil && t != nil {
		err = t.settle(cmd, c, p, false)
	}
	bar.end()
	if err != nil {
		err = errors.Join(err, p.w.Flush())
		if cmd.Context().Err() != nil {
			return canceled(cmd.Context(), fmt.Sprintf("%d messages are in %s; the same command goes on", p.messages, p.Name()))
		}
		return apiError(c, fmt.Sprintf("the export stopped after %d messages, which are in %s; the same command goes on", p.messages, p.Name()), err)
	}
	if err := p.finish(file); err != nil {
		return fileError("the export cannot be written", err)
	}
	messages := p.messages
	if t != nil {
		messages -= int64(len(t.not))
		t.tell(cmd)
	}
	return printOne(cmd, []string{"queue", "file", "messages"}, record{
		value: map[string]any{"queue": queue, "file": file, "messages": messages}, cells: []string{queue, file, fmt.Sprint(messages)}, name: file,
	})
}
