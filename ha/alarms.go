package ha

import (
	"strings"
	"time"

	"treadmq/ha/replica"
	"treadmq/notice"
)

// recently is how long a refused connection stays an alarm.
const recently = 10 * time.Minute

// alarms says what is wrong now, and what to do about it.
func (n *Node) alarms(s *Status) []Alarm {
	var list []Alarm
	add := func(severe bool, code, format string, args ...any) {
		list = append(list, Alarm{severe, notice.New(code, format, args...)})
	}
	if s.Role == RoleRefusing {
		add(true, "alarm.refuses", "this member takes no part in elections: %s", s.Why)
	}
	switch s.State {
	case replica.Full.String():
		add(true, "alarm.diskfull", "the disk is full: make room in the file system of %s", n.opt.Store.Dir)
	case replica.Corrupt.String():
		add(true, "alarm.corrupt", "the store of this member is damaged; it is fetched from the master again as soon as there is one")
	case replica.Suspect.String():
		add(true, "alarm.suspect", "this member may lack what it has acknowledged (power was lost, or a sync failed): it votes again when it has caught up with a master")
	}
	if !s.Connected {
		add(true, "alarm.coordination", "the coordination service is not reached (%s): no election is possible until it is; check zkAddress and the ZooKeeper servers", s.Coordinator)
	}
	n.groupAlarms(s, add)
	if why := n.port.refusal(recently); why != "" {
		add(false, "alarm.intruder", "A connection to the replication port was refused, from %s. A member needs the certificate and the secret of the group; anything else should not reach this port.", why)
	}
	return list
}

// groupAlarms says what is wrong with the group.
func (n *Node) groupAlarms(s *Status, add func(severe bool, code, format string, args ...any)) {
	if s.Replicas == 0 || !s.Connected {
		return
	}
	var missing []string
	voters := 0
	for _, m := range s.Members {
		if !m.Voter {
			continue
		}
		voters++
		if !m.Present {
			missing = append(missing, m.Name)
		}
		if !m.Self && (m.State == replica.Corrupt.String() || m.State == replica.Suspect.String() || m.State == replica.Full.String()) {
			add(false, "alarm.member", "Member %s is %s: see its console, or its log.", m.Name, notice.Notice{Code: "cluster.health." + m.State, Text: m.State})
		}
	}
	there := voters - len(missing)
	switch {
	case there < s.Quorum:
		add(true, "alarm.quorum", "%d of %d voters are there and %d are needed: start %s", there, s.Replicas, s.Quorum, strings.Join(missing, ", "))
	case len(missing) > 0:
		add(there == s.Quorum, "alarm.missing", "Not there: %s. The group survives the loss of %d more. Start what is missing, or see in its log why it is not there.", strings.Join(missing, ", "), there-s.Quorum)
	}
	if voters < s.Replicas {
		add(false, "alarm.vacant", "%d of %d places for voters are vacant: start more members; an empty one takes a place by itself", s.Replicas-voters, s.Replicas)
	}
	if s.Master == nil && there >= s.Quorum {
		add(true, "alarm.election", "There is no master; an election is under way. If it lasts, see the logs of the members.")
	}
}
