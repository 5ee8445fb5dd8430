package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"treadmq/cmd/treadmq/internal/api"
)

func schedules() destinations {
	return destinations{"schedule", "schedules", view{"id", []string{"id", "due", "destinations", "cron", "periodMs", "left", "deliveries", "size"}}}
}

func newSchedCommand() *cobra.Command {
	f := &apiFlags{}
	cmd := &cobra.Command{
		Use: "sched", Aliases: []string{"schedule", "schedules"}, Short: "List, show, run and cancel scheduled messages",
		Long: `List, show, run and cancel scheduled messages. A schedule's ID is the name that
the sender gave it (header x-schedule-id), else the id of the message; delivered
copies carry it as scheduledJobId.`,
	}
	f.register(cmd)
	cmd.AddCommand(newSchedListCommand(f), newSchedShowCommand(f), newSchedRunCommand(f), newSchedRemoveCommand(f))
	return cmd
}

// registerSchedules makes the flags that choose schedules.
func registerSchedules(cmd *cobra.Command, s *api.Schedules) {
	cmd.Flags().StringVar(&s.From, "from", "", "only what is due at this time or later: 2026-12-01T08:00:00Z, or ms since 1970")
	cmd.Flags().StringVar(&s.To, "to", "", "only what is due at this time or earlier")
	cmd.Flags().StringVar(&s.Destination, "destination", "", "only what is delivered there: /queue/NAME or /topic/NAME")
}

func newSchedListCommand(f *apiFlags) *cobra.Command {
	var s api.Schedules
	var count int
	cmd := &cobra.Command{
		Use: "ls", Aliases: []string{"list"}, Short: "List schedules in order of their next delivery",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.ask(cmd, func(ctx context.Context, c *api.Client) error {
				kind := schedules()
				p := newPrinter(cmd, kind.columns...)
				err := c.Schedules(ctx, s, func(item api.Item) (bool, error) {
					err := p.add(kind.record(item))
					return count == 0 || p.n < count, err
				})
				if err != nil {
					return apiError(c, "the schedules cannot be listed", err)
				}
				return p.close()
			})
		},
	}
	registerSchedules(cmd, &s)
	cmd.Flags().IntVarP(&count, "count", "n", 0, "at most this many (default all)")
	outputFlag(cmd)
	return cmd
}

func newSchedShowCommand(f *apiFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use: "show ID", Short: "Show a schedule with its message",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.ask(cmd, func(ctx context.Context, c *api.Client) error {
				item, err := c.Schedule(ctx, args[0])
				if err != nil {
					return scheduleError(c, fmt.Sprintf("the schedule %q cannot be shown", args[0]), err)
				}
				columns, cells := flatten(item)
				return printOne(cmd, columns, record{value: item.RawMessage, cells: cells, name: item.Text("id")})
			})
		},
	}
	outputFlag(cmd)
	return cmd
}

// scheduleError says where schedules are listed.
func scheduleError(c *api.Client, what string, err error) error {
	err = apiError(c, what, err)
	var f *failure
	var no *api.Error
	if errors.As(err, &f) && errors.As(err, &no) && no.Code == "unknown-schedule" {
		f.next = "treadmq sched ls shows what there is"
	}
	return err
}

func newSchedRunCommand(f *apiFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use: "run ID...", Short: "Deliver scheduled messages now; what is repeated goes on as it would have without",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return each(cmd, f, schedules(), args, "run", func(ctx context.Context, c *api.Client, id string) (any, error) {
				if err := c.RunSchedule(ctx, id); err != nil {
					return nil, scheduleError(c, fmt.Sprintf("the schedule %q cannot be run", id), err)
				}
				return true, nil
			})
		},
	}
	outputFlag(cmd)
	return cmd
}

func newSchedRemoveCommand(f *apiFlags) *cobra.Command {
	var s api.Schedules
	var all bool
	d := &destroyFlags{}
	cmd := &cobra.Command{
		Use: "rm ID... | rm --all [--from TIME] [--to TIME] [--destination NAME]", Aliases: []string{"remove", "cancel"}, Short: "Cancel schedules",
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case all && len(args) > 0:
				return usagef("", "name schedules or give --all, not both")
			case all:
				return cancelAll(cmd, f, d, s)
			case len(args) == 0:
				return usagef("treadmq sched ls lists them", "say which schedules, or --all")
			case s != api.Schedules{}:
				return usagef("", "--from, --to and --destination go with --all")
			}
			return each(cmd, f, schedules(), args, "removed", func(ctx context.Context, c *api.Client, id string) (any, error) {
				return cancelOne(ctx, cmd, c, d, id)
			})
		},
	}
	registerSchedules(cmd, &s)
	cmd.Flags().BoolVar(&all, "all", false, "all schedules, or all that the other flags choose")
	d.register(cmd)
	outputFlag(cmd)
	return cmd
}

// cancelOne cancels a schedule, or with --dry-run only looks whether there is one.
func cancelOne(ctx context.Context, cmd *cobra.Command, c *api.Client, d *destroyFlags, id string) (any, error) {
	failed := fmt.Sprintf("the schedule %q cannot be cancelled", id)
	if d.dryRun {
		if _, err := c.Schedule(ctx, id); err != nil {
			return nil, scheduleError(c, failed, err)
		}
		talk(cmd, "nothing done: --dry-run")
		return nil, nil
	}
	if err := confirm(cmd, "cancel", id); err != nil {
		return nil, err
	}
	if err := c.CancelSchedule(ctx, id); err != nil {
		return nil, scheduleError(c, failed, err)
	}
	return true, nil
}

// cancelAll cancels what s chooses.
func cancelAll(cmd *cobra.Command, f *apiFlags, d *destroyFlags, s api.Schedules) error {
	c, err := f.connect(cmd)
	if err != nil {
		return err
	}
	defer c.Close()
	n := int64(0)
	if d.dryRun {
		err = c.Schedules(cmd.Context(), s, func(api.Item) (bool, error) {
			n++
			return true, nil
		})
		talk(cmd, "nothing done: --dry-run")
	} else if err = confirm(cmd, "cancel", "all schedules"); err == nil {
		n, err = c.CancelSchedules(cmd.Context(), s)
	} else {
		return err
	}
	if err != nil {
		return apiError(c, "the schedules cannot be cancelled", err)
	}
	p := newPrinter(cmd, "removed")
	if err := p.add(record{value: map[string]any{"removed": n}, cells: []string{fmt.Sprint(n)}, name: fmt.Sprint(n)}); err != nil {
		return err
	}
	return p.close()
}
