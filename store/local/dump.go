package local

import (
	"fmt"
	"io"
	"path/filepath"
	"time"

	"treadmq/store"
	"treadmq/store/journal"
	"treadmq/store/vfs"
)

// Filter chooses what Dump prints. The zero value prints every record.
type Filter struct {
	From, To store.Position // To 0 = to the end
	Dest     store.DestID   // 0 = all
	Kind     store.OpKind   // 0 = all
	Batches  bool           // a line for each physical batch, too
	Body     int            // up to so many bytes of each message, quoted
}

func (f *Filter) wants(r *journal.Record) bool {
	if r.Pos < f.From || (f.To > 0 && r.Pos >= f.To) || (f.Kind != 0 && r.Kind != f.Kind) {
		return false
	}
	if f.Dest == 0 || r.Ref.Dest == f.Dest {
		return true
	}
	for i := range r.Refs {
		if r.Refs[i].Dest == f.Dest {
			return true
		}
	}
	for i := range r.Moved {
		if r.Moved[i].Dest == f.Dest {
			return true
		}
	}
	return false
}

// Dump writes one line per journal record of a data folder that no broker uses.
func Dump(fsys vfs.FS, dir string, w io.Writer, f Filter) error {
	lock, m, j, x, _, err := offline(fsys, dir)
	if err != nil {
		return fmt.Errorf("dump %s: %w", dir, err)
	}
	defer lock.Close()
	defer j.Abandon()
	if x != nil {
		defer x.Close()
	}
	segs := j.Segments()
	var rec journal.Record
	for i, seg := range segs {
		end := seg.First
		err := j.Scan(seg.First, func(h *journal.Header, b []byte) error {
			end = h.End()
			if f.Batches && h.Position >= f.From && (f.To == 0 || h.Position < f.To) {
				if _, err := fmt.Fprintf(w, "%d batch epoch=%d length=%d records=%d base=%d flags=%d chain=%08x crc=%08x file=%s\n",
					h.Position, h.Epoch, h.Length, h.Records, h.Base, h.Flags, h.Chain, h.CRC, filepath.Base(seg.Path)); err != nil {
					return err
				}
			}
			return journal.EachRecord(h, b, &rec, func(r *journal.Record) error {
				if !f.wants(r) {
					return nil
				}
				_, err := fmt.Fprintln(w, line(r, f.Body))
				return err
			})
		})
		if err != nil && (i < len(segs)-1 || !journal.IsEnd(err) || end < m.End) {
			return fmt.Errorf("dump %s: %w", dir, err)
		}
	}
	return nil
}

var kindNames = [...]string{
	store.OpEnqueue: "enqueue", store.OpLink: "link", store.OpRemove: "remove", store.OpAttempts: "attempts", store.OpMark: "mark",
	store.OpPurge: "purge", store.OpDrop: "drop", store.OpPut: "put", store.OpDelete: "delete", store.OpMove: "move",
	store.OpEpochStart: "epoch-start", store.OpCatalog: "metadata", store.OpPrepare: "prepare", store.OpOutcome: "outcome",
}

// line describes a record in one line: position, kind, fields.
func line(r *journal.Record, body int) string {
	b := fmt.Appendf(nil, "%d %s", r.Pos, kindNames[r.Kind])
	switch r.Kind {
	case store.OpEnqueue:
		b = appendMessageFields(b, r, body)
	case store.OpMove:
		b = appendMessageFields(b, r, body)
		for i := range r.Moved {
			m := &r.Moved[i]
			b = fmt.Appendf(b, " ref=%s", m.Ref)
			b = appendRefFields(b, m.Attempts, m.Overlay, m.Expiry)
		}
	case store.OpLink:
		b = fmt.Appendf(b, " from=%s body=%d+%d", r.Ref, r.Body.Pos, r.Body.Size)
	case store.OpRemove, store.OpMark:
		b = fmt.Appendf(b, " ref=%s", r.Ref)
	case store.OpAttempts:
		b = fmt.Appendf(b, " ref=%s n=%d until=%s", r.Ref, r.N, instant(r.Until))
	case store.OpPurge, store.OpDrop:
		b = fmt.Appendf(b, " dest=%d upto=%s keep=%d", r.Ref.Dest, seqText(r.Ref.Seq), len(r.Keep))
	case store.OpPut:
		b = fmt.Appendf(b, " key=%q value=%q", r.Key, r.Value)
	case store.OpDelete:
		b = fmt.Appendf(b, " key=%q", r.Key)
	case store.OpEpochStart:
		b = fmt.Appendf(b, " epoch=%d node=%s", r.Epoch, r.Value)
	case store.OpCatalog:
		b = fmt.Appendf(b, " next=%s epochs=%d catalog=%d marks=%d", seqText(r.Meta.NextSeq), len(r.Meta.Epochs), len(r.Meta.Catalog), len(r.Meta.Marks))
	}
	for i := range r.Refs {
		n := &r.Refs[i]
		b = fmt.Appendf(b, " ref=%s", store.Ref{Dest: n.Dest, Lane: n.Lane, Seq: r.Seq + store.Seq(i)})
		b = appendRefFields(b, n.Attempts, n.Overlay, n.Expiry)
	}
	return string(b)
}

func appendMessageFields(b []byte, r *journal.Record, body int) []byte {
	m := &r.Message
	b = fmt.Appendf(b, " id=%d flags=%d body=%d+%d crc=%08x", m.ID, m.Flags, r.Body.Pos, r.Body.Size, r.CRC)
	if m.Expiry != 0 {
		b = fmt.Appendf(b, " expiry=%s", instant(m.Expiry))
	}
	if m.Producer != "" {
		b = fmt.Appendf(b, " producer=%q/%d", m.Producer, m.ProducerSeq)
	}
	if m.DedupKey != "" {
		b = fmt.Appendf(b, " dedup=%q", m.DedupKey)
	}
	if body > 0 && m.Encoded != nil {
		b = fmt.Appendf(b, " message=%q", m.Encoded[:min(body, len(m.Encoded))])
	}
	return b
}

func appendRefFields(b []byte, attempts uint32, overlay []byte, expiry int64) []byte {
	if attempts != 0 {
		b = fmt.Appendf(b, " attempts=%d", attempts)
	}
	if len(overlay) > 0 {
		b = fmt.Appendf(b, " overlay=%d", len(overlay))
	}
	if expiry != 0 {
		b = fmt.Appendf(b, " expiry=%s", instant(expiry))
	}
	return b
}

func seqText(s store.Seq) string {
	return fmt.Sprintf("%d-%d", s>>store.EpochShift, s&(1<<store.EpochShift-1))
}

// instant writes milliseconds since 1970 as UTC; 0 as "never".
func instant(ms int64) string {
	if ms == 0 {
		return "never"
	}
	return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z")
}
