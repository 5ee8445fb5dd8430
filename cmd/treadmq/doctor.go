package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"treadmq/conf"
	"treadmq/conf/realm"
	"treadmq/store/vfs"
)

// States of a finding of doctor.
const (
	healthy  = "ok"
	doubtful = "warning"
	broken   = "problem"
)

// finding is what doctor says about one thing, as `doctor -o json` prints it.
type finding struct {
	Check  string `json:"check"`
	Status string `json:"status"`
	Text   string `json:"text"`
	Next   string `json:"next,omitempty"` // what to do
}

// doctor looks at everything a broker needs on this machine.
type doctor struct {
	cfg     *conf.Config
	running *runState // nil: no broker runs on the data folder
	list    []finding
}

func newDoctorCommand() *cobra.Command {
	f := &serverFlags{}
	cmd := &cobra.Command{
		Use: "doctor", Short: "Look at what a broker needs on this machine, and say what to do",
		Long: `Look at what a broker of this configuration needs on this machine, whether it runs or
not: folder, disk, limits, clock, ports, users, certificates and ZooKeeper. Nothing is
changed. The exit code is 1 if there is a problem; warnings are none.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return examine(cmd, f) },
	}
	f.register(cmd)
	outputFlag(cmd)
	return cmd
}

func examine(cmd *cobra.Command, f *serverFlags) error {
	cfg, err := f.load()
	if err != nil {
		return err
	}
	d := &doctor{cfg: cfg}
	if s, alive, err := readRunState(cfg.Data); err == nil && alive {
		d.running = s
		d.say("broker", healthy, "", "runs as process %d, version %s", s.PID, s.Version)
	} else {
		d.say("broker", healthy, "", "none runs on %s", cfg.Data)
	}
	d.folder()
	d.disk()
	d.files()
	d.clock()
	d.ports()
	d.realm()
	d.certificates()
	d.zooKeeper(cmd.Context())
	p := newPrinter(cmd, "check", "status", "text", "next")
	problems := 0
	for _, x := range d.list {
		if x.Status == broken {
			problems++
		}
		if err := p.add(record{value: x, cells: []string{x.Check, x.Status, x.Text, x.Next}, name: x.Check}); err != nil {
			return err
		}
	}
	if err := p.close(); err != nil {
		return err
	}
	if problems > 0 {
		return &failure{code: exitFailure, what: plural(problems, "problem")}
	}
	return nil
}

func (d *doctor) say(check, status, next, format string, args ...any) {
	d.list = append(d.list, finding{check, status, fmt.Sprintf(format, args...), next})
}

// folder is whether the data can be written.
func (d *doctor) folder() {
	dir := existing(d.cfg.Data)
	probe, err := os.CreateTemp(dir, ".treadmq-doctor-*")
	if err != nil {
		d.say("folder", broken, "give the user of the broker the right to write there, or another --data", "%s cannot be written: %v", dir, err)
		return
	}
	probe.Close()
	os.Remove(probe.Name())
	d.say("folder", healthy, "", "%s can be written", dir)
}

// existing is the folder itself, or the nearest one above that is there.
func existing(dir string) string {
	for {
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			return dir
		}
		above := filepath.Dir(dir)
		if above == dir {
			return dir
		}
		dir = above
	}
}

// disk is whether there is room for the journal and its reserve.
func (d *doctor) disk() {
	free, err := vfs.OS{}.Free(existing(d.cfg.Data))
	least := int64(d.cfg.Store.MinFreeDisk) + int64(d.cfg.Store.DiskReserve) + 2*int64(d.cfg.Store.SegmentSize)
	switch {
	case err != nil:
		d.say("disk", doubtful, "", "how much room there is cannot be told: %v", err)
	case free < least:
		d.say("disk", broken, "make room, or take another disk: store.minFreeDisk, store.diskReserve and two segments have to fit", "%s are free, %s are needed to begin with", sizeOf(free), sizeOf(least))
	case free < 8*least:
		d.say("disk", doubtful, "watch it: treadmq check store", "%s are free", sizeOf(free))
	default:
		d.say("disk", healthy, "", "%s are free", sizeOf(free))
	}
}

// spareFiles are open files beside those of connections: segments, index, listeners.
const spareFiles = 1200

func (d *doctor) files() {
	most, known := openFilesLimit()
	need := uint64(d.cfg.Stomp.MaxConnections + spareFiles)
	switch {
	case !known:
		d.say("limits", doubtful, "", "the limit of open files cannot be told")
	case most < need:
		d.say("limits", doubtful, fmt.Sprintf("raise it (LimitNOFILE= of the unit, ulimit -n) to %d or lower stomp.maxConnections", need),
			"%d open files are allowed; %d connections and the store need %d", most, d.cfg.Stomp.MaxConnections, need)
	default:
		d.say("limits", healthy, "", "%d open files are allowed", most)
	}
}

// oldestClock is before this program was written.
var oldestClock = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)

// clock is whether it stands right: against this program's age and what was written last.
func (d *doctor) clock() {
	const fix = "set it (timedatectl, chrony): expiry, schedules and certificates go by it"
	now := time.Now()
	if now.Before(oldestClock) {
		d.say("clock", broken, fix, "it says %s", now.Format(time.RFC3339))
		return
	}
	var newest time.Time
	filepath.WalkDir(d.cfg.Data, func(_ string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			if info, err := e.Info(); err == nil && info.ModTime().After(newest) {
				newest = info.ModTime()
			}
		}
		return nil // what cannot be looked at is not looked at
	})
	if ahead := newest.Sub(now); ahead > time.Minute {
		d.say("clock", broken, fix, "it says %s, and the data were written %s later", now.Format(time.RFC3339), ahead.Round(time.Second))
		return
	}
	d.say("clock", healthy, "", "%s", now.Format(time.RFC3339))
}

// ports is whether the addresses can be listened on, or a broker of ours does. Members of a
// group that follow do not listen for clients.
func (d *doctor) ports() {
	role := ""
	if d.running != nil && d.running.Replication != "" {
		_, role, _ = askReady(d.running)
	}
	for _, l := range d.cfg.Listeners() {
		if following(role) {
			d.say("port", healthy, "", "%s is open while this member is master; it is %s", l.Address, role)
			continue
		}
		d.port(l.Address)
	}
	if d.cfg.Console.Listen != "" {
		d.port(d.cfg.Console.Listen)
	}
}

func (d *doctor) port(addr string) {
	if d.running != nil {
		if _, port, _ := net.SplitHostPort(addr); port == "0" {
			return // it has taken a free one
		}
		conn, err := net.DialTimeout("tcp", reachable(addr), 5*time.Second)
		if err != nil {
			d.say("port", broken, "look at the log, or restart the broker", "the broker runs, and %s does not answer: %v", addr, err)
			return
		}
		conn.Close()
		d.say("port", healthy, "", "%s answers", addr)
		return
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		d.say("port", broken, "end what listens there, or give another address", "cannot listen on %s: %v", addr, err)
		return
	}
	l.Close()
	d.say("port", healthy, "", "%s is free", addr)
}

// realm is whether users can log in, and not everybody.
func (d *doctor) realm() {
	users, problems, weak, err := realm.Check(d.cfg.Realm, d.cfg.Groups)
	_, missing := os.Stat(d.cfg.Realm)
	switch {
	case errors.Is(missing, fs.ErrNotExist):
		d.say("users", healthy, "", "%s is not there; the first start writes it, with a password of its own", d.cfg.Realm)
		return
	case err != nil:
		d.say("users", broken, "give the user of the broker the right to read it", "%v", err)
		return
	}
	for _, p := range problems {
		d.say("users", broken, "treadmq realm hash makes an entry that works", "%s", p)
	}
	status := healthy
	next := ""
	if len(weak) > 0 {
		status, next = doubtful, "treadmq realm hash USER makes a better entry"
		if d.exposed() {
			status = broken
		}
		d.say("users", status, next, "%s easily read or guessed, and listeners %s", plural(len(weak), "password"), map[bool]string{true: "are open to the network", false: "are on loopback only"}[d.exposed()])
	}
	d.say("users", healthy, "", "%s can log in", plural(len(users), "user"))
}

// exposed reports whether anything listens on other addresses than loopback.
func (d *doctor) exposed() bool {
	for _, l := range d.cfg.Listeners() {
		if !loopback(l.Address) {
			return true
		}
	}
	return d.cfg.Console.Listen != "" && !loopback(d.cfg.Console.Listen)
}

func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	ip := net.ParseIP(host)
	return err == nil && (host == "localhost" || ip != nil && ip.IsLoopback())
}

// certificates is whether those that are configured can be used, and for how long.
func (d *doctor) certificates() {
	for _, c := range []struct{ where, cert, key string }{
		{"stomp.tls", d.cfg.Stomp.TLS.Cert, d.cfg.Stomp.TLS.Key}, {"console.tls", d.cfg.Console.TLS.Cert, d.cfg.Console.TLS.Key},
	} {
		if c.cert == "" {
			continue
		}
		if _, err := loadTLS(c.cert, c.key, "", "", ""); err != nil {
			d.say("certificate", broken, "check the files of "+c.where, "%s: %v", c.where, err)
			continue
		}
		until, err := certificateEnd(c.cert)
		days := int(time.Until(until).Hours() / 24)
		switch {
		case err != nil:
			d.say("certificate", broken, "check the files of "+c.where, "%s: %v", c.where, err)
		case time.Now().After(until):
			d.say("certificate", broken, "get a new one; treadmq reload takes it up", "%s has ended on %s", c.where, until.Format(time.DateOnly))
		case days < 30:
			d.say("certificate", doubtful, "get a new one; treadmq reload takes it up", "%s ends in %s", c.where, plural(days, "day"))
		default:
			d.say("certificate", healthy, "", "%s is good until %s", c.where, until.Format(time.DateOnly))
		}
	}
}

func certificateEnd(file string) (time.Time, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return time.Time{}, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return time.Time{}, fmt.Errorf("%s is not PEM", file)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return time.Time{}, err
	}
	return cert.NotAfter, nil
}

// zooKeeper is whether enough of its servers can be reached.
func (d *doctor) zooKeeper(ctx context.Context) {
	if !d.cfg.Replicated.Enabled {
		return
	}
	servers := d.cfg.Replicated.ZKAddress
	missing := []string{}
	for _, addr := range servers {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		cancel()
		if err != nil {
			missing = append(missing, err.Error())
			continue
		}
		conn.Close()
	}
	switch {
	case len(missing) == 0:
		d.say("zookeeper", healthy, "", "%s reached", plural(len(servers), "server"))
	case 2*len(missing) >= len(servers):
		d.say("zookeeper", broken, "start ZooKeeper, or correct zkAddress: without most of its servers no master is elected", "%s", strings.Join(missing, "; "))
	default:
		d.say("zookeeper", doubtful, "bring it back before another one fails", "%s", strings.Join(missing, "; "))
	}
}
