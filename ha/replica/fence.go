package replica

import (
	"slices"

	"treadmq/ha/internal/mutate"
	"treadmq/notice"
)

// fence, then measure: a node that sees a higher epoch stops serving or following,
// finishes the write in hand, syncs the log, makes the promise durable, and only then
// tells where its log ends.
type fence struct {
	on    bool
	to    Epoch
	logOp Op   // Fence under way
	dirty bool // meta changed in memory for another reason than the epoch

	epoch     Epoch // that was measured for
	lastEpoch Epoch
	end       Position
}

// saving is a Meta on its way to the disk; there is one at a time.
type saving struct {
	op   Op
	meta Meta
}

// startFence stops whatever this node does in older epochs.
func (c *Core) startFence(to Epoch) {
	c.stepDown(notice.New("story.down.higher", "a higher epoch is known"))
	if !c.broken.Has(mutate.OldMaster) || c.follow.state != streaming {
		c.dropFollow()
	}
	f := &c.fence
	f.to, f.on = max(f.to, to), true
	if f.logOp != 0 {
		return // its answer comes after all that was given to the log
	}
	f.logOp = c.nextOp()
	c.busy++
	c.emit(Fence{f.logOp})
}

func (c *Core) fenced(ev Fenced) {
	f := &c.fence
	c.busy--
	if !c.assert(ev.Op == f.logOp, 4, "the log is fenced once at a time") {
		return
	}
	f.logOp = 0
	c.log = ev.Log
	c.log.Epochs = slices.Clone(ev.Log.Epochs)
	c.assert(c.log.Stable == c.log.End, 6, "a fenced log is on disk")
	c.assert(c.known <= c.log.End || c.meta.Corrupt, 13, "the log holds what is known to be committed")
}

func (c *Core) save(m Meta) {
	c.assert(c.saving.op == 0, 4, "meta is saved once at a time")
	c.saving = saving{c.nextOp(), m}
	c.emit(SaveMeta{c.saving.op, m})
	if c.broken.Has(mutate.VolatilePromise) {
		c.meta = m
	}
}

func (c *Core) saved(op Op) {
	if op != c.saving.op {
		return
	}
	c.saving.op = 0
	if c.assert(c.saving.meta.Promised >= c.meta.Promised, 4, "a promise never falls") {
		c.setMeta(c.saving.meta)
	}
}

// setMeta takes what became durable. What was found wrong since stays until it is, too.
func (c *Core) setMeta(m Meta) {
	if c.fence.dirty {
		m.Suspect, m.Corrupt = m.Suspect || c.meta.Suspect, m.Corrupt || c.meta.Corrupt
	}
	c.meta = m
}

// thinkFence promises the epoch of the register, if it is new, and brings a fence
// that was begun forward.
func (c *Core) thinkFence() {
	f := &c.fence
	if r := c.register(); r != nil && r.Epoch > max(c.meta.Promised, f.to) && !c.expected(r) && !c.skipFence(r) {
		c.startFence(r.Epoch)
	}
	if !f.on || f.logOp != 0 || c.saving.op != 0 && !c.broken.Has(mutate.VolatilePromise) {
		return
	}
	if f.to > c.meta.Promised || f.dirty {
		f.dirty = false
		c.save(c.metaFor(f.to))
		if !c.broken.Has(mutate.VolatilePromise) {
			return
		}
	}
	f.on = false
	f.epoch, f.lastEpoch, f.end = c.meta.Promised, c.log.Epochs.Last(), c.log.End
}

// metaFor returns what is to be durable with a promise.
func (c *Core) metaFor(e Epoch) Meta {
	m := c.meta
	m.Promised = max(m.Promised, e)
	if r := c.register(); r != nil && r.Epoch == m.Promised {
		m.Cluster, m.Replicas, m.Voters, m.Feature, m.NotedOf = r.Cluster, r.Replicas, slices.Clone(r.Voters), r.Feature, r.Epoch
	}
	return m
}

// expected says that a higher epoch in the register is the effect of this master's own
// change of voters, whose answer is under way.
func (c *Core) expected(r *Register) bool {
	return c.change.kind == changeVoters && r.Epoch == c.change.epoch && r.Master == c.cfg.ID ||
		c.plan.phase == planSaving && r.Epoch == c.plan.epoch
}

// skipFence is the broken rule of measuring without a fence.
func (c *Core) skipFence(r *Register) bool {
	f := &c.fence
	if !c.broken.Has(mutate.NoFence) || r.Master != "" || f.on || c.lead.epoch != 0 {
		return false
	}
	if f.epoch < r.Epoch {
		f.epoch, f.lastEpoch, f.end = r.Epoch, c.log.Epochs.Last(), c.log.End
	}
	b, _, _ := c.candidates(r)
	return b != c.cfg.ID
}

// measured says that this node's promise of an epoch is durable and its log measured.
func (c *Core) measured(e Epoch) bool {
	return !c.fence.on && c.fence.epoch == e && (c.meta.Promised == e || c.broken.Has(mutate.NoFence))
}
