package frame

import "strings"

// Version is a version of the protocol. The zero Version is 1.0, which is what a client without an accept-version
// header speaks.
type Version uint8

// The versions this package speaks, lowest first.
const (
	V10 Version = iota
	V11
	V12
)

// SupportedVersions is the value of the version header in the ERROR frame that answers a client with which no version
// is in common.
const SupportedVersions = "1.0,1.1,1.2"

// String returns the version as it stands in headers, such as "1.2".
func (v Version) String() string {
	switch v {
	case V10:
		return "1.0"
	case V11:
		return "1.1"
	case V12:
		return "1.2"
	}
	return "unknown"
}

// Negotiate picks the highest version that the value of an accept-version header names and this package speaks. Spaces
// around the names are ignored, as are versions it does not know. It reports false if none is in common. STOMP 1.2,
// Protocol Negotiation.
func Negotiate(accept string) (Version, bool) {
	best, found := V10, false
	for name := range strings.SplitSeq(accept, ",") {
		v, ok := parseVersion(strings.Trim(name, " \t\r"))
		if ok && (!found || v > best) {
			best, found = v, true
		}
	}
	return best, found
}

func parseVersion(name string) (Version, bool) {
	switch name {
	case "1.0":
		return V10, true
	case "1.1":
		return V11, true
	case "1.2":
		return V12, true
	}
	return V10, false
}
