package conf

import (
	"math"
	"time"
	"unicode"
)

// key is one row of the table of keys.
type key struct {
	name string // dotted: section, then camelCase
	doc  string // one paragraph, in plain text
	bind func(*Config) value
}

// section is a heading of the file, in the file's order. Keys whose name has no
// section come first, under the empty name.
type section struct {
	name string
	doc  string
}

func sections() []section {
	return []section{
		{"", ""},
		{"log", "Log: where it goes and how much of it."},
		{"stomp", "STOMP 1.0, 1.1 and 1.2. Every listener takes plain STOMP, and TLS when a certificate is set."},
		{"stomp.webSocket", "STOMP over WebSocket, for web pages, on every STOMP listener."},
		{"stomp.tls", "TLS on the STOMP listeners: the first byte of a connection tells TLS from plain STOMP."},
		{"store", "The journal and index under the data directory."},
		{"memory", "Memory for messages. Backlog beyond these limits stays on disk."},
		{"trash", "The trash: what is purged or deleted by hand can be undone for a while. Its messages take room on disk until then."},
		{"virtualTopics", "Virtual topics: what is sent to a topic also goes to the queues of its consumers."},
		{"console", "The web console and its API."},
		{"console.tls", "HTTPS for the console."},
		{replicatedSection, replicatedDoc},
		{replicatedSection + ".tls", "TLS between the members of a group, on both sides with certificates."},
	}
}

const (
	maxPort   = 65535
	most      = math.MaxInt32 // for counts
	mostBytes = 1 << 50       // 1 PiB, for sizes of stores
	forever   = 100 * 365 * day
)

// keys is the table of all keys outside [[policy]], in the order of the file.
func keys() []key {
	var all []key
	for _, part := range [][]key{topKeys(), logKeys(), stompKeys(), webSocketKeys(), stompTLSKeys(), storeKeys(), memoryKeys(), trashKeys(), virtualKeys(), consoleKeys(), replicatedKeys(), replicatedTLSKeys()} {
		all = append(all, part...)
	}
	return all
}

func topKeys() []key {
	return []key{
		{"brokerName", "Name of this broker in the console, the log and statistics: letters, digits, dot, dash and underscore.",
			func(c *Config) value { return text(&c.BrokerName, checkBrokerName) }},
		{"data", "Directory of the store. It is created when it is missing.",
			func(c *Config) value { return text(&c.Data, notEmpty) }},
		{"realm", "Users, passwords and roles, in Jetty's properties format: `username: password [,rolename ...]`. When the file is missing, the first start writes one with a generated admin password.",
			func(c *Config) value { return text(&c.Realm, notEmpty) }},
		{"groups", "File of groups as ActiveMQ's groups.properties, `group=user,user`: each group is a role of its users, besides those of the realm file. With it users.properties of ActiveMQ can be the realm file as it is. Followed like the realm file. Empty: none.",
			func(c *Config) value { return text(&c.Groups, anything) }},
		{"anonymous", "Whether STOMP clients may connect without a login. \"auto\": only while every STOMP listener is bound to loopback. true: always. false: never.",
			func(c *Config) value { return choice(&c.Anonymous) }},
	}
}

func logKeys() []key {
	return []key{
		{"log.level", "Least level that is written: debug, info, warn or error.",
			func(c *Config) value { return word(&c.Log.Level, "debug", "info", "warn", "error") }},
		{"log.format", "text, json, or auto: text on a terminal and JSON elsewhere.",
			func(c *Config) value { return word(&c.Log.Format, "auto", "text", "json") }},
		{"log.file", "File to write to, rotated by size. Empty: standard error.",
			func(c *Config) value { return text(&c.Log.File, anything) }},
		{"log.maxSize", "Size at which the log file is rotated.",
			func(c *Config) value { return size(&c.Log.MaxSize, MiB, TiB) }},
		{"log.maxBackups", "How many rotated files are kept. 0: all.",
			func(c *Config) value { return whole(&c.Log.MaxBackups, 0, most) }},
		{"log.maxAge", "How long rotated files are kept, in whole days. 0: for ever.",
			func(c *Config) value { return span(&c.Log.MaxAge, 0, forever) }},
	}
}

