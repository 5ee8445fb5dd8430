package main

import (
	"encoding/base64"
	"fmt"

	"github.com/spf13/cobra"

	"treadmq/cmd/treadmq/internal/api"
)

func messageColumns() []string {
	return []string{"id", "timestamp", "priority", "redelivered", "deliveryCount", "size"}
}

func newBrowseCommand() *cobra.Command {
	f := &apiFlags{}
	o := &browseOptions{}
	cmd := &cobra.Command{
		Use: "browse QUEUE", Short: "Look at the messages of a queue without consuming them",
		Long: `Look at the messages of a queue without consuming them, oldest first, however
many there are.

Bodies are shown with --body, and always with -o raw, which prints nothing else:
one body on a line.`,
		Example: "  treadmq browse orders -n 10 --body\n  treadmq browse orders -o jsonl --body > orders.jsonl",
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return browse(cmd, f, o, args[0]) },
	}
	f.register(cmd)
	cmd.Flags().IntVarP(&o.count, "count", "n", 0, "at most this many (default all)")
	cmd.Flags().BoolVar(&o.body, "body", false, "with bodies")
	cmd.Flags().StringVar(&o.Selector, "selector", "", "only messages that the selector lets through")
	cmd.Flags().StringVar(&o.Text, "text", "", "only messages whose body holds this")
	outputFlag(cmd, formatTable, formatRaw)
	return cmd
}

type browseOptions struct {
	count int
	body  bool
	api.Search
}

func browse(cmd *cobra.Command, f *apiFlags, o *browseOptions, text string) error {
	name, err := nameOf("queue", text)
	if err != nil {
		return err
	}
	c, err := f.connect(cmd)
	if err != nil {
		return err
	}
	defer c.Close()
	if o.count > 0 {
		c.Limit = min(o.count, 100)
	}
	raw := outputFormat(cmd) == formatRaw
	columns := messageColumns()
	if o.body {
		columns = append(columns, "body")
	}
	p := newPrinter(cmd, columns...)
	n := 0
	err = c.Find(cmd.Context(), name, o.Search, o.body || raw, func(m api.Item) (bool, error) {
		n++
		if raw {
			p.w.Write(bodyOf(m))
			return o.count == 0 || n < o.count, p.w.WriteByte('\n')
		}
		return o.count == 0 || n < o.count, p.add(messageRecord(m, columns))
	})
	if err != nil {
		p.flush()
		return apiError(c, fmt.Sprintf("the queue %q cannot be browsed", name), err)
	}
	if raw {
		return p.w.Flush()
	}
	return p.close()
}

func messageRecord(m api.Item, columns []string) record {
	r := record{value: m.RawMessage, name: m.Text("id")}
	for _, c := range columns {
		if c == "body" {
			r.cells = append(r.cells, string(bodyOf(m)))
			continue
		}
		r.cells = append(r.cells, m.Text(c))
	}
	return r
}

// bodyOf is the body of a message of the API, which sends what is no text in base 64.
func bodyOf(m api.Item) []byte {
	if b, err := base64.StdEncoding.DecodeString(m.Text("bodyBase64")); err == nil && len(b) > 0 {
		return b
	}
	return []byte(m.Text("body"))
}
