package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"treadmq/conf"
)

// newServerCommands are the commands that run and control a broker on this machine.
func newServerCommands() []*cobra.Command {
	return []*cobra.Command{
		newConsoleCommand(), newStartCommand(), newStopCommand(), newRestartCommand(),
		newStatusCommand(), newKillCommand(), newReloadCommand(),
	}
}

// serverFlags are the flags that say which broker: they are the same for all
// server commands, so that `stop` finds what `start` started.
type serverFlags struct {
	config  string
	data    string
	stomp   []string
	console string
	realm   string
	set     []string
	fault   string // for tests: makes the durable store's disk fail, see vfs.ParseFault
	// clockOffset, for tests: a file with how far the broker's clock is off, see jumpingClock
	clockOffset string
	cmd         *cobra.Command
}

// defaultConfig is read when it is there and --config is not given.
const defaultConfig = "conf/treadmq.toml"

func (f *serverFlags) register(cmd *cobra.Command) {
	f.cmd = cmd
	fl := cmd.Flags()
	fl.StringVar(&f.config, "config", "", "configuration file (default "+defaultConfig+" when it is there)")
	fl.StringVar(&f.data, "data", "", "data folder")
	fl.StringSliceVar(&f.stomp, "stomp", nil, "STOMP listener host:port; replaces the configured ones, may be repeated; port 0 takes a free one")
	fl.StringVar(&f.console, "console", "", "console listener host:port; empty switches it off")
	fl.StringVar(&f.realm, "realm", "", "realm file with users, passwords and roles")
	fl.StringVar(&f.fault, "store-fault", "", "make the store's disk fail, for tests: kind[@part]:n:error")
	_ = fl.MarkHidden("store-fault") // fails only for a flag that is not there
	fl.StringVar(&f.clockOffset, "clock-offset", "", "file with a duration that the broker's clock is off by, for tests")
	_ = fl.MarkHidden("clock-offset")
	fl.StringArrayVar(&f.set, "set", nil, "key=value, any key of the configuration; may be repeated")
}

// load is read with the exit code of a bad configuration.
func (f *serverFlags) load() (*conf.Config, error) {
	cfg, err := f.read()
	if err != nil {
		return nil, exitError(exitConfig, "%v", err)
	}
	return cfg, nil
}

// read reads the configuration with the flags on top.
func (f *serverFlags) read() (*conf.Config, error) {
	src := conf.Sources{File: f.config, Required: f.config != "", Env: os.Environ(), Set: f.set, OtherEnv: clientEnvironment, Flags: map[string]string{}}
	if f.config == "" {
		src.File = defaultConfig
	}
	for flag, key := range map[string]string{"data": "data", "console": "console.listen", "realm": "realm"} {
		if fl := f.cmd.Flags().Lookup(flag); fl.Changed {
			src.Flags[key] = fl.Value.String()
		}
	}
	if f.cmd.Flags().Changed("stomp") {
		src.Flags["stomp.listen"] = strings.Join(f.stomp, ",")
	}
	return conf.Load(src)
}

// args are the flags as another process of this program takes them.
func (f *serverFlags) args() (args []string) {
	add := func(flag, v string) {
		if f.cmd.Flags().Changed(flag) {
			args = append(args, "--"+flag, v)
		}
	}
	add("config", f.config)
	add("data", f.data)
	add("console", f.console)
	add("realm", f.realm)
	add("store-fault", f.fault)
	add("clock-offset", f.clockOffset)
	add("stomp", strings.Join(f.stomp, ","))
	for _, s := range f.set {
		args = append(args, "--set", s)
	}
	return args
}

func newConsoleCommand() *cobra.Command {
	f := &serverFlags{}
	cmd := &cobra.Command{
		Use: "console", Aliases: []string{"run", "server"}, Short: "Run the broker in the foreground",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := f.load()
			if err != nil {
				return err
			}
			return runServer(cmd.Context(), cfg, f)
		},
	}
	f.register(cmd)
	return cmd
}

// exitError is an error with the process's exit code.
func exitError(code int, format string, args ...any) error {
	return &failure{code: code, what: strings.TrimRight(fmt.Sprintf(format, args...), "\n")}
}