func stompKeys() []key {
	return []key{
		{"stomp.listen", "Addresses to listen on, as host:port. An empty host means every interface. Port 0 takes a free one. Behind it may stand what is to differ on this listener: host:port?dialect=rabbitmq&webSocket=false&pathSeparatorAlias=/&proxyProtocol=false&maxConnections=1000. With proxyProtocol=true the listener takes connections from proxies only that say who their client is (PROXY protocol, versions 1 and 2); let nobody else reach it.",
			func(c *Config) value { return list(&c.Stomp.Listen, checkListener) }},
		{"stomp.dialect", "Whose rules hold where brokers contradict each other: activemq, rabbitmq, artemis or apollo. See stomp.md for what differs. A reload takes effect for new connections.",
			func(c *Config) value { return word(&c.Stomp.Dialect, dialects()...) }},
		{"stomp.pathSeparatorAlias", "A character that clients may write for the dot between the segments of a destination's name, for example /. Empty: none.",
			func(c *Config) value { return text(&c.Stomp.PathSeparatorAlias, optional(checkSeparator)) }},
		{"stomp.serverHeader", "Text of the server header in CONNECTED. Empty: TreadMQ/<version>. Some client libraries choose their dialect by it, for example ActiveMQ/5.19.",
			func(c *Config) value { return text(&c.Stomp.ServerHeader, checkServerHeader) }},
		{"stomp.maxBody", "Largest message body.",
			func(c *Config) value { return size(&c.Stomp.MaxBody, KiB, GiB) }},
		{"stomp.maxHeaderLine", "Longest header line of a frame.",
			func(c *Config) value { return size(&c.Stomp.MaxHeaderLine, 256, 16*MiB) }},
		{"stomp.maxHeaders", "Most headers in a frame.",
			func(c *Config) value { return whole(&c.Stomp.MaxHeaders, 16, 1<<20) }},
		{"stomp.connectTimeout", "Time from accepting a connection to a complete CONNECT frame, TLS handshake included.",
			func(c *Config) value { return span(&c.Stomp.ConnectTimeout, 100*time.Millisecond, time.Hour) }},
		{"stomp.maxConnections", "Most connections at a time, over all STOMP listeners. A listener may have a limit of its own, as an option of listen.",
			func(c *Config) value { return whole(&c.Stomp.MaxConnections, 1, most) }},
		{"stomp.maxConnectionsPerAddress", "Most connections at a time from one client address. 0: no limit.",
			func(c *Config) value { return whole(&c.Stomp.MaxConnectionsPerAddress, 0, most) }},
		{"stomp.maxConnectionsPerUser", "Most connections at a time of one user. Those without login are not counted. 0: no limit.",
			func(c *Config) value { return whole(&c.Stomp.MaxConnectionsPerUser, 0, most) }},
		{"stomp.writeTimeout", "A connection that takes no byte for this long is closed; its unacknowledged messages go back.",
			func(c *Config) value { return span(&c.Stomp.WriteTimeout, time.Second, time.Hour) }},
		{"stomp.outboundLimit", "Bytes waiting for a client that does not read them before the broker stops preparing more. One larger message may exceed it.",
			func(c *Config) value { return size(&c.Stomp.OutboundLimit, 16*KiB, GiB) }},
		{"stomp.unfinishedLimit", "Memory for frames that have not arrived completely, over all connections. At least maxBody.",
			func(c *Config) value { return size(&c.Stomp.UnfinishedLimit, MiB, TiB) }},
		{"stomp.heartBeatMin", "Shortest heart-beat interval that is agreed to.",
			func(c *Config) value { return span(&c.Stomp.HeartBeatMin, 10*time.Millisecond, day) }},
		{"stomp.heartBeatMax", "Longest heart-beat interval that is agreed to.",
			func(c *Config) value { return span(&c.Stomp.HeartBeatMax, 10*time.Millisecond, day) }},
		{"stomp.maxSubscriptions", "Most subscriptions of one connection.",
			func(c *Config) value { return whole(&c.Stomp.MaxSubscriptions, 1, most) }},
		{"stomp.maxTransactions", "Most open transactions of one connection.",
			func(c *Config) value { return whole(&c.Stomp.MaxTransactions, 1, most) }},
		{"stomp.maxTransactionOps", "Most frames in one transaction.",
			func(c *Config) value { return whole(&c.Stomp.MaxTransactionOps, 1, most) }},
		{"stomp.maxTransactionBytes", "Most bytes held by the open transactions of one connection.",
			func(c *Config) value { return size(&c.Stomp.MaxTransactionBytes, KiB, TiB) }},
		{"stomp.clientIdConflict", "What happens when a client connects with the client-id of a connection that is there: probe (the old one is sent a heart-beat; if its system does not answer within 3 seconds it is ended and the new one let in, otherwise the new one gets an ERROR; on Linux only, elsewhere it is reject), reject (the new one gets an ERROR, unless the old one ends at this moment) or steal (the old one gets it).",
			func(c *Config) value { return word(&c.Stomp.ClientIDConflict, "probe", "reject", "steal") }},
		{"stomp.errorPolicy", "strict: an ERROR frame ends the connection, as STOMP demands. soft: only errors that leave the connection unusable end it.",
			func(c *Config) value { return word(&c.Stomp.ErrorPolicy, "strict", "soft") }},
	}
}

