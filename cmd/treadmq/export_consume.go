package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"treadmq/cmd/treadmq/internal/api"
)

// An export that consumes writes a batch of messages to FILE.part and syncs it, takes the batch
// out of the queue, and notes in FILE.part.taken that it did, and which of the batch it did not
// get: consumers had them. Those are left out when FILE gets its name.
//
//   - Killed before the messages are taken out: the lines without a note are taken out when the
//     export goes on.
//   - Killed after that and before the note: they are gone from the queue then, and stay in the
//     file. Whether a consumer took one of them in that moment cannot be told; the user is told
//     how many it can be.

// consumeBatch messages, or consumeBytes, are taken out at once.
const (
	consumeBatch = 256
	consumeBytes = 4 << 20
)

// place is a message and where it is in its queue.
type place struct{ ID, At string }

// takenFile is FILE.part.taken.
type takenFile struct {
	*os.File
	pending []place         // written and not yet taken out
	bytes   int             // of those
	not     map[string]bool // cursors of lines that do not count: the messages stayed, or others had them
	held    int             // messages that consumers had
	unsure  int             // messages that were gone when an interrupted export went on
}

// takenLine is a line of the file. The first one has ID alone.
type takenLine struct {
	ID    string   `json:"id,omitempty"`    // of the export
	Upto  string   `json:"upto,omitempty"`  // cursor of the last message that was dealt with
	Not   []string `json:"not,omitempty"`   // cursors of those that were not taken out
	Whole bool     `json:"whole,omitempty"` // the export is in FILE.new, all of it, and has its name when that is gone
}

// openTaken opens the notes of an export and finds which of its lines have none.
func openTaken(part, id string, lines []place) (*takenFile, error) {
	t := &takenFile{not: map[string]bool{}, pending: lines}
	path := part + ".taken"
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fileError("how far the export came cannot be read", err)
	}
	size := t.read(text, id)
	if t.File, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, fileError("the export cannot be written", err)
	}
	if err = t.Truncate(size); err == nil {
		_, err = t.Seek(size, 0)
	}
	if err == nil && size == 0 {
		err = t.note(takenLine{ID: id})
	}
	return t, err
}

// read takes the notes of this export in and returns how many bytes of them are good.
func (t *takenFile) read(text []byte, id string) (size int64) {
	for first := true; ; first = false {
		i := bytes.IndexByte(text[size:], '\n')
		var l takenLine
		if i < 0 || json.Unmarshal(text[size:size+int64(i)], &l) != nil || (first && l.ID != id) {
			return size
		}
		size += int64(i) + 1
		for _, at := range l.Not {
			t.not[at] = true
		}
		for j, p := range t.pending {
			if p.At == l.Upto {
				t.pending = t.pending[j+1:]
				break
			}
		}
	}
}

func (t *takenFile) note(l takenLine) error {
	b, err := json.Marshal(l)
	if err == nil {
		_, err = t.Write(append(b, '\n'))
	}
	return errors.Join(err, t.Sync())
}

// goOn deals with what an interrupted export has written and perhaps taken out.
func (t *takenFile) goOn(cmd *cobra.Command, c *api.Client, p *partFile) error {
	if err := errors.Join(p.w.Flush(), syncFolder(p.Name())); err != nil {
		return err
	}
	left := t.pending
	for len(left) > 0 {
		n := min(len(left), consumeBatch)
		t.pending, left = left[:n:n], left[n:]
		if err := t.settle(cmd, c, p, true); err != nil {
			return err
		}
	}
	t.pending = nil
	return nil
}

// wrote is told of each message in the file.
func (t *takenFile) wrote(cmd *cobra.Command, c *api.Client, p *partFile, m api.Item) error {
	t.pending = append(t.pending, place{m.Text("id"), m.Text("cursor")})
	if t.bytes += len(m.RawMessage); len(t.pending) < consumeBatch && t.bytes < consumeBytes {
		return nil
	}
	return t.settle(cmd, c, p, false)
}

