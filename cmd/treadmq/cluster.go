package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"treadmq/admin"
	"treadmq/cmd/treadmq/internal/api"
)

func newClusterCommand() *cobra.Command {
	f := &apiFlags{}
	cmd := &cobra.Command{
		Use: "cluster", Aliases: []string{"group"}, Short: "Look at a replicated group and change it",
		Long: `Look at a replicated group of brokers and change it. Every member answers what it
knows of the group; changes are made at the master, whose console "cluster leader"
names.`,
	}
	f.register(cmd)
	cmd.AddCommand(newClusterStatusCommand(f), newClusterLeaderCommand(f), newClusterHandoverCommand(f),
		newClusterAddCommand(f), newClusterRemoveCommand(f), newClusterReseedCommand(f))
	return cmd
}

// clusterAnswer is a group, and its JSON as it came.
type clusterAnswer struct {
	admin.ClusterStatus
	raw json.RawMessage
}

func parseCluster(item api.Item) (*clusterAnswer, error) {
	a := &clusterAnswer{raw: item.RawMessage}
	if err := json.Unmarshal(item.RawMessage, &a.ClusterStatus); err != nil {
		return nil, &failure{code: exitUnreachable, what: "what answers there is not a TreadMQ console", why: err}
	}
	return a, nil
}

// ask gets the group as a member sees it.
func askCluster(cmd *cobra.Command, f *apiFlags) (*clusterAnswer, error) {
	c, err := f.connect(cmd)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	item, err := c.Cluster(cmd.Context())
	if err != nil {
		return nil, clusterError(c, "the group cannot be asked", err)
	}
	return parseCluster(item)
}

// clusterError words what a member refused.
func clusterError(c *api.Client, what string, err error) error {
	err = apiError(c, what, err)
	var f *failure
	var no *api.Error
	if !errors.As(err, &f) || !errors.As(err, &no) {
		return err
	}
	switch no.Code {
	case "not-offered":
		f.next = "docs/cluster.md tells how to make a group"
	case string(admin.CodeCluster):
		if !strings.Contains(no.Detail, "only the master") {
			break
		}
		f.next = "changes are made at the master: treadmq cluster leader tells its console, give it with --console"
	}
	return err
}

var memberColumns = []string{"name", "role", "voter", "present", "health", "weight", "end", "lag", "clients", "console"}

func memberRecord(m *admin.ClusterMember) record {
	number := func(n *uint64) string {
		if n == nil {
			return ""
		}
		return strconv.FormatUint(*n, 10)
	}
	return record{value: m, name: m.Name, cells: []string{m.Name, m.Role, strconv.FormatBool(m.Voter), strconv.FormatBool(m.Present), m.Health,
		strconv.Itoa(m.Weight), number(m.End), number(m.Lag), strings.Join(m.Clients, " "), m.Console}}
}

