package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"treadmq/cmd/treadmq/internal/api"
)

// importHeader names an imported message, so that one is found that was sent when the
// import was interrupted.
const importHeader = "x-import-id"

// onceHeader lets the broker recognise a message that it has; consumers do not see it.
const onceHeader = "x-dedup-id"

func newExportID() string { return rand.Text() }

func newImportCommand() *cobra.Command {
	f := &apiFlags{}
	var to string
	cmd := &cobra.Command{
		Use: "import FILE", Short: "Send the messages of an export to a queue",
		Long: `Send the messages of an export, in their order, to the queue they come from or to
another one. They keep headers, priority, expiry and whether they are persistent; they get
ids and timestamps of their own, and a header ` + importHeader + `.

How far it came is written to FILE.imported: when the command is interrupted, or the broker
goes away, the same command goes on behind the last message that was stored. The one it was
at is looked for in the queue first, and the broker recognises it if it comes twice (policy dedup).`,
		Example: "  treadmq import orders.jsonl\n  treadmq import orders.jsonl --to orders.test",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if to != "" {
				var err error
				if to, err = nameOf("queue", to); err != nil {
					return err
				}
			}
			return importFile(cmd, f, args[0], to)
		},
	}
	f.register(cmd)
	cmd.Flags().StringVar(&to, "to", "", "queue (default the one in the file)")
	outputFlag(cmd)
	return cmd
}

// importState is how far an import came.
type importState struct {
	ID       string `json:"id"` // of the export
	Queue    string `json:"queue"`
	Run      string `json:"run"`      // of this import: importing once more sends all once more
	Messages int64  `json:"messages"` // that are stored
	Done     bool   `json:"done"`

	path string
}

// readState returns how far the import of an export to a queue came.
func readState(path string, head *exportHead, queue string) (*importState, error) {
	s := &importState{ID: head.ID, Queue: queue, Run: newExportID(), path: path}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	var old importState
	if err == nil {
		err = json.Unmarshal(text, &old)
	}
	switch {
	case err != nil:
		return nil, fileError("how far the import came cannot be read", err)
	case old.ID != s.ID || old.Queue != s.Queue:
		return nil, &failure{code: exitData, what: fmt.Sprintf("%s says how far another import came, to the queue %q", path, old.Queue), next: "remove it if that is over"}
	case old.Done:
		return nil, &failure{code: exitData, what: fmt.Sprintf("the file was imported to the queue %q already", queue), next: "remove " + path + " to import it again"}
	}
	old.path, old.Run = path, firstOf(old.Run, s.Run)
	return &old, nil
}

// save replaces the state's file, so that it is never half written.
func (s *importState) save() error {
	b, err := encodeJSON(s)
	if err != nil {
		return err
	}
	if err := os.WriteFile(s.path+".new", b, 0o600); err != nil {
		return err
	}
	return os.Rename(s.path+".new", s.path)
}

func importFile(cmd *cobra.Command, f *apiFlags, path, to string) error {
	file, err := os.Open(path)
	if err != nil {
		return fileError("the export cannot be read", err)
	}
	defer file.Close()
	head, total, err := checkExport(file)
	if err != nil {
		return err
	}
	s, err := readState(path+".imported", &head, firstOf(to, head.Queue))
	if err != nil {
		return err
	}
	c, err := f.connect(cmd)
	if err != nil {
		return err
	}
	defer c.Close()
	if s.Messages > 0 {
		talk(cmd, "going on behind %d messages", s.Messages)
	}
	bar := newProgress(cmd, total, "import "+s.Queue)
	err = sendExport(cmd.Context(), c, file, s, bar)
	bar.end()
	if err != nil {
		if cmd.Context().Err() != nil {
			return canceled(cmd.Context(), fmt.Sprintf("%d of %d messages are stored; the same command goes on", s.Messages, total))
		}
		if said := (*failure)(nil); errors.As(err, &said) {
			return err
		}
		return apiError(c, fmt.Sprintf("the import stopped after %d of %d messages; the same command goes on", s.Messages, total), err)
	}
	s.Done = true
	if err := s.save(); err != nil {
		return fileError("how far the import came cannot be written", err)
	}
	return printOne(cmd, []string{"queue", "file", "messages"}, record{
		value: map[string]any{"queue": s.Queue, "file": path, "messages": s.Messages}, cells: []string{s.Queue, path, fmt.Sprint(s.Messages)}, name: s.Queue,
	})
}