// settle takes the messages out of the queue that are in the file: on disk first. again says that
// it may have been done before.
func (t *takenFile) settle(cmd *cobra.Command, c *api.Client, p *partFile, again bool) error {
	if len(t.pending) == 0 {
		return nil
	}
	if err := errors.Join(p.w.Flush(), p.Sync()); err != nil {
		return err
	}
	at, gone, err := t.there(cmd, c, p.head.Queue, again)
	if err != nil {
		return err
	}
	line := takenLine{Upto: t.pending[len(t.pending)-1].At}
	if len(at) > 0 {
		job, err := runAction(cmd, c, p.head.Queue, api.Action{Action: "delete", At: at, NoUndo: true})
		if err != nil {
			return err
		}
		if state := job.Text("state"); state != "done" {
			return fmt.Errorf("taking them out of the queue ended as %s: %s", state, job.Text("error"))
		}
		line.Not = job.Texts("heldAt")
		t.held += len(line.Not)
		if lost := job.Texts("goneAt"); again {
			gone += len(lost)
		} else {
			line.Not = append(line.Not, lost...)
		}
	}
	t.unsure += gone
	for _, x := range line.Not {
		t.not[x] = true
	}
	t.pending, t.bytes = nil, 0
	return t.note(line)
}

// there are the places to take messages from. When an interrupted export goes on, each is looked
// at first: in another broker's queue another message may be there.
func (t *takenFile) there(cmd *cobra.Command, c *api.Client, queue string, again bool) (at []string, gone int, err error) {
	for _, p := range t.pending {
		if again {
			m, err := c.Message(cmd.Context(), queue, p.At)
			no := (*api.Error)(nil)
			if err != nil && (!errors.As(err, &no) || no.Status != 404) {
				return nil, 0, err
			}
			if err != nil || m.Text("id") != p.ID {
				gone++
				continue
			}
		}
		at = append(at, p.At)
	}
	return at, gone, nil
}

// finish gives the file its name, without the lines that do not count.
func (t *takenFile) finish(p *partFile, name string) error {
	if len(t.not) == 0 {
		err := errors.Join(os.Rename(p.Name(), name), syncFolder(name))
		return errors.Join(err, os.Remove(t.Name()))
	}
	if err := errors.Join(t.rewrite(p, name+".new"), syncFolder(name)); err != nil {
		return err
	}
	if err := t.note(takenLine{Whole: true}); err != nil {
		return err
	}
	return nameWhole(name)
}

// nameWhole gives FILE.new its name and removes what it was made of.
func nameWhole(name string) error {
	if err := errors.Join(os.Rename(name+".new", name), syncFolder(name)); err != nil {
		return err
	}
	return removeParts(name)
}

func removeParts(name string) error {
	err := os.Remove(name + ".part")
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, os.Remove(name+".part.taken"))
}

// finishInterrupted does what is left of an export that was killed when nothing but names was
// missing, and reports whether that was so.
func finishInterrupted(name string) (finished bool, err error) {
	text, err := os.ReadFile(name + ".part.taken")
	if errors.Is(err, fs.ErrNotExist) || (err == nil && !bytes.Contains(text, []byte(`"whole":true}`+"\n"))) {
		return false, nil
	}
	if err != nil {
		return false, fileError("how far the export came cannot be read", err)
	}
	if !fileExists(name + ".new") { // it has its name, and may have been moved away since
		return false, removeParts(name)
	}
	return true, nameWhole(name)
}

// rewrite copies the export without the lines that do not count.
func (t *takenFile) rewrite(p *partFile, name string) error {
	in, err := os.Open(p.Name())
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	w := bufio.NewWriterSize(out, 1<<20)
	r := bufio.NewReaderSize(in, 1<<20)
	for n := range p.messages + 1 { // the head, the messages
		line, err := readExportLine(r)
		if err != nil {
			return err
		}
		var at struct{ Cursor string }
		if err := json.Unmarshal(line, &at); err != nil {
			return err
		}
		if n > 0 && t.not[at.Cursor] {
			continue
		}
		if _, err := w.Write(append(line, '\n')); err != nil {
			return err
		}
	}
	end, err := encodeJSON(exportEnd{true, p.messages - int64(len(t.not))})
	if err == nil {
		_, err = w.Write(append(end, '\n'))
	}
	return errors.Join(err, w.Flush(), out.Sync())
}

// tell says what did not go as a user might think.
func (t *takenFile) tell(cmd *cobra.Command) {
	if t.held > 0 {
		warn(cmd.ErrOrStderr(), "%s stayed in the queue, because consumers had them", plural(t.held, "message"))
	}
	if t.unsure > 0 {
		warn(cmd.ErrOrStderr(), "%s of the file were gone from the queue when the export went on: it had taken them out before it was interrupted, unless consumers did so in that moment", plural(t.unsure, "message"))
	}
}

// syncFolder puts the name of a file on disk.
func syncFolder(file string) error {
	d, err := os.Open(filepath.Dir(file))
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}
