package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"treadmq/cmd/treadmq/internal/api"
)

// destinations describes one kind of what is listed page by page to the commands that look
// after it. The field of its view that -o name shows is how the commands name one.
type destinations struct {
	kind   string // queue, topic
	plural string // as in the API's paths
	view
}

func queues() destinations {
	return destinations{"queue", "queues", view{"name", []string{"name", "messages", "inFlight", "consumers", "enqueued", "dequeued", "rateIn", "rateOut"}}}
}

func topics() destinations {
	return destinations{"topic", "topics", view{"name", []string{"name", "subscribers", "published", "delivered", "dropped", "backlog", "rateIn", "rateOut"}}}
}

func newQueueCommand() *cobra.Command {
	f := &apiFlags{}
	cmd := &cobra.Command{Use: "queue", Aliases: []string{"q", "queues"}, Short: "List, show, create, remove and purge queues"}
	f.register(cmd)
	cmd.AddCommand(newListCommand(f, queues()), newShowCommand(f, queues()), newCreateCommand(f),
		newRemoveCommand(f, queues(), "queues"), newPurgeCommand(f), newPauseCommand(f, true), newPauseCommand(f, false), newTraceCommand(f))
	return cmd
}

func newTopicCommand() *cobra.Command {
	f := &apiFlags{}
	cmd := &cobra.Command{Use: "topic", Aliases: []string{"topics"}, Short: "List, show and remove topics"}
	f.register(cmd)
	cmd.AddCommand(newListCommand(f, topics()), newShowCommand(f, topics()), newTopicRemoveCommand(f))
	return cmd
}

func newTopicRemoveCommand(f *apiFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use: "rm NAME...", Aliases: []string{"remove", "delete"}, Short: "Forget topics that nobody is subscribed to",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return each(cmd, f, topics(), args, "removed", func(ctx context.Context, c *api.Client, name string) (any, error) {
				if err := c.DeleteTopic(ctx, name); err != nil {
					return nil, apiError(c, fmt.Sprintf("the topic %q cannot be removed", name), err)
				}
				return true, nil
			})
		},
	}
	outputFlag(cmd)
	return cmd
}

// listFlags are what a list can be asked for.
type listFlags struct {
	api.List
	descending bool
	count      int
}

func (l *listFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&l.Filter, "filter", "", "only names that contain this")
	cmd.Flags().StringVar(&l.Sort, "sort", "", "field to sort by, as in the JSON, for example messages (default name)")
	cmd.Flags().BoolVar(&l.descending, "desc", false, "largest first")
	cmd.Flags().IntVarP(&l.count, "count", "n", 0, "at most this many (default all)")
	outputFlag(cmd)
}

func newListCommand(f *apiFlags, d destinations) *cobra.Command {
	l := &listFlags{}
	cmd := &cobra.Command{
		Use: "ls [FILTER]", Aliases: []string{"list"}, Short: "List the " + d.plural,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				l.Filter = args[0]
			}
			return list(cmd, f, d, l)
		},
	}
	l.register(cmd)
	return cmd
}

func list(cmd *cobra.Command, f *apiFlags, d destinations, l *listFlags) error {
	c, err := f.connect(cmd)
	if err != nil {
		return err
	}
	defer c.Close()
	if l.descending {
		l.Order = "desc"
	}
	p := newPrinter(cmd, d.columns...)
	err = c.Destinations(cmd.Context(), d.plural, l.List, func(item api.Item) (bool, error) {
		err := p.add(d.record(item))
		return l.count == 0 || p.n < l.count, err
	})
	if err != nil {
		return apiError(c, "the "+d.plural+" cannot be listed", err)
	}
	return p.close()
}

func newShowCommand(f *apiFlags, d destinations) *cobra.Command {
	cmd := &cobra.Command{
		Use: "show NAME", Short: "Show all that is known of one " + d.kind,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return show(cmd, f, d, args[0]) },
	}
	outputFlag(cmd)
	return cmd
}

