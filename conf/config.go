package conf

import "time"

// Config is a whole configuration. [Default] gives one that runs, [Load] one
// that is read and validated. Fields are documented where the keys are: see
// [Doc], or treadmq.toml. A limit of zero means "no limit" unless the key says
// otherwise. A Config is not changed after Load and may be shared.
type Config struct {
	BrokerName string
	Data       string // directory
	Realm      string // path of the realm file
	Groups     string // path of a file of groups; empty: none
	Anonymous  Choice

	Log     Log
	Stomp   Stomp
	Store   Store
	Memory  Memory
	Trash   Trash
	Console Console

	Replicated Replicated

	Virtual  VirtualTopics
	Policies Policies
	Forwards []Forward

	Authorization Authorization

	origins map[string]Origin // of every key that is not at its default
	sealed  map[string]bool   // keys whose values stood there encrypted: those are not shown
}

// Log is section [log].
type Log struct {
	Level      string // debug, info, warn, error
	Format     string // auto, text, json
	File       string // empty: standard error
	MaxSize    Size
	MaxBackups int
	MaxAge     time.Duration
}

// Stomp is section [stomp].
type Stomp struct {
	Listen                   []string // host:port?options; see Config.Listeners
	Dialect                  string   // activemq, rabbitmq, artemis, apollo
	PathSeparatorAlias       string
	ServerHeader             string // empty: treadmq/<version>
	MaxBody                  Size
	MaxHeaderLine            Size
	MaxHeaders               int
	ConnectTimeout           time.Duration
	MaxConnections           int
	MaxConnectionsPerAddress int
	MaxConnectionsPerUser    int
	WriteTimeout             time.Duration
	OutboundLimit            Size
	UnfinishedLimit          Size
	HeartBeatMin             time.Duration
	HeartBeatMax             time.Duration
	MaxSubscriptions         int
	MaxTransactions          int
	MaxTransactionOps        int
	MaxTransactionBytes      Size
	ErrorPolicy              string // strict, soft
	ClientIDConflict         string // probe, reject, steal
	WebSocket                WebSocket
	TLS                      StompTLS
}

// WebSocket is section [stomp.webSocket].
type WebSocket struct {
	Enabled     bool
	Origins     []string
	Compression bool
}

// StompTLS is section [stomp.tls].
type StompTLS struct {
	Cert       string // path of PEM; empty: no TLS
	Key        string
	ClientCA   string
	ClientAuth string // none, want, need
	CertUser   string // none, cn, dn, san
	CertOnly   bool
	CertUsers  string // path of a file of names; empty: the name is the user
	MinVersion string // 1.2, 1.3
	Required   bool
}

// Store is section [store].
type Store struct {
	SegmentSize        Size
	CheckpointInterval time.Duration
	TailLimit          Size
	CompactBelow       float64 // ratio of live bytes, 0 to 1
	CompactRate        Size    // per second
	DiskReserve        Size
	MinFreeDisk        Size
	StoreUsage         Size
	TempUsage          Size
	SlowSync           time.Duration
	IndexCache         Size
}

// VirtualTopics is section [virtualTopics].
type VirtualTopics struct {
	Topics        []string // patterns; none: no virtual topics
	Prefix        string
	SelectorAware bool
}

// Memory is section [memory].
type Memory struct {
	Limit             Size
	QueueWindow       Size
	QueueDelayed      int
	TopicSubscription Size
}

// Trash is section [trash].
type Trash struct {
	Keep     time.Duration // 0: no trash
	Messages int
	Bytes    Size
}

// Console is section [console].
type Console struct {
	Listen         string // host:port; empty: no console
	SessionIdle    time.Duration
	SessionMax     time.Duration
	PathPrefix     string
	HTTPS          bool // a proxy in front speaks HTTPS
	TrustedOrigins []string
	ReadOnly       bool // nothing can be changed
	TLS            ConsoleTLS
}

// ConsoleTLS is section [console.tls].
type ConsoleTLS struct {
	Cert string // path of PEM; empty: plain HTTP
	Key  string
}

// Choice is a setting that may be left open.
type Choice int8

// The values of [Choice]. Auto is spelled "auto" in the file.
const (
	Auto Choice = iota
	Yes
	No
)

// String is auto, true or false.
func (c Choice) String() string {
	switch c {
	case Yes:
		return "true"
	case No:
		return "false"
	}
	return "auto"
}

func choice(field *Choice) value {
	of := func(b bool) Choice {
		if b {
			return Yes
		}
		return No
	}
	return cell[Choice]{codec[Choice]{
		parse: func(s string) (Choice, error) {
			if s == "auto" {
				return Auto, nil
			}
			b, err := parseBool(s)
			return of(b), err
		},
		native: func(v any) (Choice, error) {
			b, ok := v.(bool)
			if !ok {
				return Auto, errKind
			}
			return of(b), nil
		},
		format: Choice.String,
		literal: func(c Choice) string {
			if c == Auto {
				return `"auto"`
			}
			return c.String()
		},
		wants: `true, false or "auto"`,
	}, field}
}

// Default is the configuration when nothing is configured.
func Default() *Config {
	return &Config{
		BrokerName: "treadmq",
		Data:       "./data",
		Realm:      "conf/jetty-realm.properties",
		Log: Log{
			Level:      "info",
			Format:     "auto",
			MaxSize:    100 * MiB,
			MaxBackups: 5,
			MaxAge:     30 * day,
		},
		Stomp: Stomp{
			Listen:              []string{"127.0.0.1:61613", "127.0.0.1:61614", "127.0.0.1:61616"},
			Dialect:             "activemq",
			WebSocket:           WebSocket{Enabled: true},
			MaxBody:             100 * MiB,
			MaxHeaderLine:       64 * KiB,
			MaxHeaders:          1000,
			ConnectTimeout:      10 * time.Second,
			MaxConnections:      100000,
			WriteTimeout:        30 * time.Second,
			OutboundLimit:       1 * MiB,
			UnfinishedLimit:     256 * MiB,
			HeartBeatMin:        500 * time.Millisecond,
			HeartBeatMax:        300 * time.Second,
			MaxSubscriptions:    10000,
			MaxTransactions:     64,
			MaxTransactionOps:   65536,
			MaxTransactionBytes: 128 * MiB,
			ErrorPolicy:         "strict",
			ClientIDConflict:    "probe",
			TLS:                 StompTLS{ClientAuth: "none", CertUser: "none", MinVersion: "1.2"},
		},
		Store: Store{
			SegmentSize:        64 * MiB,
			CheckpointInterval: time.Second,
			TailLimit:          32 * MiB,
			CompactBelow:       0.5,
			CompactRate:        32 * MiB,
			DiskReserve:        96 * MiB,
			MinFreeDisk:        64 * MiB,
			SlowSync:           time.Second,
			IndexCache:         16 * MiB,
		},
		Memory: Memory{
			Limit:             128 * MiB,
			QueueWindow:       8 * MiB,
			QueueDelayed:      100_000,
			TopicSubscription: 1 * MiB,
		},
		Trash:   Trash{Keep: 10 * time.Minute, Messages: 1_000_000, Bytes: 1 * GiB},
		Virtual: VirtualTopics{Topics: []string{"VirtualTopic.>"}, Prefix: "Consumer.*."},
		Console: Console{
			Listen:      "127.0.0.1:8161",
			SessionIdle: 30 * time.Minute,
			SessionMax:  12 * time.Hour,
		},
		Replicated: defaultReplicated(),
	}
}
