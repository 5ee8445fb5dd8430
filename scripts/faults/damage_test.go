//go:build faults && linux

package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Times of faults of disks and members.
const (
	slowSync   = 200 * time.Millisecond
	mostCut    = 64 << 10 // bytes off the end of a journal
	changeTime = 20 * time.Second
)

// segments are the files of a member's journal, the one that is written last. The member does not run.
func (m *member) segments() ([]string, error) {
	l, err := filepath.Glob(filepath.Join(m.data(), "replicated", "*.log"))
	if err == nil && len(l) == 0 {
		l, err = filepath.Glob(filepath.Join(m.data(), "replicated", "*", "*.log")) // of a store that was fetched
	}
	if err == nil && len(l) == 0 {
		err = fmt.Errorf("%s has no journal", m.name)
	}
	return l, err
}

// flipSegment changes one bit of a follower's journal that is not written any more, while it does not run.
func flipSegment(_ context.Context, w *world, m *member) error {
	f := w.others(m)[0]
	f.kill()
	l, err := f.segments()
	if err != nil {
		return err
	}
	path := l[w.rand.IntN(max(1, len(l)-1))]
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	end := len(bytes.TrimRight(b, "\x00"))
	if end == 0 {
		return nil
	}
	b[w.rand.IntN(end)] ^= 1 << w.rand.IntN(8)
	return os.WriteFile(path, b, 0o600)
}

// cutTail takes a part of what a follower had written, and synced, off its journal, while it does not run.
func cutTail(_ context.Context, w *world, m *member) error {
	f := w.others(m)[0]
	f.kill()
	l, err := f.segments()
	if err != nil {
		return err
	}
	last := l[len(l)-1]
	b, err := os.ReadFile(last)
	if err != nil {
		return err
	}
	end := len(bytes.TrimRight(b, "\x00"))
	return os.Truncate(last, int64(max(0, end-1-w.rand.IntN(mostCut))))
}

// slowDisk makes each sync of one member slow, as follower and then as master.
func slowDisk(ctx context.Context, w *world, m *member) error {
	f := w.others(m)[0]
	f.kill()
	if err := f.start("--store-fault", "sync@.log:1+:"+slowSync.String()); err != nil {
		return err
	}
	if err := w.recovered(ctx); err != nil {
		return err
	}
	if m := w.master(); m != nil && m != f {
		_ = m.order(ctx, "handover", `{"to":"`+f.name+`"}`) // it may be too slow for that
	}
	if err := w.between(ctx, shorter, longer); err != nil {
		return err
	}
	f.kill()
	return nil
}

// zookeeperRolling restarts ZooKeeper's servers one after the other.
func zookeeperRolling(ctx context.Context, w *world, _ *member) error {
	for _, s := range w.zk.Servers {
		s.Kill()
		if err := w.between(ctx, 0, shorter); err != nil {
			return err
		}
		if err := s.Run(ctx); err != nil {
			return err
		}
	}
	return nil
}

// voterLeaves takes the votes of one of three members away, or of two of five, and gives them back; in between the
// master may be killed.
func voterLeaves(ctx context.Context, w *world, m *member) error {
	leave, fewer, all := w.others(m)[:1], "", ""
	if n := len(w.members); n > 3 {
		leave, fewer, all = w.others(m)[:2], fmt.Sprintf(`,"replicas":%d`, n-2), fmt.Sprintf(`,"replicas":%d`, n)
	}
	var names []string
	for _, f := range leave {
		names = append(names, `"`+f.name+`"`)
	}
	list := "[" + strings.Join(names, ",") + "]"
	if err := w.voters(ctx, `{"remove":`+list+fewer+`}`); err != nil {
		return err
	}
	if err := w.between(ctx, 0, shorter); err != nil {
		return err
	}
	if len(w.members) > 3 && w.rand.IntN(2) == 0 {
		m.kill()
	}
	return w.voters(ctx, `{"add":`+list+all+`}`)
}

// voters has a master change who has a vote. It is refused while another change is under way, such as that of a lease.
func (w *world) voters(ctx context.Context, change string) error {
	ctx, cancel := context.WithTimeout(ctx, changeTime)
	defer cancel()
	for {
		err := w.revive()
		if m := w.master(); m != nil && err == nil {
			if err = m.order(ctx, "voters", change); err == nil {
				return nil
			}
		}
		if late := nap(ctx, poll); late != nil {
			return errors.Join(late, err)
		}
	}
}