func stompTLSKeys() []key {
	return []key{
		{"stomp.tls.cert", "Certificate chain, PEM. Setting it enables TLS on every STOMP listener.",
			func(c *Config) value { return text(&c.Stomp.TLS.Cert, anything) }},
		{"stomp.tls.key", "Private key of the certificate, PEM.",
			func(c *Config) value { return text(&c.Stomp.TLS.Key, anything) }},
		{"stomp.tls.clientCA", "Certificates of the authorities that client certificates are checked against, PEM.",
			func(c *Config) value { return text(&c.Stomp.TLS.ClientCA, anything) }},
		{"stomp.tls.clientAuth", "Client certificates: none, want (checked when given) or need.",
			func(c *Config) value { return word(&c.Stomp.TLS.ClientAuth, "none", "want", "need") }},
		{"stomp.tls.certUser", "User that a checked client certificate logs in as when CONNECT has no login: none, cn (common name), dn (whole distinguished name) or san (the first alternative name: of a host, else of mail, else a URI).",
			func(c *Config) value { return word(&c.Stomp.TLS.CertUser, "none", "cn", "dn", "san") }},
		{"stomp.tls.certOnly", "Only a certificate that names a user lets a client in; login and passcode are not looked at. Needs certUser. false: a login counts more than the certificate.",
			func(c *Config) value { return truth(&c.Stomp.TLS.CertOnly) }},
		{"stomp.tls.certUsers", "File that says which distinguished name is which user, as ActiveMQ's TextFileCertificateLoginModule reads it: one user=CN=name, OU=unit, O=organization on a line. With certUser = \"dn\"; a certificate that is not in it names nobody. Read again on reload. Empty: the distinguished name is the user.",
			func(c *Config) value { return text(&c.Stomp.TLS.CertUsers, anything) }},
		{"stomp.tls.minVersion", "Oldest TLS version that is accepted: 1.2 or 1.3.",
			func(c *Config) value { return word(&c.Stomp.TLS.MinVersion, "1.2", "1.3") }},
		{"stomp.tls.required", "Refuse plain STOMP on every listener.",
			func(c *Config) value { return truth(&c.Stomp.TLS.Required) }},
	}
}

