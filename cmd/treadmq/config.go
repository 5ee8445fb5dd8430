package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"treadmq/conf"
)

func newConfigCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Check, show and begin a configuration"}
	cmd.AddCommand(newConfigCheckCommand(), newConfigShowCommand(), newConfigInitCommand(), newConfigEncryptCommand())
	return cmd
}

func newConfigCheckCommand() *cobra.Command {
	f := &serverFlags{}
	cmd := &cobra.Command{
		Use: "check [FILE]", Short: "Tell everything that is wrong with a configuration",
		Long: `Tell everything that is wrong with a configuration: the file, the TREADMQ_*
variables and the flags together, as a broker would read them. Each problem is one
record on standard output. The exit code is 0 when there is none, 78 otherwise.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				f.config = args[0]
			}
			return configCheck(cmd, f)
		},
	}
	f.register(cmd)
	outputFlag(cmd)
	return cmd
}

func configCheck(cmd *cobra.Command, f *serverFlags) error {
	_, err := readConfig(f)
	p := newPrinter(cmd, "where", "problem")
	var wrong *conf.Error
	if err != nil && !errors.As(err, &wrong) {
		return configError(err)
	}
	if wrong != nil {
		for _, x := range wrong.Problems {
			err := p.add(record{
				value: map[string]string{"where": x.Where, "problem": x.Text},
				cells: []string{x.Where, x.Text}, name: x.Where,
			})
			if err != nil {
				return err
			}
		}
	}
	if outputFormat(cmd) != formatTable || wrong != nil {
		if err := p.close(); err != nil {
			return err
		}
	}
	if wrong != nil {
		return &failure{code: exitConfig, what: fmt.Sprintf("the configuration has %s", plural(len(wrong.Problems), "problem"))}
	}
	talk(cmd, "the configuration is good")
	return nil
}

// configError words why a configuration cannot be read at all.
func configError(err error) error {
	f := &failure{code: exitConfig, what: "the configuration cannot be read", why: err}
	if errors.Is(err, fs.ErrNotExist) {
		f.code, f.next = exitNoInput, "treadmq config init writes one"
	}
	return f
}

// readConfig reads the configuration as a broker with these flags would, and keeps
// the problems apart.
func readConfig(f *serverFlags) (*conf.Config, error) {
	src := conf.Sources{File: f.config, Required: f.config != "", Env: os.Environ(), OtherEnv: clientEnvironment,
		Set: f.set, Flags: map[string]string{}}
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
	cfg, err := conf.Load(src)
	if err != nil {
		return nil, err
	}
	return cfg, checkForwards(cfg)
}

// plural is a number of things in words: "1 entry", "2 entries", "3 days".
func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	if stem, ok := strings.CutSuffix(thing, "y"); ok && !strings.HasSuffix(stem, "a") {
		return fmt.Sprintf("%d %sies", n, stem)
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

func newConfigShowCommand() *cobra.Command {
	f := &serverFlags{}
	var origin, changedOnly bool
	cmd := &cobra.Command{
		Use: "show", Short: "Show the configuration that is in force",
		Long: `Show every key with the value that is in force: flags win over TREADMQ_*
variables, these over the file, the file over the defaults. --origin tells for each
key which of them won.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := readConfig(f)
			if err != nil {
				return configError(err)
			}
			return configShow(cmd, cfg, origin, changedOnly)
		},
	}
	cmd.Flags().BoolVar(&origin, "origin", false, "with where each value came from")
	cmd.Flags().BoolVar(&changedOnly, "changed", false, "only what is not at its default")
	f.register(cmd)
	outputFlag(cmd)
	return cmd
}

// configEntry is one key as `config show -o json` prints it.
type configEntry struct {
	Key     string `json:"key"`
	Value   string `json:"value"`
	Default string `json:"default"`
	Env     string `json:"env,omitempty"`
	Origin  string `json:"origin"`
}

func configShow(cmd *cobra.Command, cfg *conf.Config, origin, changedOnly bool) error {
	columns := []string{"key", "value"}
	if origin {
		columns = append(columns, "origin")
	}
	p := newPrinter(cmd, columns...)
	for _, e := range cfg.Keys() {
		if changedOnly && e.Origin.Kind == conf.FromDefault {
			continue
		}
		r := record{name: e.Key, cells: []string{e.Key, e.Value},
			value: configEntry{e.Key, e.Value, e.Default, e.Env, e.Origin.String()}}
		if origin {
			r.cells = append(r.cells, e.Origin.String())
		}
		if err := p.add(r); err != nil {
			return err
		}
	}
	return p.close()
}

func newConfigInitCommand() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use: "init [FILE]", Short: "Write a configuration file with every key, explained and at its default",
		Long: `Write a configuration file with every key, explained and at its default, to
` + defaultConfig + ` or FILE; "-" is standard output. A file that is there is left alone
unless --force is given.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := defaultConfig
			if len(args) > 0 {
				name = args[0]
			}
			return configInit(cmd, name, force)
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "replace a file that is there")
	return cmd
}

func configInit(cmd *cobra.Command, name string, force bool) error {
	if name == "-" {
		_, err := bytes.NewReader(conf.Example()).WriteTo(cmd.OutOrStdout())
		return err
	}
	flags := os.O_WRONLY | os.O_CREATE | os.O_EXCL
	if force {
		flags = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return &failure{code: exitCannot, what: "the folder of the file cannot be made", why: err}
	}
	file, err := os.OpenFile(name, flags, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return &failure{code: exitCannot, what: name + " is there already", next: "choose another name, or --force to replace it"}
	}
	if err != nil {
		return &failure{code: exitCannot, what: "the file cannot be created", why: err}
	}
	if _, err := file.Write(conf.Example()); err != nil {
		file.Close()
		return &failure{code: exitCannot, what: "the file cannot be written", why: err}
	}
	if err := file.Close(); err != nil {
		return &failure{code: exitCannot, what: "the file cannot be written", why: err}
	}
	talk(cmd, "written: %s", name)
	return nil
}
