package ha

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"treadmq/ha/replica"
	"treadmq/notice"
	"treadmq/store"
)

// maxTimeline bounds the entries that are kept.
const maxTimeline = 200

// levels are the words for replica.Level.
var levels = [...]string{replica.Info: "info", replica.Warning: "warning", replica.Alarm: "alarm"}

// story is what the member tells of the group: for the log, and for the console.
type story struct {
	log      *slog.Logger
	timeline []Entry
	epoch    store.Epoch    // of the register, as told
	master   replica.NodeID // the same
}

// tell adds to the story. Only the core's goroutine calls it.
func (s *story) tell(l replica.Level, e store.Epoch, what notice.Notice) {
	if len(s.timeline) >= maxTimeline {
		s.timeline = slices.Delete(s.timeline, 0, 1)
	}
	s.timeline = append(s.timeline, Entry{Time: time.Now(), Level: levels[l], Epoch: e, Text: what})
	level := slog.LevelInfo
	switch l {
	case replica.Warning:
		level = slog.LevelWarn
	case replica.Alarm:
		level = slog.LevelError
	}
	s.log.Log(context.Background(), level, what.Text, "epoch", uint64(e))
}

// see tells of a register that changed.
func (s *story) see(v seen) {
	r := v.view.Register
	if r == nil || r.Epoch == s.epoch && r.Master == s.master {
		return
	}
	s.epoch, s.master = r.Epoch, r.Master
	if r.Master == "" {
		s.tell(replica.Info, r.Epoch, notice.New("story.elects", "epoch %d: the group elects a master", r.Epoch))
		return
	}
	s.tell(replica.Info, r.Epoch, elected(v))
}

// elected says who is master and why.
func elected(v seen) notice.Notice {
	r := v.view.Register
	name := func(id replica.NodeID) string { return nameOf(v.view, id) }
	var rest notice.List
	if c := v.cards[r.Master].Clients; len(c) > 0 {
		rest = append(rest, notice.New("story.clients", "; clients at %s", strings.Join(c, ", ")))
	}
	m := v.view.Member(r.Master)
	if m == nil || m.Promised != r.Epoch {
		return notice.New("story.master", "epoch %d: node %s is master%s", r.Epoch, name(r.Master), rest)
	}
	var others notice.List
	for _, o := range r.Voters {
		if o.ID != r.Master {
			others = append(others, compared(m, v.view.Member(o.ID), r.Epoch, name(o.ID)))
		}
	}
	return notice.New("story.newest", "epoch %d: node %s has the newest log (epoch %d, ends at %d%s) and is master%s", r.Epoch, name(r.Master), m.LastEpoch, m.End, others, rest)
}

// compared says how another member's log compares with the master's.
func compared(m, o *replica.Member, e store.Epoch, name string) notice.Notice {
	switch {
	case o == nil:
		return notice.New("story.compared.absent", "; %s is not there", name)
	case o.Promised != e:
		return notice.New("story.compared.late", "; %s was not waited for", name)
	case o.State == replica.Suspect || o.State == replica.Corrupt:
		return notice.New("story.compared.state", "; %s is %s", name, notice.Notice{Code: "cluster.health." + o.State.String(), Text: o.State.String()})
	case o.LastEpoch != m.LastEpoch:
		return notice.New("story.compared.epoch", "; %s is of epoch %d", name, o.LastEpoch)
	case o.End == m.End:
		return notice.New("story.compared.same", "; %s has the same", name)
	}
	return notice.New("story.compared.ahead", "; %s ahead of %s", size(uint64(m.End-o.End)), name)
}

// nameOf is a member's configured name.
func nameOf(v *replica.View, id replica.NodeID) string {
	if v != nil {
		if m := v.Member(id); m != nil && m.Name != "" {
			return m.Name
		}
		if v.Register != nil {
			if o := v.Register.Voter(id); o != nil && o.Name != "" {
				return o.Name
			}
		}
	}
	return string(id)
}

// named puts the members' names in the place of their IDs.
func (n *Node) named(what notice.Notice) notice.Notice {
	v := n.view.view
	if v == nil {
		return what
	}
	return what.Map(func(text string) string {
		for i := range v.Members {
			text = strings.ReplaceAll(text, string(v.Members[i].ID), nameOf(v, v.Members[i].ID))
		}
		return text
	})
}

// size is a number of bytes for people.
func size(n uint64) string {
	for _, u := range []struct {
		unit string
		of   uint64
	}{{"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}} {
		if n >= u.of {
			return fmt.Sprintf("%.1f %s", float64(n)/float64(u.of), u.unit)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}