func webSocketKeys() []key {
	return []key{
		{"stomp.webSocket.enabled", "Whether the STOMP listeners take WebSocket connections too. The first bytes of a connection tell them apart.",
			func(c *Config) value { return truth(&c.Stomp.WebSocket.Enabled) }},
		{"stomp.webSocket.origins", "Origins of web pages that may connect, for example https://shop.example.com or https://*.example.com; * alone: all. Pages of the broker's own host may always, on whatever port. What is not a browser sends no origin. A reload takes effect for new connections.",
			func(c *Config) value { return list(&c.Stomp.WebSocket.Origins, checkOriginPattern) }},
		{"stomp.webSocket.compression", "Compress what clients that offer permessage-deflate are sent, as all browsers do: less on the network for several times the processor's work. A reload takes effect for new connections.",
			func(c *Config) value { return truth(&c.Stomp.WebSocket.Compression) }},
	}
}

func storeKeys() []key {
	return []key{
		{"store.segmentSize", "Size of a journal file.",
			func(c *Config) value { return size(&c.Store.SegmentSize, MiB, 4*GiB) }},
		{"store.checkpointInterval", "Time between two writes of the index. A message acknowledged within it never touches the index.",
			func(c *Config) value { return span(&c.Store.CheckpointInterval, time.Millisecond, time.Minute) }},
		{"store.tailLimit", "Journal bytes not yet in the index that force a write of the index at once. Bounds the time of a start.",
			func(c *Config) value { return size(&c.Store.TailLimit, MiB, TiB) }},
		{"store.compactBelow", "A journal file with a smaller ratio of live bytes than this is compacted. 0: never.",
			func(c *Config) value { return fraction(&c.Store.CompactBelow, 0, 0.95) }},
		{"store.compactRate", "Most bytes a second that compaction rewrites.",
			func(c *Config) value { return size(&c.Store.CompactRate, 64*KiB, TiB) }},
		{"store.diskReserve", "Disk space kept aside so that consuming can go on when the disk is full.",
			func(c *Config) value { return size(&c.Store.DiskReserve, 0, mostBytes) }},
		{"store.minFreeDisk", "Persistent messages are refused while the disk has less free space than this. 0: until it is full.",
			func(c *Config) value { return size(&c.Store.MinFreeDisk, 0, mostBytes) }},
		{"store.storeUsage", "Most bytes of persistent messages in the store, looked at once a second; beyond it they are refused. Consuming goes on. 0: as many as the disk takes.",
			func(c *Config) value { return size(&c.Store.StoreUsage, 0, mostBytes) }},
		{"store.tempUsage", "The same for non-persistent messages on disk, which go there when memory is short. 0: as many as the disk takes.",
			func(c *Config) value { return size(&c.Store.TempUsage, 0, mostBytes) }},
		{"store.slowSync", "A sync of the journal that takes longer than this is logged. 0: never.",
			func(c *Config) value { return span(&c.Store.SlowSync, 0, time.Hour) }},
		{"store.indexCache", "Memory for blocks of the index.",
			func(c *Config) value { return size(&c.Store.IndexCache, MiB, TiB) }},
	}
}

func virtualKeys() []key {
	return []key{
		{"virtualTopics.topics", "Patterns of the topics that are virtual. An empty list: none.",
			func(c *Config) value { return list(&c.Virtual.Topics, checkPattern) }},
		{"virtualTopics.prefix", "What a consumer's queue has before the name of its topic: segments, each with a dot behind it, * for any. Consumer.A.VirtualTopic.X gets what VirtualTopic.X is sent.",
			func(c *Config) value { return text(&c.Virtual.Prefix, checkPrefix) }},
		{"virtualTopics.selectorAware", "Keep from a consumer's queue what none of its consumers selects; while it has none, what none of those selected that it had last. A queue that had no consumer since the broker started gets everything.",
			func(c *Config) value { return truth(&c.Virtual.SelectorAware) }},
	}
}

