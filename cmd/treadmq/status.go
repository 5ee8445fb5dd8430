package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"treadmq/admin"
)

// LSB exit codes of status.
const (
	statusRunning  = 0
	statusDead     = 1 // a run file without its process
	statusStopped  = 3
	statusNotReady = 4
)

// brokerStatus is what `status -o json` prints.
type brokerStatus struct {
	Running bool      `json:"running"`
	Ready   bool      `json:"ready"`             // clients are taken
	Role    string    `json:"role,omitempty"`    // of a member of a group
	Reason  string    `json:"reason,omitempty"`  // why it does not run, or what the console answered
	Process *runState `json:"process,omitempty"` // nil when it does not run
}

func newStatusCommand() *cobra.Command {
	f := &serverFlags{}
	var asJSON bool
	cmd := &cobra.Command{
		Use: "status", Short: "Tell whether the broker runs (exit code 0 running, 1 dead, 3 stopped, 4 running but not ready)",
		Long: `Tell whether the broker of this configuration runs and takes clients. A member of a
group that follows its master, and takes no clients for that reason, counts as well: its
role is shown.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if asJSON {
				if err := cmd.Flags().Set("output", string(formatJSON)); err != nil {
					return err
				}
			}
			return status(cmd, f)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "the same as -o json")
	f.register(cmd)
	outputFlag(cmd)
	return cmd
}

// status prints what it found, and has the exit code say it too.
func status(cmd *cobra.Command, f *serverFlags) error {
	var st brokerStatus
	s, found := running(f)
	if found == nil {
		st.Running, st.Process = true, s
		if st.Ready, st.Role, st.Reason = askReady(s); !st.Ready && !following(st.Role) {
			found = exitError(statusNotReady, "the broker runs, but takes no clients: %s", st.Reason)
		}
	} else {
		st.Reason = found.Error()
	}
	if err := st.print(cmd); err != nil {
		return err
	}
	return found
}

// print shows a broker that runs as its start does, and nothing of one that does not: the error tells.
func (st *brokerStatus) print(cmd *cobra.Command) error {
	s, form := st.Process, outputFormat(cmd)
	switch {
	case s == nil && (form == formatTable || form == formatName):
		return nil
	case s == nil:
		s = &runState{}
	case form == formatTable:
		s.print(os.Stdout)
		if st.Role != "" {
			fmt.Printf("role     %s\n", st.Role)
		}
		return nil
	}
	return printOne(cmd, []string{"running", "ready", "pid", "version", "data", "stomp", "console", "role", "reason"}, record{
		value: st, name: strconv.Itoa(s.PID),
		cells: []string{strconv.FormatBool(st.Running), strconv.FormatBool(st.Ready), strconv.Itoa(s.PID), s.Version, s.Data,
			strings.Join(s.Stomp, " "), s.Console, st.Role, st.Reason},
	})
}

// following reports whether a member takes no clients because another one is master.
func following(role string) bool {
	return role == admin.MemberFollower || role == admin.MemberLearner || role == admin.MemberCatching
}

// askReady asks the console whether clients are taken, and what the role is of a member
// of a group. A broker without console counts as ready: it writes its run file when it is.
func askReady(s *runState) (ready bool, role, reason string) {
	if s.Console == "" {
		return true, "", ""
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.readyURL(), nil)
	if err != nil {
		return false, "", err.Error()
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: localTLS()}}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		return false, "", err.Error()
	}
	defer resp.Body.Close()
	var said struct {
		Role    string
		Reasons []string
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 64<<10)).Decode(&said); err != nil {
		return false, "", resp.Status
	}
	return resp.StatusCode == http.StatusOK, said.Role, strings.Join(said.Reasons, "; ")
}
