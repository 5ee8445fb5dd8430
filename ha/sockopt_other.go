//go:build !linux

package ha

import (
	"net"
	"time"
)

func setUserTimeout(net.Conn, time.Duration) {}