func memoryKeys() []key {
	return []key{
		{"memory.limit", "Bodies of queued messages kept in memory, over all queues.",
			func(c *Config) value { return size(&c.Memory.Limit, MiB, mostBytes) }},
		{"memory.queueWindow", "Bodies kept in memory for the head of one queue.",
			func(c *Config) value { return size(&c.Memory.QueueWindow, 64*KiB, mostBytes) }},
		{"memory.queueDelayed", "Messages of one queue that wait for their next delivery, in memory. A queue with more delivers nothing until one is due.",
			func(c *Config) value { return whole(&c.Memory.QueueDelayed, 1, most) }},
		{"memory.topicSubscription", "Messages kept for one topic subscription that reads slower than is published. The policy key evict says what happens beyond it.",
			func(c *Config) value { return size(&c.Memory.TopicSubscription, 16*KiB, mostBytes) }},
	}
}

func trashKeys() []key {
	return []key{
		{"trash.keep", "How long a purge or a deletion by the console, the API or a command can be undone. 0: not at all, what goes is gone at once.",
			func(c *Config) value { return span(&c.Trash.Keep, 0, 30*day) }},
		{"trash.messages", "Most messages in the trash. The oldest purges and deletions make room for new ones; what would not fit at all is refused unless undo is given up.",
			func(c *Config) value { return whole(&c.Trash.Messages, 0, most) }},
		{"trash.bytes", "Most bytes of messages in the trash.",
			func(c *Config) value { return size(&c.Trash.Bytes, 0, mostBytes) }},
	}
}

func consoleKeys() []key {
	return []key{
		{"console.listen", "Address of the console, as host:port. Empty: no console.",
			func(c *Config) value { return text(&c.Console.Listen, optional(checkAddress)) }},
		{"console.sessionIdle", "A login ends after this long without a request.",
			func(c *Config) value { return span(&c.Console.SessionIdle, time.Minute, 30*day) }},
		{"console.sessionMax", "A login ends after this long in any case.",
			func(c *Config) value { return span(&c.Console.SessionMax, time.Minute, 365*day) }},
		{"console.pathPrefix", "Path under which a reverse proxy shows the console, for example /treadmq.",
			func(c *Config) value { return text(&c.Console.PathPrefix, optional(checkPathPrefix)) }},
		{"console.https", "Browsers come by HTTPS although the console itself speaks HTTP, because a proxy in front has the certificate: cookies are for HTTPS only.",
			func(c *Config) value { return truth(&c.Console.HTTPS) }},
		{"console.trustedOrigins", "Other origins that may send changes, for example https://ops.example.com when a proxy changes the host or port.",
			func(c *Config) value { return list(&c.Console.TrustedOrigins, checkOrigin) }},
		{"console.readOnly", "The console and the API change nothing, whatever the role of who asks: no sending, receiving, purging, closing, and no handover. STOMP is not concerned.",
			func(c *Config) value { return truth(&c.Console.ReadOnly) }},
		{"console.tls.cert", "Certificate chain, PEM. Setting it makes the console speak HTTPS only.",
			func(c *Config) value { return text(&c.Console.TLS.Cert, anything) }},
		{"console.tls.key", "Private key of the certificate, PEM.",
			func(c *Config) value { return text(&c.Console.TLS.Key, anything) }},
	}
}

const envPrefix = "TREADMQ_"

// envName is the environment variable of a key: stomp.tls.clientCA gives
// TREADMQ_STOMP_TLS_CLIENT_CA.
func envName(key string) string {
	name := []rune(envPrefix)
	var previous rune
	for _, r := range key {
		switch {
		case r == '.':
			r = '_'
		case unicode.IsUpper(r) && unicode.IsLower(previous):
			name = append(name, '_')
		}
		name = append(name, unicode.ToUpper(r))
		previous = r
	}
	return string(name)
}
