package stomp

import (
	"flag"
	"fmt"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
)

var idle = flag.Int("idle", 1000, "idle connections in TestIdleConnections")

// maxIdleMemory is what an idle connection with heart-beats may cost, in bytes of resident memory.
const maxIdleMemory = 20 << 10

// raceDetector is set if the race detector is on, which takes memory for itself.
var raceDetector bool

// rawClient is a connected socket that costs this process nothing but a descriptor.
func rawClient(t *testing.T, addr *net.TCPAddr, send string) int {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	to := &syscall.SockaddrInet4{Port: addr.Port}
	copy(to.Addr[:], addr.IP.To4())
	if err := syscall.Connect(fd, to); err != nil {
		t.Fatal(err)
	}
	if _, err := syscall.Write(fd, []byte(send)); err != nil {
		t.Fatal(err)
	}
	return fd
}

// resident is the process's resident memory in bytes after a collection.
func resident(t *testing.T) int {
	debug.FreeOSMemory()
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	var size, pages int
	if _, err := fmt.Sscan(string(b), &size, &pages); err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

func TestIdleConnections(t *testing.T) {
	r := newRig(t)
	addr, err := net.ResolveTCPAddr("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	before := resident(t)
	buf := make([]byte, 4096)
	for i := range *idle {
		fd := rawClient(t, addr, "CONNECT\naccept-version:1.2\nheart-beat:30000,30000\n\n\x00"+
			"SUBSCRIBE\nid:0\ndestination:/topic/idle\nreceipt:s\n\n\x00")
		defer syscall.Close(fd)
		for got := ""; !strings.Contains(got, "RECEIPT"); {
			n, err := syscall.Read(fd, buf)
			if err != nil || n == 0 {
				t.Fatal(i, n, err)
			}
			got += string(buf[:n])
		}
	}
	after := resident(t)
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	each := (after - before) / *idle
	t.Logf("%d connections: %d bytes each (heap in use %d, stacks %d, goroutines %d)", *idle, each,
		int(m.HeapInuse) / *idle, int(m.StackInuse) / *idle, runtime.NumGoroutine())
	if each > maxIdleMemory && !raceDetector {
		t.Errorf("an idle connection costs %d bytes, more than %d", each, maxIdleMemory)
	}
}
