package admin

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"time"

	"treadmq/broker"
	"treadmq/notice"
)

// User is who logged in.
type User struct {
	Name  string
	Roles []string // RoleAdmin, RoleUser, RoleViewer; others mean nothing here
	Stamp string   // another one ends the user's sessions: the password was changed. Empty where that cannot be told

	lacks []permission // taken from what the roles grant, see Server.narrow
}

// Authenticator checks logins. It is called from many goroutines and may take its time.
type Authenticator interface {
	// Authenticate checks a login from a remote address (host without port). The
	// answer is held back for wait, whatever it is, up to 10 s.
	Authenticate(user, password, remote string) (u User, ok bool, wait time.Duration)
}

// UserSource is what an Authenticator may offer besides: the present roles and stamp of
// a user, asked for at each request of a session, so that who was removed, or whose
// password was changed, is out at once.
type UserSource interface {
	Lookup(user string) (User, bool)
}

// UserLister is what an Authenticator may offer besides: the users for people to look at.
type UserLister interface {
	Users() []UserInfo
	// Problems are lines of the realm that cannot be used, in words.
	Problems() []notice.Notice
}

// UserInfo is a user of the realm, without the password.
type UserInfo struct {
	Name  string        `json:"name"`
	Roles []string      `json:"roles"`
	Weak  notice.Notice `json:"weak,omitzero"` // why the password is easily read or guessed
}

// PolicyRule is a rule of the configuration.
type PolicyRule struct {
	Kind     string          `json:"kind"` // "queue" or "topic"
	Pattern  string          `json:"pattern"`
	Where    string          `json:"where"` // file and line
	Settings []PolicySetting `json:"settings"`
}

// PolicySetting is a key that holds and where its value comes from.
type PolicySetting struct {
	Key    string `json:"key"`
	Value  string `json:"value"`
	Origin string `json:"origin"` // "default" or a rule
}

// ConfigEntry is a key of the configuration.
type ConfigEntry struct {
	Key     string `json:"key"`
	Value   string `json:"value"`
	Default string `json:"default"`
	Origin  string `json:"origin"`
	Doc     string `json:"doc"`
}

// Listener is an address the broker can be reached at.
type Listener struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	TLS     bool   `json:"tls"`
}

// BrokerInfo is what the broker's package cannot know about the process.
type BrokerInfo struct {
	Name      string
	Version   string
	Role      string // "alone", or that of a member of a group: see ClusterStatus
	DataDir   string
	Listeners []Listener
	// WeakUsers have passwords that can be read or guessed, while others than this
	// machine can reach the broker. Every page warns of them.
	WeakUsers []string
}

// Options shape a Server. Fields that are zero mean their default.
type Options struct {
	Broker *broker.Broker // required, but for a Switch
	Auth   Authenticator  // required
	// Tokens are what machines log in with to the API. Default: none.
	Tokens *Tokens
	// Links show a page to whoever has them. Default: none can be made.
	Links *Links
	// UI holds the folders assets, templates and texts. Required.
	UI fs.FS
	// Info describes the process. Required.
	Info func() BrokerInfo
	// Ready says whether clients are taken, and why not. Default: they are.
	Ready func() (ok bool, reasons []notice.Notice)
	// Policy returns what holds for a destination, to be shown. Default: not shown.
	Policy func(broker.Destination) broker.Policy
	// Rules are the policies of the configuration; Settings is what holds for one
	// destination and where each of it comes from. Default: none, not shown.
	Rules    func() []PolicyRule
	Settings func(broker.Destination) []PolicySetting
	// Config lists the keys of the configuration, without secrets. Default: not shown.
	Config func() []ConfigEntry

	// Cluster is the group that the broker is a member of. Default: it stands alone.
	Cluster Cluster

	Logger *slog.Logger // default: discard
	// Audit gets a line for each change. Default: Logger.
	Audit *slog.Logger

	SessionIdle time.Duration // without a page being asked for; default 30 min
	SessionMax  time.Duration // from login; default 12 h
	MaxSessions int           // logins at the same time; default 1,000
	// PathPrefix is the path under which a reverse proxy shows the console, for
	// example /treadmq; the proxy may strip it or not. Default: none.
	PathPrefix string
	// TrustedOrigins are other origins that may send changes, as scheme://host[:port].
	TrustedOrigins []string
	// Secure says that browsers come by HTTPS: cookies are for HTTPS only.
	Secure bool

	// ReadOnly refuses everything that changes something, whatever the roles.
	ReadOnly bool

	MaxBody        int64 // bytes of a request that sends a message; default 16 MiB
	MaxConnections int   // HTTP connections at the same time; default 512
	// SampleInterval is the time between two measurements of rates. Default 2 s.
	SampleInterval time.Duration
	// Now is the clock of what is shown. Default time.Now.
	Now func() time.Time
}

// Defaults of Options.
const (
	defaultSessionIdle    = 30 * time.Minute
	defaultSessionMax     = 12 * time.Hour
	defaultMaxSessions    = 1000
	defaultMaxBody        = 16 << 20
	defaultMaxConnections = 512
	defaultSampleInterval = 2 * time.Second
)

// Bounds that are not worth an option.
const (
	perHost           = 4                // the part of MaxConnections that one address may have is one in so many
	maxFormBody       = 64 << 10         // bytes of a request that sends no message
	maxRequestHeaders = 32 << 10         // bytes
	maxHeld           = 64               // logins whose answers are held back at the same time
	maxLoginWait      = 10 * time.Second // for which one is
	maxStreams        = 64               // streams of events at the same time
	maxShown          = 16               // of them by links
	maxHeavy          = 4                // requests that carry bodies of messages at the same time
	maxSendHeaders    = 1000             // headers of a message
	maxPage           = 1000             // items of a page of a list
	defaultPage       = 100
	maxBrowseBytes    = 8 << 20          // of messages in one page of a browser, unless one is larger
	commitTimeout     = 30 * time.Second // for which a request waits for the disk
	maxReason         = 500              // bytes of the reason for closing a connection
	maxCredential     = 1024             // bytes of a user's name or password
)

func (o Options) withDefaults() (Options, error) {
	if o.Auth == nil || o.UI == nil || o.Info == nil {
		return o, errors.New("admin: Options.Auth, UI and Info are required")
	}
	if p := o.PathPrefix; p != "" && (!strings.HasPrefix(p, "/") || strings.HasSuffix(p, "/") || strings.ContainsAny(p, "%?#;\"<> ")) {
		return o, fmt.Errorf("admin: the path prefix %q must be a plain path with a slash in front and none at the end", p)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Audit == nil {
		o.Audit = o.Logger
	}
	if o.Ready == nil {
		o.Ready = func() (bool, []notice.Notice) { return true, nil }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	setDefault(&o.SessionIdle, defaultSessionIdle)
	setDefault(&o.SessionMax, defaultSessionMax)
	setDefault(&o.MaxSessions, defaultMaxSessions)
	setDefault(&o.MaxBody, defaultMaxBody)
	setDefault(&o.MaxConnections, defaultMaxConnections)
	setDefault(&o.SampleInterval, defaultSampleInterval)
	return o, nil
}

func setDefault[T int | int64 | time.Duration](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}
