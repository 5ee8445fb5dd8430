package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"treadmq/admin"
	"treadmq/ha"
	"treadmq/ha/replica"
	"treadmq/notice"
)

// What the console, the commands and the metrics show of the group.

// role is that of this member, in a word.
func (m *member) role() string {
	node := m.node.Load()
	if node == nil {
		return ha.RoleStarting
	}
	return node.Status().Role
}

// whyNotReady says why this member takes no clients.
func (m *member) whyNotReady() notice.Notice {
	node := m.node.Load()
	if node == nil {
		return notice.New("ready.member", "this member is starting")
	}
	st := node.Status()
	var more notice.List
	if !st.Why.IsZero() {
		more = append(more, notice.New("ready.why", " (%s)", st.Why))
	}
	if hears(&st) {
		more = append(more, notice.New("ready.master", "; the master is %s", st.Master.Name))
		if len(st.Master.Clients) > 0 {
			more = append(more, notice.New("ready.clients", ", for clients at %s", strings.Join(st.Master.Clients, ", ")))
		}
	}
	return notice.New("ready.role", "this member is not the master; its role is %s%s", notice.Notice{Code: "cluster.role." + st.Role, Text: st.Role}, more)
}

// Status implements admin.Cluster.
func (m *member) Status() admin.ClusterStatus {
	node := m.node.Load()
	if node == nil {
		r := &m.n.cfg.Replicated
		return admin.ClusterStatus{Group: r.Group, BrokerName: m.n.cfg.BrokerName, Member: r.Name, Role: admin.MemberStarting, Replicas: r.Replicas, Quorum: r.Replicas/2 + 1, Sync: r.Sync}
	}
	return clusterStatus(node.Status())
}

func clusterStatus(st ha.Status) admin.ClusterStatus {
	v := admin.ClusterStatus{
		Group: st.Group, BrokerName: st.BrokerName, Member: st.Name, Role: st.Role, Why: st.Why, Epoch: uint64(st.Epoch), Promised: uint64(st.Promised),
		Replicas: st.Replicas, Quorum: st.Quorum, Sync: st.Sync, ZooKeeper: st.Connected,
		End: uint64(st.End), Committed: uint64(st.Committed), Applied: uint64(st.Applied),
	}
	if hears(&st) {
		v.Master = st.Master.Name
	}
	for i := range st.Members {
		v.Members = append(v.Members, clusterMember(&st, &st.Members[i]))
	}
	for _, a := range st.Alarms {
		v.Alarms = append(v.Alarms, a.Text)
	}
	for _, e := range slices.Backward(st.Timeline) {
		v.Timeline = append(v.Timeline, admin.ClusterEvent{Time: e.Time.UTC(), Epoch: uint64(e.Epoch), Level: e.Level, Text: e.Text})
	}
	return v
}

func clusterMember(st *ha.Status, m *ha.Member) admin.ClusterMember {
	v := admin.ClusterMember{
		ID: m.ID, Name: m.Name, Address: m.Addr, Self: m.Self, Voter: m.Voter, Present: m.Present, Weight: m.Weight, Health: m.State,
		Clients: m.Clients, Console: m.Console, Role: memberRole(st, m),
	}
	switch {
	case m.Link != nil:
		end, lag, applied, silent := uint64(m.Link.Stable), m.Link.Lag, uint64(m.Link.Applied), m.Link.Silent.Milliseconds()
		v.End, v.Lag, v.Applied, v.SilentMillis = &end, &lag, &applied, &silent
	case m.Self:
		end, applied := uint64(st.End), uint64(st.Applied)
		v.End, v.Applied = &end, &applied
		if m.Master {
			v.Lag = new(uint64)
		}
	}
	if m.Self && st.Snapshot != nil {
		v.CopiedBytes, v.CopyBytes = st.Snapshot.Bytes, st.Snapshot.Total
	}
	return v
}

// hears reports whether this member is master or hears the one that the group has: the
// register names a master also after its death, until another one is elected.
func hears(st *ha.Status) bool {
	switch st.Role {
	case ha.RoleMaster, ha.RoleFollower, ha.RoleLearner, ha.RoleCatchingUp:
		return st.Master != nil
	}
	return false
}

// memberRole is a member's role, as far as this one knows.
func memberRole(st *ha.Status, m *ha.Member) string {
	switch {
	case m.Self:
		return st.Role
	case m.Master && hears(st):
		return admin.MemberMaster
	case !m.Present && m.Link == nil:
		return admin.MemberAbsent
	case m.Link != nil && m.Link.Fetching:
		return admin.MemberCatching
	case !m.Voter:
		return admin.MemberLearner
	case !hears(st):
		return admin.MemberElecting
	case st.Role == ha.RoleMaster && m.Link == nil:
		return admin.MemberElecting // it is there and does not follow
	}
	return admin.MemberFollower
}

// places is how many places for voters a change asks for: what it says, or an odd number
// that is enough for those that are added; 0 as it is.
func places(st ha.Status, c *admin.ClusterChange) int {
	voters := len(c.Add) - len(c.Remove)
	for i := range st.Members {
		if st.Members[i].Voter {
			voters++
		}
	}
	if c.Replicas != 0 || voters <= st.Replicas {
		return c.Replicas
	}
	return voters | 1
}

// awaitMaster waits until the group has a master after a handover.
func awaitMaster(ctx context.Context, node *ha.Node) error {
	poll := time.NewTicker(pollInterval)
	defer poll.Stop()
	for {
		if st := node.Status(); hears(&st) {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.New("mastership was given up, and nobody has taken it yet")
		case <-poll.C:
		}
	}
}

// Do implements admin.Cluster.
func (m *member) Do(ctx context.Context, c admin.ClusterChange) error {
	node := m.node.Load()
	if node == nil {
		return fmt.Errorf("this member is starting")
	}
	switch c.Action {
	case admin.ClusterHandover:
		if err := node.Handover(ctx, c.To); err != nil {
			return err
		}
		return awaitMaster(ctx, node)
	case admin.ClusterVoters:
		return node.Change(ctx, c.Add, c.Remove, places(node.Status(), &c))
	case admin.ClusterElect:
		return node.Do(ctx, replica.Elect{})
	case admin.ClusterReseed:
		return node.Reseed(ctx, c.Lost)
	}
	return fmt.Errorf("there is no action %q", c.Action)
}