func show(cmd *cobra.Command, f *apiFlags, d destinations, text string) error {
	name, err := nameOf(d.kind, text)
	if err != nil {
		return err
	}
	c, err := f.connect(cmd)
	if err != nil {
		return err
	}
	defer c.Close()
	item, err := c.Destination(cmd.Context(), d.plural, name)
	if err != nil {
		return apiError(c, fmt.Sprintf("the %s %q cannot be shown", d.kind, name), err)
	}
	columns, cells := flatten(item)
	return printOne(cmd, columns, record{value: item.RawMessage, cells: cells, name: item.Text(d.name)})
}

func newCreateCommand(f *apiFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use: "create NAME...", Short: "Create queues; one that is there already is left as it is",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return each(cmd, f, queues(), args, "created", func(ctx context.Context, c *api.Client, name string) (any, error) {
				if err := c.CreateQueue(ctx, name); err != nil {
					return nil, apiError(c, fmt.Sprintf("the queue %q cannot be created", name), err)
				}
				return true, nil
			})
		},
	}
	outputFlag(cmd)
	return cmd
}

// each does something to each that is named, and prints what came of it; nothing of what do
// returns nil for.
func each(cmd *cobra.Command, f *apiFlags, kind destinations, args []string, column string, do func(context.Context, *api.Client, string) (any, error)) error {
	names := make([]string, len(args))
	for i, a := range args {
		var err error
		if names[i], err = nameOf(kind.kind, a); err != nil {
			return err
		}
	}
	c, err := f.connect(cmd)
	if err != nil {
		return err
	}
	defer c.Close()
	p := newPrinter(cmd, kind.name, column)
	for _, name := range names {
		value, err := do(cmd.Context(), c, name)
		if err != nil {
			if p.n > 0 {
				p.close() // what was done before
			}
			return err
		}
		if value == nil {
			continue
		}
		r := record{value: map[string]any{kind.name: name, column: value}, cells: []string{name, fmt.Sprint(value)}, name: name}
		if err := p.add(r); err != nil {
			return err
		}
	}
	return p.close()
}

// destroyFlags are common to what takes messages away.
type destroyFlags struct{ dryRun, noUndo bool }

func (d *destroyFlags) register(cmd *cobra.Command) {
	yesFlag(cmd)
	cmd.Flags().BoolVar(&d.dryRun, "dry-run", false, "only say what would be hit")
	cmd.Flags().BoolVar(&d.noUndo, "no-undo", false, "for good: nothing goes to the trash")
}

// announce says what is about to be hit, and asks.
func (d *destroyFlags) announce(cmd *cobra.Command, c *api.Client, kind destinations, action, name string) (goOn bool, err error) {
	q, err := c.Destination(cmd.Context(), kind.plural, name)
	if err != nil {
		return false, apiError(c, fmt.Sprintf("cannot %s the %s %q", action, kind.kind, name), err)
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "treadmq: %s %s %s at %s: %s messages (%s bytes), %s in flight, %s consumers\n",
		action, kind.kind, printable(name), c.URL(), q.Text("messages"), q.Text("bytes"), q.Text("inFlight"), q.Text("consumers"))
	if d.dryRun {
		talk(cmd, "nothing done: --dry-run")
		return false, nil
	}
	return true, confirm(cmd, action, name)
}

// newRemoveCommand removes queues or durable subscriptions, which called names.
func newRemoveCommand(f *apiFlags, kind destinations, called string) *cobra.Command {
	d := &destroyFlags{}
	var force bool
	cmd := &cobra.Command{
		Use: "rm NAME...", Aliases: []string{"remove", "delete"}, Short: "Remove " + called + " with all their messages",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return each(cmd, f, kind, args, "removed", func(ctx context.Context, c *api.Client, name string) (any, error) {
				if goOn, err := d.announce(cmd, c, kind, "remove", name); err != nil || !goOn {
					return nil, err
				}
				gone, err := c.Delete(ctx, kind.plural, name, force, !d.noUndo)
				if err != nil {
					return nil, apiError(c, fmt.Sprintf("the %s %q cannot be removed", kind.kind, name), err)
				}
				tellUndo(cmd, gone)
				return true, nil
			})
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "also when consumers are connected")
	d.register(cmd)
	outputFlag(cmd)
	return cmd
}

