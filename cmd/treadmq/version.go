package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func newVersionCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "version", Short: "Tell which program this is",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			v := readVersion()
			return printOne(cmd, []string{"version", "commit", "modified", "go", "platform"}, record{
				value: v, name: v.Version,
				cells: []string{v.Version, v.Commit, v.Modified, v.Go, v.Platform},
			})
		},
	}
	outputFlag(cmd)
	return cmd
}

// versionInfo is what `version -o json` prints.
type versionInfo struct {
	Version  string `json:"version"`
	Commit   string `json:"commit"`   // of the source, empty when it is not known
	Modified string `json:"modified"` // "true" when the source differed from the commit
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func readVersion() versionInfo {
	v := versionInfo{Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Commit = s.Value
		case "vcs.modified":
			v.Modified = s.Value
		}
	}
	return v
}
