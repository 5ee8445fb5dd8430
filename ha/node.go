package ha

import (
	"context"
	"errors"
	"net"

	"treadmq/ha/replica"
)

// Node is a member of a group.
type Node struct {
	opt      Options
	listener net.Listener
}

// New opens the member's store and its replication port. Run must follow.
func New(o Options) (*Node, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	addr, err := bindAddress(o.Bind)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	return &Node{opt: o, listener: l}, nil
}

// Run takes part in the group until ctx ends: then it hands mastership over if it
// can, and stops. An error says why the member cannot go on; the process should end with
// a status other than zero, and may start again.
func (n *Node) Run(ctx context.Context) error {
	return errors.Join(errors.New("ha: Run is not there yet"), n.listener.Close())
}

// Status describes the member. It may be called at any time.
func (n *Node) Status() Status { return Status{Role: RoleStopped} }

// Do carries an operator's command out and returns when it is done, or why it is not.
func (n *Node) Do(ctx context.Context, c replica.Command) error {
	return errors.New("ha: Do is not there yet")
}

// Handover moves mastership to another voter, given by name or ID; "" takes the one
// that holds most.
func (n *Node) Handover(ctx context.Context, to string) error { return n.Do(ctx, replica.Handover{}) }

// Change changes the voters: members that are present are added, voters removed, by
// name or ID; replicas is the new number of places, 0 as it is.
func (n *Node) Change(ctx context.Context, add, remove []string, replicas int) error {
	return n.Do(ctx, replica.SetVoters{})
}

// Reseed makes the group's register anew after the coordination service lost it.
// lost names the voters that will not come back; what only they held is gone.
func (n *Node) Reseed(ctx context.Context, lost []string) error { return n.Do(ctx, replica.Reseed{}) }

// Addr is the address that the replication port is bound to.
func (n *Node) Addr() net.Addr { return n.listener.Addr() }