func newClusterStatusCommand(f *apiFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use: "status", Short: "Show a group: its master, its members, how far each is (exit code 75 without a master)",
		Long: `Show a group as one of its members sees it: its master, its members, how far each
is, and what needs somebody to look. -o json prints all of it, with what happened
lately; the other formats list the members. The exit code is 75 while there is no
master.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := askCluster(cmd, f)
			if err != nil {
				return err
			}
			if err := a.print(cmd); err != nil {
				return err
			}
			if a.Master == "" {
				return &failure{code: exitTryAgain, what: "the group has no master", why: a.reason(), next: "a majority of members and of ZooKeeper servers has to run"}
			}
			return nil
		},
	}
	outputFlag(cmd)
	return cmd
}

// reason is what the member says of its role, nil if nothing.
func (a *clusterAnswer) reason() error {
	if a.Why.IsZero() {
		return nil
	}
	return a.Why
}

func (a *clusterAnswer) print(cmd *cobra.Command) error {
	switch outputFormat(cmd) {
	case formatJSON, formatYAML:
		return printOne(cmd, nil, record{value: a.raw})
	case formatTable:
		if err := a.printFacts(cmd); err != nil {
			return err
		}
	}
	p := newPrinter(cmd, memberColumns...)
	for i := range a.Members {
		if err := p.add(memberRecord(&a.Members[i])); err != nil {
			return err
		}
	}
	if err := p.close(); err != nil {
		return err
	}
	for _, text := range a.Alarms {
		warn(cmd.ErrOrStderr(), "%s", printable(text.Text))
	}
	return nil
}

// printFacts prints what concerns the whole group.
func (a *clusterAnswer) printFacts(cmd *cobra.Command) error {
	master := a.Master
	if master == "" {
		master = "none"
	}
	zookeeper := "reached"
	if !a.ZooKeeper {
		zookeeper = "not reached"
	}
	role := a.Role
	if !a.Why.IsZero() {
		role += " (" + a.Why.Text + ")"
	}
	rows := [][]string{
		{"group", a.BrokerName + " / " + a.Group}, {"master", master}, {"epoch", strconv.FormatUint(a.Epoch, 10)},
		{"quorum", fmt.Sprintf("%d of %d", a.Quorum, a.Replicas)}, {"sync", a.Sync}, {"zookeeper", zookeeper}, {"asked", a.Member + ", " + role},
	}
	for i := range a.Members {
		if m := &a.Members[i]; m.CopyBytes > 0 {
			rows = append(rows, []string{"copied", fmt.Sprintf("%s of %s", sizeOf(m.CopiedBytes), sizeOf(m.CopyBytes))})
		}
	}
	p := newPrinter(cmd)
	writeRows(p.w, append(rows, []string{"", ""}), []bool{false, false})
	return p.w.Flush()
}

func newClusterLeaderCommand(f *apiFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use: "leader", Aliases: []string{"master"}, Short: "Tell which member is master, and where (exit code 75 without one)",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := askCluster(cmd, f)
			if err != nil {
				return err
			}
			for i := range a.Members {
				if m := &a.Members[i]; m.Role == admin.MemberMaster {
					return printOne(cmd, memberColumns, memberRecord(m))
				}
			}
			return &failure{code: exitTryAgain, what: "the group has no master", why: a.reason(), next: "treadmq cluster status tells more"}
		},
	}
	outputFlag(cmd)
	return cmd
}

// change asks for a change and prints what the group is then.
func changeCluster(cmd *cobra.Command, f *apiFlags, action, what string, body any) error {
	c, err := f.connect(cmd)
	if err != nil {
		return err
	}
	defer c.Close()
	item, err := c.ChangeCluster(cmd.Context(), action, body)
	if err != nil {
		return clusterError(c, what, err)
	}
	a, err := parseCluster(item)
	if err != nil {
		return err
	}
	return a.print(cmd)
}

func newClusterHandoverCommand(f *apiFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use: "handover [MEMBER]", Short: "Move mastership to another member; clients connect to it and nothing is lost",
		Long: `Move mastership to MEMBER, or to the member that is most up to date. Clients are cut
and connect to the new master, which takes about a second; nothing is lost. Do this
before the master's machine is stopped or its program replaced.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return changeCluster(cmd, f, admin.ClusterHandover, "mastership was not handed over", map[string]any{"to": strings.Join(args, "")})
		},
	}
	outputFlag(cmd)
	return cmd
}

func newClusterAddCommand(f *apiFlags) *cobra.Command {
	var replicas int
	var replace []string
	cmd := &cobra.Command{
		Use: "add MEMBER...", Short: "Give members a vote: in more places, or in those of others",
		Long: `Give members that run and follow a vote. They first get what they lack; deliveries
pause for a moment at the end. --replace takes the place of members that do not come
back in the same step. Without it there are as many more places as it takes, an odd
number: from 3 members to 5 with two at once.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return changeCluster(cmd, f, admin.ClusterVoters, "the members were not added",
				map[string]any{"add": args, "remove": replace, "replicas": replicas})
		},
	}
	cmd.Flags().IntVar(&replicas, "replicas", 0, "places for members with a vote (default as many as are needed, an odd number)")
	cmd.Flags().StringArrayVar(&replace, "replace", nil, "member that loses its vote in the same step; any number of times")
	outputFlag(cmd)
	return cmd
}

func newClusterRemoveCommand(f *apiFlags) *cobra.Command {
	var replicas int
	cmd := &cobra.Command{
		Use: "remove MEMBER...", Aliases: []string{"rm"}, Short: "Take members' votes away",
		Long: `Take the votes of members away. Their places stay, to be filled, unless --replicas
says how many there are from now on. The master cannot be removed: hand over first.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, name := range args {
				if err := confirm(cmd, "remove", name); err != nil {
					return err
				}
			}
			return changeCluster(cmd, f, admin.ClusterVoters, "the members were not removed", map[string]any{"remove": args, "replicas": replicas})
		},
	}
	cmd.Flags().IntVar(&replicas, "replicas", 0, "places for members with a vote (default as many as there were)")
	yesFlag(cmd)
	outputFlag(cmd)
	return cmd
}

func newClusterReseedCommand(f *apiFlags) *cobra.Command {
	var lost []string
	cmd := &cobra.Command{
		Use: "reseed", Short: "Make the group's register in ZooKeeper anew, after ZooKeeper lost it",
		Long: `Make the group's register in ZooKeeper anew, after ZooKeeper lost its data, or from
the data of a broker that stood alone. Run it at one member while all members run and
say that they take no part; the member refuses if another one knows more. --lost names
members that do not come back: what only they held is gone.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := askCluster(cmd, f)
			if err != nil {
				return err
			}
			if err := confirm(cmd, "reseed", a.BrokerName); err != nil {
				return err
			}
			return changeCluster(cmd, f, admin.ClusterReseed, "the register was not made anew", map[string]any{"lost": lost})
		},
	}
	cmd.Flags().StringArrayVar(&lost, "lost", nil, "member that does not come back; any number of times")
	yesFlag(cmd)
	outputFlag(cmd)
	return cmd
}
