package stomp

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// heard returns how many packets have come from the other end, acknowledgements too, false if that is not known.
func heard(nc net.Conn) (packets uint32, known bool) {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return 0, false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return 0, false
	}
	var info *unix.TCPInfo
	if e := raw.Control(func(fd uintptr) { info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) }); e != nil || err != nil {
		return 0, false
	}
	return info.Segs_in, true
}
