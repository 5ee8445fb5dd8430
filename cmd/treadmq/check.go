package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"treadmq/cmd/treadmq/internal/api"
)

// Exit codes of check, those of monitoring plugins.
const (
	checkOK       = 0
	checkWarning  = 1
	checkCritical = 2
	checkUnknown  = 3
)

// verdict is what a check found: the worst of its findings counts.
type verdict struct {
	code  int
	texts []string
	perf  []string // label=value;warning;critical
}

// find adds a finding.
func (v *verdict) find(code int, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	switch {
	case code > v.code:
		v.code = code
		v.texts = append([]string{text}, v.texts...)
	default:
		v.texts = append(v.texts, text)
	}
}

// measure adds a figure and holds it against two ranges; "" is none.
func (v *verdict) measure(label string, value float64, unit string, warning, critical limits) {
	v.perf = append(v.perf, fmt.Sprintf("%s=%s%s;%s;%s", label, number(value), unit, warning.plain, critical.plain))
	code := checkOK
	switch {
	case critical.alerts(value):
		code = checkCritical
	case warning.alerts(value):
		code = checkWarning
	}
	v.find(code, "%s %s", strings.ReplaceAll(label, "_", " "), number(value)+unit)
}

func number(v float64) string { return strings.TrimSuffix(fmt.Sprintf("%.3f", v), ".000") }

// say prints the one line that a plugin has, and returns the exit code as an error.
func (v *verdict) say(cmd *cobra.Command) error {
	line := [...]string{"OK", "WARNING", "CRITICAL", "UNKNOWN"}[v.code] + " - " + printable(strings.Join(v.texts, ", "))
	line = strings.ReplaceAll(line, "|", "/") // what stands behind it is figures
	if len(v.perf) > 0 {
		line += " | " + strings.Join(v.perf, " ")
	}
	fmt.Fprintln(cmd.OutOrStdout(), line)
	if v.code == checkOK {
		return nil
	}
	return &failure{code: v.code}
}

// newCheckCommand makes checks for Nagios, Icinga, Zabbix and whoever else runs plugins.
func newCheckCommand() *cobra.Command {
	f := &apiFlags{}
	cmd := &cobra.Command{
		Use: "check", Short: "Check a broker, as a plugin of a monitoring system",
		Long: `Check a broker, as a plugin of Nagios, Icinga and the like: one line with figures on
standard output, and exit code 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.

Limits are ranges as plugins have them: 10 alerts above 10 and below 0, 10: below 10,
~:10 above 10, 10:20 outside, @10:20 inside.`,
		Example: "  treadmq check node\n  treadmq check queue orders -w 1000 -c 10000 --age-critical 10m --consumers 1:",
	}
	f.register(cmd)
	cmd.AddCommand(newCheckNodeCommand(f), newCheckQueueCommand(f), newCheckStoreCommand(f), newCheckDLQCommand(f), newCheckCertCommand(), newCheckClusterCommand(f))
	for _, sub := range cmd.Commands() {
		asPlugin(sub)
	}
	return cmd
}

// asPlugin has everything that goes wrong with a check said the way a plugin says it.
func asPlugin(cmd *cobra.Command) {
	unknown := func(cmd *cobra.Command, err error) error {
		v := &verdict{}
		v.find(checkUnknown, "%v", err)
		return v.say(cmd)
	}
	args, run := cmd.Args, cmd.RunE
	cmd.Args = func(cmd *cobra.Command, list []string) error {
		if err := args(cmd, list); err != nil {
			return unknown(cmd, err)
		}
		return nil
	}
	cmd.SetFlagErrorFunc(unknown)
	cmd.RunE = func(cmd *cobra.Command, list []string) error {
		err := run(cmd, list)
		if said := (*failure)(nil); err == nil || errors.As(err, &said) && said.what == "" {
			return err
		}
		return unknown(cmd, err)
	}
}

// checking is a check that asks the API.
func checking(f *apiFlags, do func(context.Context, *api.Client, *verdict) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, _ []string) error {
		c, err := f.connect(cmd)
		if err != nil {
			return err
		}
		defer c.Close()
		v := &verdict{}
		if err := do(cmd.Context(), c, v); err != nil {
			err = clusterError(c, "not checked", err)
			if exitCode(err) != exitUnreachable {
				return err
			}
			v.find(checkCritical, "%v", err) // nobody answers: that is worse than not to know
		}
		return v.say(cmd)
	}
}