func newPurgeCommand(f *apiFlags) *cobra.Command {
	d := &destroyFlags{}
	some := api.Action{Action: "delete"}
	cmd := &cobra.Command{
		Use: "purge NAME...", Short: "Remove all messages of queues, or those that match",
		Example: "  treadmq queue purge orders\n  treadmq queue purge orders --selector \"year < 2020\" --limit 1000",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if some.Selector != "" || some.Text != "" || some.Limit != 0 {
				return each(cmd, f, queues(), args, "removed", func(_ context.Context, c *api.Client, name string) (any, error) {
					return d.purgeSome(cmd, c, name, some)
				})
			}
			return each(cmd, f, queues(), args, "removed", func(ctx context.Context, c *api.Client, name string) (any, error) {
				if goOn, err := d.announce(cmd, c, queues(), "purge", name); err != nil || !goOn {
					return nil, err
				}
				gone, err := c.Purge(ctx, name, !d.noUndo)
				if err != nil {
					return nil, apiError(c, fmt.Sprintf("the queue %q cannot be purged", name), err)
				}
				tellUndo(cmd, gone)
				return gone.Removed, nil
			})
		},
	}
	d.register(cmd)
	cmd.Flags().StringVar(&some.Selector, "selector", "", "only messages that the selector lets through")
	cmd.Flags().StringVar(&some.Text, "text", "", "only messages whose body holds this")
	cmd.Flags().Int64Var(&some.Limit, "limit", 0, "at most this many, from the front (default all)")
	outputFlag(cmd)
	return cmd
}

// purgeSome removes the messages of a queue that match, after it has counted them.
func (d *destroyFlags) purgeSome(cmd *cobra.Command, c *api.Client, name string, a api.Action) (any, error) {
	what := fmt.Sprintf("the queue %q cannot be purged", name)
	count := a
	count.DryRun = true
	job, err := runAction(cmd, c, name, count)
	if err != nil {
		return nil, apiError(c, what, err)
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "treadmq: purge queue %s at %s: %s messages match\n", printable(name), c.URL(), job.Text("done"))
	if d.dryRun {
		talk(cmd, "nothing done: --dry-run")
		return nil, nil
	}
	if err := confirm(cmd, "purge", name); err != nil {
		return nil, err
	}
	a.NoUndo = d.noUndo
	if job, err = runAction(cmd, c, name, a); err != nil {
		return nil, apiError(c, what, err)
	}
	if undo := job.Object("undo"); undo.Text("id") != "" {
		talk(cmd, "undo: treadmq trash restore %s (until %s)", undo.Text("id"), undo.Text("until"))
	}
	if job.Text("state") == "failed" {
		return nil, &failure{code: exitFailure, what: fmt.Sprintf("stopped after %s messages", job.Text("done")), next: job.Text("error")}
	}
	return job.Int("done"), nil
}

// flatten turns an object into columns and cells: objects within as a.b, lists as
// their length. What is only for charts is left out.
func flatten(item api.Item) (columns, cells []string) {
	for _, f := range item.Fields() {
		if strings.HasPrefix(f.Name, "history.") {
			continue // for charts
		}
		columns = append(columns, f.Name)
		cells = append(cells, f.Text)
	}
	return columns, cells
}

// fieldsOf is flatten for a value of our own.
func fieldsOf(v any) (columns, cells []string, err error) {
	b, err := encodeJSON(v)
	if err != nil {
		return nil, nil, err
	}
	columns, cells = flatten(api.Item{RawMessage: b})
	return columns, cells, nil
}
