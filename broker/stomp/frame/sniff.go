package frame

import "strings"

// Protocol is a guess at what a new connection speaks.
type Protocol uint8

// The protocols that Sniff tells apart.
const (
	ProtocolUnknown Protocol = iota
	ProtocolSTOMP
	ProtocolTLS
	ProtocolHTTP
)

// String returns the protocol's name.
func (p Protocol) String() string {
	switch p {
	case ProtocolSTOMP:
		return "STOMP"
	case ProtocolTLS:
		return "TLS"
	case ProtocolHTTP:
		return "HTTP"
	}
	return "unknown"
}

// sniffLen is how many bytes decide; fewer are compared as far as they go.
const sniffLen = 5

// Sniff guesses the protocol from the first bytes of a connection, best at least four. Line ends before a STOMP frame
// are skipped. No bytes, or only line ends, are unknown.
func Sniff(b []byte) Protocol {
	if len(b) > 0 && b[0] == 0x16 { // TLS record of type handshake
		return ProtocolTLS
	}
	s := strings.TrimLeft(string(b[:min(len(b), 64)]), "\r\n")
	if s == "" {
		return ProtocolUnknown
	}
	s = s[:min(len(s), sniffLen)]
	for _, command := range []string{"CONNECT\n", "CONNECT\r", "STOMP"} {
		if strings.HasPrefix(command, s) {
			return ProtocolSTOMP
		}
	}
	for _, method := range []string{"GET ", "HEAD ", "POST ", "PUT ", "OPTIONS "} {
		if strings.HasPrefix(s, method[:min(len(method), sniffLen)]) {
			return ProtocolHTTP
		}
	}
	return ProtocolUnknown
}
