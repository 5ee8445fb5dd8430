package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// isTerminal reports whether a stream is a person's terminal.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// colored reports whether w may be given colour and redrawn lines.
func colored(cmd *cobra.Command, w any) bool {
	off, _ := cmd.Flags().GetBool("no-color")
	return isTerminal(w) && !off && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && os.Getenv("CI") == ""
}

// progress shows how far a long job is, on a terminal only. Its methods may be
// called on nil.
type progress struct{ bar *progressbar.ProgressBar }

// newProgress begins to show a job of total messages, 0 or less when that is not known.
func newProgress(cmd *cobra.Command, total int64, label string) *progress {
	return showProgress(cmd, total, label, progressbar.OptionShowIts(), progressbar.OptionSetItsString("msg"))
}

// newByteProgress begins to show a job that reads total bytes, 0 or less when that is not known.
func newByteProgress(cmd *cobra.Command, total int64, label string) *progress {
	return showProgress(cmd, total, label, progressbar.OptionShowBytes(true))
}

func showProgress(cmd *cobra.Command, total int64, label string, unit ...progressbar.Option) *progress {
	w := cmd.ErrOrStderr()
	if quiet, _ := cmd.Flags().GetBool("quiet"); quiet || !colored(cmd, w) {
		return nil
	}
	if total <= 0 {
		total = -1 // at 0 it would never be drawn
	}
	return &progress{progressbar.NewOptions64(total, append(unit,
		progressbar.OptionSetWriter(w), progressbar.OptionSetDescription(label), progressbar.OptionShowCount(),
		progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish(),
		progressbar.OptionSetWidth(30), progressbar.OptionSetPredictTime(true))...)}
}

func (p *progress) set(n int64) {
	if p != nil {
		p.bar.Set64(n)
	}
}

// over returns a writer to the same screen, whose lines take the bar's place until it is drawn again below them.
func (p *progress) over(w io.Writer) io.Writer {
	if p == nil {
		return w
	}
	return overBar{p, w}
}

type overBar struct {
	p *progress
	w io.Writer
}

// Write is that of io.Writer.
func (o overBar) Write(b []byte) (int, error) {
	o.p.bar.Clear()
	return o.w.Write(b)
}

// end removes the bar from the screen.
func (p *progress) end() {
	if p != nil {
		p.bar.Clear()
		p.bar.Close()
	}
}

// maxAnswer bounds a line typed or piped as an answer or a password.
const maxAnswer = 4 << 10

// yesFlag gives a command --yes, which confirm looks at.
func yesFlag(cmd *cobra.Command) {
	cmd.Flags().BoolP("yes", "y", false, "do not ask; needed where there is no terminal")
}

// confirm lets a person type name before something is destroyed. With --yes nothing
// is asked; without a terminal --yes is needed.
func confirm(cmd *cobra.Command, action, name string) error {
	if yes, _ := cmd.Flags().GetBool("yes"); yes {
		return nil
	}
	if !isTerminal(cmd.InOrStdin()) || !isTerminal(cmd.ErrOrStderr()) {
		return usagef("add --yes if that is what you want", "%s %s needs to be confirmed, and there is no terminal to ask on", action, name)
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "Type the name to %s it (%s): ", action, name)
	var answer string
	err := interruptible(cmd.Context(), func() (err error) {
		answer, err = readLine(cmd.InOrStdin())
		return err
	})
	if err != nil {
		return err
	}
	if answer != name {
		return &failure{code: exitFailure, what: fmt.Sprintf("nothing done: %q is not %q", answer, name)}
	}
	return nil
}

// readLine reads one line of at most maxAnswer bytes.
func readLine(r io.Reader) (string, error) {
	line, err := bufio.NewReader(io.LimitReader(r, maxAnswer)).ReadString('\n')
	if err != nil && !(errors.Is(err, io.EOF) && line != "") {
		return "", err
	}
	return strings.TrimRight(line, "\r\n"), nil
}
