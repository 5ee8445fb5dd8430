//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"treadmq/admin"
	"treadmq/scripts/internal/brokerproc"
	"treadmq/scripts/internal/group"
)

// load is a run of `treadmq bench`.
type load struct {
	name  string
	flags []string
}

// measured is what a run says and cost.
type measured struct {
	Sent, Received     int64
	Lost, Duplicates   int64
	SendRate, RecvRate float64

	rate      float64
	cpu       float64   // microseconds of the broker, or the master, for each message
	followers []float64 // the same of each follower
	shipped   float64   // bytes that a follower got from the master for each byte that was appended
}

// throughput runs loads on a group and on a single broker in turn.
func throughput(ctx context.Context, binary, dir string, rounds, messages int) error {
	loads := []load{
		{"queue, persistent, 4 producers x window 200, 4 consumers, 256 B",
			[]string{"--producers", "4", "--consumers", "4", "--window", "200", "--count", strconv.Itoa(messages)}},
		{"one producer awaits each receipt",
			[]string{"--mode", "fill", "--producers", "1", "--window", "1", "--count", strconv.Itoa(messages / 25)}},
	}
	for _, l := range loads {
		var ratios []float64
		for i := range rounds {
			at := filepath.Join(dir, fmt.Sprint(len(l.flags), "-", i))
			alone, err := single(binary, at+"-single", l)
			if err != nil {
				return err
			}
			three, err := replicated(ctx, binary, at+"-group", l)
			if err != nil {
				return err
			}
			ratios = append(ratios, three.rate/alone.rate)
			fmt.Printf("%s: group %.0f/s, single %.0f/s, ratio %.2f; CPU us: single %.1f, master %.1f, followers %.1f (%.2f of the master's); shipped/appended %.3f\n",
				l.name, three.rate, alone.rate, three.rate/alone.rate, alone.cpu, three.cpu, three.followers,
				slices.Max(three.followers)/three.cpu, three.shipped)
		}
		slices.Sort(ratios)
		fmt.Printf("%s: median ratio %.2f\n", l.name, ratios[len(ratios)/2])
	}
	return nil
}

func single(binary, dir string, l load) (*measured, error) {
	b, err := brokerproc.Start(brokerproc.Options{Binary: binary, Dir: dir, Realm: user + ": " + password + ",admin\n", Set: []string{"anonymous=true"}})
	if err != nil {
		return nil, err
	}
	defer b.Stop()
	before, err := cpu(b.Pid())
	if err != nil {
		return nil, err
	}
	m, err := bench(binary, b.Addr(), l)
	if err != nil {
		return nil, err
	}
	after, err := cpu(b.Pid())
	m.cpu = perMessage(after-before, m)
	return m, err
}

func replicated(ctx context.Context, binary, dir string, l load) (*measured, error) {
	g, err := start(ctx, binary, dir, 6*time.Second)
	if err != nil {
		return nil, err
	}
	defer g.Stop()
	master, err := g.Master(ctx)
	if err != nil {
		return nil, err
	}
	for _, m := range g.Members {
		if m != master {
			if _, err := m.Await(ctx, "follower"); err != nil {
				return nil, err
			}
		}
	}
	before, err := uses(g)
	if err != nil {
		return nil, err
	}
	had, err := received(master)
	if err != nil {
		return nil, err
	}
	r, err := bench(binary, master.Stomp, l)
	if err != nil {
		return nil, err
	}
	after, err := uses(g)
	if err != nil {
		return nil, err
	}
	for i, m := range g.Members {
		used := perMessage(after[i].cpu-before[i].cpu, r)
		if m == master {
			r.cpu = used
			continue
		}
		r.followers = append(r.followers, used)
	}
	got, err := received(master)
	r.shipped = float64(got-had) / float64(len(r.followers)) / float64(after[0].end-before[0].end)
	return r, err
}

func perMessage(d time.Duration, m *measured) float64 {
	return float64(d.Microseconds()) / float64(max(m.Sent, m.Received, 1))
}

// used is what a member's process has used since its start.
type used struct {
	cpu time.Duration
	end uint64
}

// uses waits until all members have the same.
func uses(g *group.Group) ([]used, error) {
	all := make([]used, len(g.Members))
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		same := true
		for i, m := range g.Members {
			s, err := status(m)
			if err != nil {
				return nil, err
			}
			all[i].end = s.End
			same = same && s.End == all[0].end && s.Applied == s.End
		}
		if same {
			break
		}
		if time.Now().After(deadline) {
			return nil, errors.New("the followers do not catch up")
		}
	}
	for i, m := range g.Members {
		var err error
		if all[i].cpu, err = cpu(m.Pid()); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func status(m *group.Member) (*admin.ClusterStatus, error) {
	req, err := http.NewRequest("GET", m.Console+"api/v1/cluster", nil)
	if err != nil {
		return nil, err
	}
	req.SetBasicAuth(user, password)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("member %s answers %s", m.Name, resp.Status)
	}
	s := &admin.ClusterStatus{}
	return s, json.NewDecoder(resp.Body).Decode(s)
}

// bench runs a load.
func bench(binary, addr string, l load) (*measured, error) {
	args := append([]string{"-q", "bench", "--url", "tcp://" + addr, "-o", "json", "--idle", "30s"}, l.flags...)
	out, err := exec.Command(binary, args...).Output()
	m := &measured{}
	if bad := json.Unmarshal(out, m); bad != nil {
		return nil, errors.Join(err, bad)
	}
	if m.Lost > 0 || m.Duplicates > 0 {
		return nil, fmt.Errorf("%s: %d lost, %d twice", l.name, m.Lost, m.Duplicates)
	}
	m.rate = m.SendRate
	if m.Received > 0 {
		m.rate = m.RecvRate
	}
	return m, nil
}

const tick = 10 * time.Millisecond // of /proc/PID/stat: 100 a second on Linux

// cpu is the time that a process has used.
func cpu(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	f := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	user, err := strconv.Atoi(f[11])
	if err != nil {
		return 0, err
	}
	system, err := strconv.Atoi(f[12])
	return time.Duration(user+system) * tick, err
}

var bytesReceived = regexp.MustCompile(`bytes_received:(\d+)`)

// received is what all connections to a member's replication port have brought to the other members.
func received(master *group.Member) (int64, error) {
	_, port, err := net.SplitHostPort(master.Replication)
	if err != nil {
		return 0, err
	}
	out, err := exec.Command("ss", "-Htin", "state", "established", "dport = :"+port).Output()
	if err != nil {
		return 0, fmt.Errorf("ss of iproute2: %w", err)
	}
	var sum int64
	for _, m := range bytesReceived.FindAllSubmatch(out, -1) {
		n, err := strconv.ParseInt(string(m[1]), 10, 64)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}
