//go:build depshold

// Package treadmq only holds module requirements while the first packages are being written.
package treadmq

import (
	_ "github.com/HdrHistogram/hdrhistogram-go"
	_ "github.com/alexedwards/scs/v2"
	_ "github.com/coreos/go-systemd/v22/daemon"
	_ "github.com/go-stomp/stomp/v3"
	_ "github.com/go-stomp/stomp/v3/frame"
	_ "github.com/go-zookeeper/zk"
	_ "github.com/goccy/go-yaml"
	_ "github.com/google/go-cmp/cmp"
	_ "github.com/gorilla/mux"
	_ "github.com/pelletier/go-toml/v2"
	_ "github.com/schollz/progressbar/v3"
	_ "github.com/spf13/cobra"
	_ "github.com/spf13/cobra/doc"
	_ "github.com/syndtr/goleveldb/leveldb"
	_ "go.uber.org/goleak"
	_ "golang.org/x/crypto/bcrypt"
	_ "golang.org/x/sys/unix"
	_ "golang.org/x/term"
	_ "gopkg.in/natefinch/lumberjack.v2"
	_ "pgregory.net/rapid"
)
