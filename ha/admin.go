package ha

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"treadmq/ha/replica"
)

// Do carries an operator's command out and returns when it is done, or why it is not.
func (n *Node) Do(ctx context.Context, c replica.Command) error {
	return n.command(ctx, func(*replica.View) (replica.Command, error) { return c, nil })
}

// command asks the core for what make makes of the present view.
func (n *Node) command(ctx context.Context, mk func(*replica.View) (replica.Command, error)) error {
	answer := make(chan string, 1)
	ask := func() {
		v := n.view.view
		if v == nil {
			v = &replica.View{}
		}
		c, err := mk(v)
		if err != nil {
			answer <- err.Error()
			return
		}
		n.order++
		n.orders[n.order] = answer
		n.step(replica.Order{ID: n.order, Command: c})
	}
	select {
	case n.events <- ask:
	case <-n.ended:
		return errStopped
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case text := <-answer:
		if text != "" {
			return errors.New(text)
		}
		return nil
	case <-n.ended:
		return errStopped
	case <-ctx.Done():
		return fmt.Errorf("no answer yet, look at the status: %w", ctx.Err())
	}
}

// find returns the member or voter with a name or ID.
func find(v *replica.View, name string) (replica.Voter, error) {
	var found []replica.Voter
	add := func(o replica.Voter) {
		if (o.Name == name || string(o.ID) == name) && !slices.ContainsFunc(found, func(f replica.Voter) bool { return f.ID == o.ID }) {
			found = append(found, o)
		}
	}
	for _, m := range v.Members {
		add(replica.Voter{ID: m.ID, Name: m.Name, Addr: m.Addr, Weight: m.Weight})
	}
	if v.Register != nil {
		for _, o := range v.Register.Voters {
			add(o)
		}
	}
	switch len(found) {
	case 0:
		return replica.Voter{}, fmt.Errorf("there is no member %q", name)
	case 1:
		return found[0], nil
	}
	return replica.Voter{}, fmt.Errorf("%d members have the name %q: give the ID", len(found), name)
}

// Handover moves mastership to another voter, given by name or ID; "" takes the one
// that holds most. It is for the master.
func (n *Node) Handover(ctx context.Context, to string) error {
	return n.command(ctx, func(v *replica.View) (replica.Command, error) {
		if to != "" {
			o, err := find(v, to)
			return replica.Handover{To: o.ID}, err
		}
		if e, _ := n.core.Epoch(); e == 0 {
			return replica.Handover{}, nil // the core says why not
		}
		if heir := n.heir(); heir != "" {
			return replica.Handover{To: heir}, nil
		}
		return nil, errors.New("no other voter follows")
	})
}

// Change changes the voters: members that are present are added, voters removed, by
// name or ID; replicas is the new number of places, 0 as it is. It is for the master.
func (n *Node) Change(ctx context.Context, add, remove []string, replicas int) error {
	return n.command(ctx, func(v *replica.View) (replica.Command, error) {
		if v.Register == nil {
			return nil, errors.New("the register of the group is not known here yet")
		}
		voters := slices.Clone(v.Register.Voters)
		for _, name := range remove {
			o, err := find(v, name)
			if err != nil {
				return nil, err
			}
			i := slices.IndexFunc(voters, func(x replica.Voter) bool { return x.ID == o.ID })
			if i < 0 {
				return nil, fmt.Errorf("%s is no voter", name)
			}
			voters = slices.Delete(voters, i, i+1)
		}
		for _, name := range add {
			o, err := find(v, name)
			if err != nil {
				return nil, err
			}
			if v.Member(o.ID) == nil {
				return nil, fmt.Errorf("%s is not there: start it first", name)
			}
			if !slices.ContainsFunc(voters, func(x replica.Voter) bool { return x.ID == o.ID }) {
				voters = append(voters, o)
			}
		}
		return replica.SetVoters{Voters: voters, Replicas: replicas}, nil
	})
}

// Reseed makes the group's register anew after the coordination service lost it.
// lost names the voters that will not come back; what only they held is gone.
func (n *Node) Reseed(ctx context.Context, lost []string) error {
	return n.command(ctx, func(v *replica.View) (replica.Command, error) {
		_, m, err := n.disk.identity()
		if err != nil {
			return nil, err
		}
		var ids []replica.NodeID
		noted := m.Voters
		if v != nil {
			noted, _ = replica.Noted(&m, v)
		}
		for _, name := range lost {
			i := slices.IndexFunc(noted, func(o replica.Voter) bool { return o.Name == name || string(o.ID) == name })
			if i < 0 {
				return nil, fmt.Errorf("there was no voter %q", name)
			}
			ids = append(ids, noted[i].ID)
		}
		return replica.Reseed{Lost: ids}, nil
	})
}
