package replica

import (
	"treadmq/ha/internal/mutate"

	"treadmq/notice"
)

// A follower whose log does not reach into its master's fetches a snapshot into a
// folder beside its store. The store stays as it is, and its vote true, until the
// snapshot replaces it in one step. Then a second Hello on the same link goes on from
// there: the master's pin lasts until it is welcomed.

func (c *Core) startFetch(w *Welcome) {
	f := &c.follow
	f.state, f.offer, f.op, f.staged = fetching, *w.Snapshot, c.nextOp(), false
	c.report(Info, "story.fetches", "epoch %d: this node fetches the store from %s, as of %d", f.epoch, f.node, w.Snapshot.At)
	c.emit(Fetch{f.op, f.link, f.offer})
	if c.broken.Has(mutate.InstallEarly) {
		f.staged, f.stagedEnd = true, max(f.offer.End, f.offer.Commit)
	}
}

func (c *Core) staged(ev Staged) {
	if f := &c.follow; f.state == fetching && ev.Op == f.op {
		f.staged, f.stagedEnd = true, ev.End
	}
}

// thinkInstall replaces the store by the complete snapshot. Its log must reach what was
// committed when it was offered: all that this node ever acknowledged and that
// counted is below.
func (c *Core) thinkInstall() {
	f := &c.follow
	if !f.staged || c.busy > 0 || c.saving.op != 0 {
		return
	}
	if f.stagedEnd < f.offer.Commit || f.stagedEnd < f.offer.At || f.stagedEnd < c.known {
		c.masterLost(notice.New("story.lost.snapshot", "its snapshot is incomplete"))
		return
	}
	m := c.meta
	m.Corrupt = false
	m.Suspect = m.Suspect && (!f.offer.Active || !c.unmarked())
	if c.meta.Corrupt && !f.offer.Active {
		m.Suspect = true // it lacks nothing that is known, but more may have been committed
	}
	f.state, f.install = installing, c.nextOp()
	c.saving = saving{f.install, m}
	c.busy++
	c.emit(Install{f.install, m})
}

func (c *Core) installed(ev Installed) {
	f := &c.follow
	c.busy--
	if !c.assert(ev.Op == c.saving.op, 4, "a store is installed once at a time") {
		return
	}
	c.saving.op = 0
	c.setMeta(c.saving.meta)
	c.log = ev.Log
	c.log.Epochs = append(c.log.Epochs[:0:0], ev.Log.Epochs...)
	c.assert(c.log.End >= c.known && c.log.Stable == c.log.End, 13, "an installed log holds what is known to be committed")
	c.learn(c.log.Applied)
	f.snapshot = false
	if f.state == installing && f.install == ev.Op {
		c.report(Info, "story.installed", "the store was installed, its log ends at %d", c.log.End)
		f.state = waiting
	}
}
