package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"treadmq/cmd/treadmq/internal/api"
)

// topFlags say what top shows.
type topFlags struct {
	listFlags
	interval time.Duration
	frames   int
}

func newTopCommand() *cobra.Command {
	f, t := &apiFlags{}, &topFlags{}
	cmd := &cobra.Command{
		Use: "top", Short: "Watch the broker and its busiest queues",
		Long: `Watch the broker and its busiest queues on a terminal; Ctrl-C ends it. Elsewhere it
prints as many pictures as -n says, one without.`,
		Example: "  treadmq top --sort messages\n  treadmq top -n 3 --interval 10s >> load.txt",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return top(cmd, f, t) },
	}
	f.register(cmd)
	fl := cmd.Flags()
	fl.StringVar(&t.Sort, "sort", "rateIn", "figure to sort queues by, largest first, as in queue ls -o json")
	fl.StringVar(&t.Filter, "filter", "", "only queues whose names contain this")
	fl.DurationVar(&t.interval, "interval", 2*time.Second, "time between two pictures")
	fl.IntVarP(&t.frames, "count", "n", 0, "pictures, then it ends (on a terminal: default no end)")
	return cmd
}

// What a terminal is told: another screen without a cursor, and back.
const (
	screenOn    = "\x1b[?1049h\x1b[?25l"
	screenOff   = "\x1b[?25h\x1b[?1049l"
	screenClear = "\x1b[H\x1b[2J"
)

func top(cmd *cobra.Command, f *apiFlags, t *topFlags) error {
	if t.interval < 100*time.Millisecond || t.frames < 0 {
		return usagef("", "--interval is at least 100ms, and -n is not negative")
	}
	c, err := f.connect(cmd)
	if err != nil {
		return err
	}
	defer c.Close()
	out := cmd.OutOrStdout()
	live := colored(cmd, out)
	if live {
		io.WriteString(out, screenOn)
		defer io.WriteString(out, screenOff)
	} else if t.frames == 0 {
		t.frames = 1
	}
	for n := 1; ; n++ {
		rows := 20
		if live {
			rows = screenRows(out)
		}
		picture, err := t.picture(cmd.Context(), c, rows)
		if live && cmd.Context().Err() != nil {
			return nil // that is how it is ended
		}
		if err != nil {
			return apiError(c, "the broker cannot be watched", err)
		}
		if live {
			io.WriteString(out, screenClear)
		} else if n > 1 {
			io.WriteString(out, "\n")
		}
		if _, err := out.Write(picture); err != nil {
			return err
		}
		if n == t.frames {
			return nil
		}
		select {
		case <-cmd.Context().Done():
			if live {
				return nil
			}
			return cmd.Context().Err()
		case <-time.After(t.interval):
		}
	}
}

// screenRows is how many queues have room below the head.
func screenRows(out io.Writer) int {
	file, ok := out.(*os.File)
	if !ok {
		return 20
	}
	_, height, err := term.GetSize(int(file.Fd()))
	if err != nil {
		return 20
	}
	return max(1, min(height-8, 1000))
}

// picture is what there is to see now.
func (t *topFlags) picture(ctx context.Context, c *api.Client, rows int) ([]byte, error) {
	o, err := c.Overview(ctx)
	if err != nil {
		return nil, err
	}
	b, st := o.Object("broker"), o.Object("store")
	var text bytes.Buffer
	w := bufio.NewWriter(&text)
	up := time.Duration(b.Int("uptimeSeconds")) * time.Second
	fmt.Fprintf(w, "%s  %s  %s  up %s\n", printable(b.Text("name")), printable(b.Text("version")), printable(b.Text("role")), up)
	fmt.Fprintf(w, "in %s/s  out %s/s  messages %s  connections %s  queues %s  topics %s\n", o.Short("rateIn"), o.Short("rateOut"),
		o.Text("messages"), o.Text("connections"), o.Text("queues"), o.Text("topics"))
	fmt.Fprintf(w, "memory %s of %s  journal %s  free disk %s  sync %s ms\n", sizeText(o.Text("memoryBytes")), sizeText(o.Text("memoryLimit")),
		sizeText(st.Text("diskBytes")), sizeText(st.Text("freeDisk")), st.Short("syncMillis"))
	if list, ok := o.Sub("alarms").([]any); ok {
		for _, alarm := range list {
			fmt.Fprintf(w, "ALARM %s\n", printable(fmt.Sprint(alarm)))
		}
	}
	fmt.Fprintln(w)
	var cells [][]string
	c.Limit = rows
	kind := queues()
	err = c.Destinations(ctx, "queues", api.List{Filter: t.Filter, Sort: t.Sort, Order: "desc"}, func(q api.Item) (bool, error) {
		cells = append(cells, kind.record(q).cells)
		return len(cells) < rows, nil
	})
	if err != nil {
		return nil, err
	}
	writeTable(w, kind.columns, cells, true)
	if err := w.Flush(); err != nil {
		return nil, err
	}
	return text.Bytes(), nil
}

// sizeText shows a field of bytes for people.
func sizeText(text string) string {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return "?"
	}
	return sizeOf(n)
}

// sizeOf shows bytes for people: 1.5 GiB.
func sizeOf(n int64) string {
	v, unit := float64(n), "B"
	for _, u := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if v < 1024 {
			break
		}
		v, unit = v/1024, u
	}
	return strings.TrimSuffix(strconv.FormatFloat(v, 'f', 1, 64), ".0") + " " + unit
}
