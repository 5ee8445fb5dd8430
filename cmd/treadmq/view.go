package main

import (
	"context"

	"github.com/spf13/cobra"

	"treadmq/cmd/treadmq/internal/api"
)

// view says how objects of the API are printed.
type view struct {
	name    string   // the field that -o name shows
	columns []string // the fields that tables and CSV show
}

func (v view) record(item api.Item) record {
	r := record{value: item.RawMessage, name: item.Text(v.name)}
	for _, c := range v.columns {
		r.cells = append(r.cells, item.Short(c))
	}
	return r
}

// list prints a list of objects.
func (v view) list(cmd *cobra.Command, items []api.Item) error {
	p := newPrinter(cmd, v.columns...)
	for _, item := range items {
		if err := p.add(v.record(item)); err != nil {
			return err
		}
	}
	return p.close()
}

// one prints a single object.
func (v view) one(cmd *cobra.Command, item api.Item) error {
	return printOne(cmd, v.columns, v.record(item))
}

// ask does something with the API, over a connection that is closed afterwards.
func (f *apiFlags) ask(cmd *cobra.Command, do func(context.Context, *api.Client) error) error {
	c, err := f.connect(cmd)
	if err != nil {
		return err
	}
	defer c.Close()
	return do(cmd.Context(), c)
}

// askOne asks for an object, or for something that has one as its answer, and prints it.
// failed says what did not work.
func (f *apiFlags) askOne(cmd *cobra.Command, v view, failed string, ask func(context.Context, *api.Client) (api.Item, error)) error {
	return f.ask(cmd, func(ctx context.Context, c *api.Client) error {
		item, err := ask(ctx, c)
		if err != nil {
			return apiError(c, failed, err)
		}
		return v.one(cmd, item)
	})
}

// askList asks for a list and prints it.
func (f *apiFlags) askList(cmd *cobra.Command, v view, failed string, ask func(context.Context, *api.Client) ([]api.Item, error)) error {
	return f.ask(cmd, func(ctx context.Context, c *api.Client) error {
		items, err := ask(ctx, c)
		if err != nil {
			return apiError(c, failed, err)
		}
		return v.list(cmd, items)
	})
}

// newAllCommand is the command ls for what the API lists in one piece, called what.
func newAllCommand(f *apiFlags, v view, short, what string, ask func(*api.Client, context.Context) ([]api.Item, error)) *cobra.Command {
	cmd := &cobra.Command{
		Use: "ls", Aliases: []string{"list"}, Short: short, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.askList(cmd, v, what+" cannot be listed", func(ctx context.Context, c *api.Client) ([]api.Item, error) { return ask(c, ctx) })
		},
	}
	outputFlag(cmd)
	return cmd
}