// maxExportEnd is more than the last line of an export has.
const maxExportEnd = 1024

// checkExport reads head and end, and leaves the file at its beginning.
func checkExport(file *os.File) (head exportHead, total int64, err error) {
	line, err := readExportLine(bufio.NewReader(io.LimitReader(file, maxExportEnd)))
	if err != nil {
		return head, 0, &failure{code: exitData, what: "the file is no export of TreadMQ"}
	}
	if err := checkHead(line, &head); err != nil {
		return head, 0, err
	}
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return head, 0, err
	}
	tail := make([]byte, min(size, maxExportEnd))
	if _, err := file.ReadAt(tail, size-int64(len(tail))); err != nil {
		return head, 0, err
	}
	text := strings.TrimRight(string(tail), "\n")
	var end exportEnd
	if json.Unmarshal([]byte(text[strings.LastIndexByte(text, '\n')+1:]), &end) != nil || !end.End {
		return head, 0, &failure{code: exitData, what: "the export is not whole: its end is missing", next: "let treadmq export go on, or copy the file again"}
	}
	_, err = file.Seek(0, io.SeekStart)
	return head, end.Messages, err
}

// exported is what an import takes of a line.
type exported struct {
	End        bool              `json:"end"`
	Headers    map[string]string `json:"headers"`
	Body       *string           `json:"body"`
	BodyBase64 *string           `json:"bodyBase64"`
	Persistent bool              `json:"persistent"`
	Priority   int               `json:"priority"`
}

// sendExport sends what is left of a file.
func sendExport(ctx context.Context, c *api.Client, file io.Reader, s *importState, bar *progress) error {
	r := bufio.NewReaderSize(file, 1<<20)
	if _, err := readExportLine(r); err != nil {
		return err
	}
	resumed := s.Messages > 0 || fileExists(s.path)
	for n := int64(0); ; n++ {
		line, err := readExportLine(r)
		if err != nil {
			return &failure{code: exitData, what: fmt.Sprintf("line %d of the export cannot be read", n+2), why: err}
		}
		if n < s.Messages {
			continue // stored already
		}
		var m exported
		if err := json.Unmarshal(line, &m); err != nil {
			return &failure{code: exitData, what: fmt.Sprintf("line %d of the export is no message", n+2), why: err}
		}
		if m.End {
			return nil
		}
		id := fmt.Sprintf("%s-%d", s.ID, n)
		there := false
		if resumed { // the message that it was at may be stored
			resumed = false
			if there, err = c.Has(ctx, s.Queue, fmt.Sprintf(`"%s" = '%s'`, importHeader, id)); err != nil {
				return err
			}
		} else if n == 0 {
			if err := s.save(); err != nil { // before anything is sent: so that it is known that something was
				return err
			}
		}
		if !there {
			if err := c.Send(ctx, s.Queue, m.outgoing(id, fmt.Sprintf("%s-%d", s.Run, n))); err != nil {
				return err
			}
		}
		s.Messages = n + 1
		if err := s.save(); err != nil {
			return err
		}
		bar.set(s.Messages)
	}
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// outgoing is the message as the API takes it. Headers that belong to a delivery or that
// the broker makes mean nothing there. A request of a run that was killed may still be on its way
// when the next one looks and sends again: once tells the broker that both are one message.
func (m *exported) outgoing(id, once string) map[string]any {
	if m.Headers == nil {
		m.Headers = map[string]string{}
	}
	m.Headers[importHeader] = id
	m.Headers[onceHeader] = once
	out := map[string]any{"headers": m.Headers, "persistent": m.Persistent, "priority": m.Priority}
	switch {
	case m.BodyBase64 != nil:
		out["bodyBase64"] = m.BodyBase64
	case m.Body != nil:
		out["body"] = m.Body
	}
	return out
}
