//go:build unix

// Command cluster runs a replicated group on this machine to try things with: one
// ZooKeeper and three brokers on loopback, until Ctrl-C. With --demo it shows that what
// was acknowledged survives a kill -9 of the master.
//
//	make cluster
//	make cluster-demo
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"treadmq/scripts/internal/group"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

func run() error {
	binary := flag.String("binary", "bin/treadmq", "the broker's program")
	data := flag.String("data", "data/cluster", "folder of all data; it is kept, so that the group goes on with the next start")
	shift := flag.Int("shift", 0, "added to every port")
	demo := flag.Bool("demo", false, "kill the master under load, check that everything arrives, and end")
	messages := flag.Int("messages", 2000, "of the demonstration")
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("%q is not understood; see --help", flag.Arg(0))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if *demo {
		return demonstrate(ctx, *binary, *messages)
	}
	return keepRunning(ctx, *binary, *data, *shift)
}

// keepRunning runs a group until ctx ends, or one of its processes does.
func keepRunning(ctx context.Context, binary, data string, shift int) error {
	dir, err := filepath.Abs(data)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	unlock, err := lock(filepath.Join(dir, "lock"))
	if err != nil {
		return fmt.Errorf("a group runs on %s already: %w", dir, err)
	}
	defer unlock()
	realm, password, err := users(binary, dir)
	if err != nil {
		return err
	}
	fmt.Println("starting ZooKeeper and three brokers; Ctrl-C stops all of them")
	g, err := group.Start(ctx, group.Options{Binary: binary, Dir: dir, Realm: realm, Ports: func(i int) (int, int, int) {
		return 61613 + 10*i + shift, 8161 + 10*i + shift, 61619 + 10*i + shift
	}})
	if err != nil {
		return err
	}
	defer g.Stop()
	master, err := g.Master(ctx)
	if err != nil {
		return err
	}
	tell(g, master, password, filepath.Join(dir, "admin.password"))
	ended := make(chan *group.Member)
	for _, m := range g.Members {
		go watch(ctx, m, ended)
	}
	for {
		select {
		case <-ctx.Done():
			fmt.Println("\nstopping")
			return nil
		case m := <-ended:
			fmt.Printf("broker %s has ended; the others go on. Its log: %s\n", m.Name, m.LogFile())
		}
	}
}

// watch tells of the end of a member that nobody asked to end.
func watch(ctx context.Context, m *group.Member, ended chan<- *group.Member) {
	select {
	case <-ctx.Done():
	case <-m.Exited():
		select {
		case <-ctx.Done():
		case ended <- m:
		}
	}
}

func tell(g *group.Group, master *group.Member, password, secret string) {
	fmt.Println()
	for _, m := range g.Members {
		role := ""
		if m == master {
			role = "   <- master"
		}
		fmt.Printf("broker %s   stomp %s   console %sadmin/   pid %d%s\n", m.Name, m.Stomp, m.Console, m.Pid(), role)
	}
	fmt.Printf("zookeeper  %s\n", g.ZooKeeper.Addrs()[0])
	fmt.Printf("login      admin / %s\n\n", password)
	fmt.Printf("failover URL: %s\n\n", g.URL("?initialReconnectDelay=100"))
	fmt.Printf("try: bin/treadmq send orders --body hello --url '%s'\n", g.URL("?initialReconnectDelay=100"))
	fmt.Printf("     bin/treadmq cluster status --console %s --user admin --password-file %s\n", strings.TrimSuffix(master.Console, "/"), secret)
	fmt.Printf("     kill -9 %d\n", master.Pid())
}

// users makes a realm file with a generated password, unless there is one.
func users(binary, dir string) (realm, password string, err error) {
	realm, secret := filepath.Join(dir, "realm.properties"), filepath.Join(dir, "admin.password")
	known, err := os.ReadFile(secret)
	if err == nil {
		return realm, strings.TrimSpace(string(known)), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", "", err
	}
	password = rand.Text()
	if err := os.WriteFile(secret, []byte(password+"\n"), 0o600); err != nil {
		return "", "", err
	}
	line, err := exec.Command(binary, "realm", "hash", "admin", "--roles", "admin", "--password-file", secret).Output()
	if err != nil {
		return "", "", fmt.Errorf("hash a password: %w", err)
	}
	return realm, password, os.WriteFile(realm, line, 0o600)
}
