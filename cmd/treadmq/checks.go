package main

import (
	"context"
	"crypto/tls"
	"net"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"treadmq/cmd/treadmq/internal/api"
)

func newCheckNodeCommand(f *apiFlags) *cobra.Command {
	return &cobra.Command{
		Use: "node", Short: "Whether the broker takes clients; needs no login",
		Long: `Check whether the broker takes clients. It needs no login. A member of a group that
follows its master is OK.`,
		Args: cobra.NoArgs,
		RunE: checking(f, func(ctx context.Context, c *api.Client, v *verdict) error {
			begun := time.Now()
			h, err := c.Ready(ctx)
			if err != nil {
				return err
			}
			role := ""
			if h.Role != "" {
				role = ", " + h.Role
			}
			switch {
			case h.Ready:
				v.find(checkOK, "clients are taken%s", role)
			case following(h.Role):
				v.find(checkOK, "it follows its master%s", role)
			default:
				v.find(checkCritical, "no clients are taken%s: %s", role, strings.Join(h.Reasons, "; "))
			}
			v.perf = append(v.perf, "time="+number(time.Since(begun).Seconds())+"s")
			return nil
		}),
	}
}

func newCheckQueueCommand(f *apiFlags) *cobra.Command {
	var messages, age, consumers [2]limits
	age[0].parse, age[1].parse = seconds, seconds
	cmd := &cobra.Command{
		Use: "queue NAME", Short: "Messages, oldest message and consumers of a queue",
		Args: cobra.ExactArgs(1),
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		name, err := nameOf("queue", args[0])
		if err != nil {
			return err
		}
		return checking(f, func(ctx context.Context, c *api.Client, v *verdict) error {
			q, err := c.Destination(ctx, "queues", name)
			if err != nil {
				return err
			}
			v.measure("messages", float64(q.Int("messages")), "", messages[0], messages[1])
			v.measure("oldest", q.Float("oldestAgeSeconds"), "s", age[0], age[1])
			v.measure("consumers", float64(q.Int("consumers")), "", consumers[0], consumers[1])
			v.perf = append(v.perf, "in_flight="+q.Text("inFlight"), "enqueued="+q.Text("enqueued")+"c", "dequeued="+q.Text("dequeued")+"c")
			return nil
		})(cmd, nil)
	}
	fl := cmd.Flags()
	fl.VarP(&messages[0], "warning", "w", "range of messages")
	fl.VarP(&messages[1], "critical", "c", "range of messages")
	fl.Var(&age[0], "age-warning", "range of the oldest message's age, for example 5m")
	fl.Var(&age[1], "age-critical", "range of the oldest message's age")
	fl.Var(&consumers[0], "consumers-warning", "range of consumers, for example 2:")
	fl.Var(&consumers[1], "consumers", "range of consumers, critical outside; for example 1:")
	return cmd
}

func newCheckStoreCommand(f *apiFlags) *cobra.Command {
	free := [2]limits{{parse: bytesOf}, {parse: bytesOf}}
	free[0].Set("5GiB:")
	free[1].Set("1GiB:")
	cmd := &cobra.Command{
		Use: "store", Short: "Whether the store works, and how much room the disk still has",
		Args: cobra.NoArgs,
		RunE: checking(f, func(ctx context.Context, c *api.Client, v *verdict) error {
			o, err := c.Overview(ctx)
			if err != nil {
				return err
			}
			st := o.Object("store")
			switch {
			case st.Text("failed") != "":
				v.find(checkCritical, "the store failed: %s", st.Text("failed"))
			case st.Text("full") == "true":
				v.find(checkCritical, "the disk is full: persistent messages are refused")
			}
			if st.Int("freeDisk") < 0 {
				v.find(checkUnknown, "the system does not say how much room the disk has")
				return nil
			}
			v.measure("free", st.Float("freeDisk"), "B", free[0], free[1])
			v.perf = append(v.perf, "journal="+st.Text("diskBytes")+"B", "live="+st.Text("liveBytes")+"B", "index="+st.Text("indexBytes")+"B")
			return nil
		}),
	}
	cmd.Flags().VarP(&free[0], "warning", "w", "range of free bytes")
	cmd.Flags().VarP(&free[1], "critical", "c", "range of free bytes")
	return cmd
}

func newCheckDLQCommand(f *apiFlags) *cobra.Command {
	var dead [2]limits
	dead[0].Set("0")
	cmd := &cobra.Command{
		Use: "dlq", Short: "How many dead letters there are",
		Args: cobra.NoArgs,
		RunE: checking(f, func(ctx context.Context, c *api.Client, v *verdict) error {
			total, err := c.DeadTotal(ctx)
			if err == nil {
				v.measure("dead_letters", float64(total), "", dead[0], dead[1])
			}
			return err
		}),
	}
	cmd.Flags().VarP(&dead[0], "warning", "w", "range of dead letters")
	cmd.Flags().VarP(&dead[1], "critical", "c", "range of dead letters")
	return cmd
}

func newCheckClusterCommand(f *apiFlags) *cobra.Command {
	return &cobra.Command{
		Use: "cluster", Short: "Whether the group has a master and all its members; works on every member",
		Args: cobra.NoArgs,
		RunE: checking(f, func(ctx context.Context, c *api.Client, v *verdict) error {
			g, err := c.Cluster(ctx)
			if err != nil {
				return err
			}
			if g.Text("master") == "" {
				v.find(checkCritical, "the group %s has no master", g.Text("group"))
			} else {
				v.find(checkOK, "%s is master of %s, epoch %s", g.Text("master"), g.Text("group"), g.Text("epoch"))
			}
			if g.Text("zooKeeper") != "true" {
				v.find(checkWarning, "ZooKeeper is not reached")
			}
			if list, ok := g.Sub("alarms").([]any); ok {
				for _, alarm := range list {
					v.find(checkWarning, "%v", alarm)
				}
			}
			return nil
		}),
	}
}

func newCheckCertCommand() *cobra.Command {
	days := [2]limits{}
	days[0].Set("30:")
	days[1].Set("7:")
	cmd := &cobra.Command{
		Use: "cert HOST:PORT", Short: "How long the certificate of a TLS listener is still good",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			v := &verdict{}
			if err := checkCert(cmd.Context(), args[0], v, days); err != nil {
				v.find(checkCritical, "%v", err)
			}
			return v.say(cmd)
		},
	}
	cmd.Flags().VarP(&days[0], "warning", "w", "range of days left")
	cmd.Flags().VarP(&days[1], "critical", "c", "range of days left")
	return cmd
}

// checkTimeout bounds a handshake.
const checkTimeout = 10 * time.Second

func checkCert(ctx context.Context, addr string, v *verdict, days [2]limits) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	// Whoever signed it: the question is for how long it is good.
	d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, ServerName: host}}
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	cert := conn.(*tls.Conn).ConnectionState().PeerCertificates[0]
	if now := time.Now(); now.Before(cert.NotBefore) {
		v.find(checkCritical, "the certificate is good from %s on only", cert.NotBefore.Format(time.DateOnly))
	}
	if err := cert.VerifyHostname(host); err != nil && net.ParseIP(host) == nil {
		v.find(checkWarning, "it is not for %s", host)
	}
	v.find(checkOK, "%s, until %s", cert.Subject.CommonName, cert.NotAfter.Format(time.DateOnly))
	v.measure("days", float64(int(time.Until(cert.NotAfter).Hours()/24)), "", days[0], days[1])
	return nil
}
