package broker

import (
	"strings"
	"unicode/utf8"
)

// Kind is the kind of a destination.
type Kind uint8

// Kinds of destinations. The numbers are in stored messages and in the catalog.
const (
	Queue     Kind = 1
	Topic     Kind = 2
	TempQueue Kind = 3
	TempTopic Kind = 4
	// DurableSub is a durable subscription: a queue that topics feed.
	DurableSub Kind = 5
	// Service is what the broker itself answers: what is sent there is a request and is not kept, see SendTarget.
	Service Kind = 200
)

func (k Kind) String() string {
	switch k {
	case Queue:
		return "queue"
	case Topic:
		return "topic"
	case TempQueue:
		return "temporary queue"
	case TempTopic:
		return "temporary topic"
	case DurableSub:
		return "durable subscription"
	case Service:
		return "service"
	}
	return "unknown kind"
}

// IsQueue reports whether one message goes to one consumer.
func (k Kind) IsQueue() bool { return k == Queue || k == TempQueue || k == DurableSub }

// IsTemporary reports whether the destination belongs to a connection.
func (k Kind) IsTemporary() bool { return k == TempQueue || k == TempTopic }

// Destination is where a message is sent to: a kind and a name, never a path of
// some wire protocol. The name of a temporary destination is unique in the broker.
type Destination struct {
	Kind Kind
	Name string
}

// String is the form that JMS selectors and log lines use: queue://NAME.
func (d Destination) String() string {
	switch d.Kind {
	case Queue:
		return "queue://" + d.Name
	case Topic:
		return "topic://" + d.Name
	case TempQueue:
		return "temp-queue://" + d.Name
	case TempTopic:
		return "temp-topic://" + d.Name
	case DurableSub:
		return "dsub://" + d.Name
	}
	return d.Name
}

// MaxNameLength is the longest name of a destination in bytes (semantics 2.1).
const MaxNameLength = 1024

// CheckName says what is wrong with a destination's name, or nil. Wildcards are
// allowed where a subscription names what it wants to hear.
func CheckName(name string, wildcards bool) error {
	switch {
	case name == "":
		return Errorf(CodeBadDestination, "the destination has no name")
	case len(name) > MaxNameLength:
		return Errorf(CodeBadDestination, "the destination's name has %d bytes, more than %d", len(name), MaxNameLength)
	case !utf8.ValidString(name):
		return Errorf(CodeBadDestination, "the destination's name is not UTF-8")
	}
	for _, r := range name {
		if r < ' ' || r == 0x7f {
			return Errorf(CodeBadDestination, "the destination's name %q has a control character", name)
		}
	}
	if !wildcards && IsPattern(name) {
		return errWildcard(name)
	}
	return nil
}

func errWildcard(name string) error {
	return Errorf(CodeBadDestination, "%q has a wildcard; a message goes to named destinations only", name)
}

// Check is CheckName for a name of this kind.
func (d Destination) Check(wildcards bool) error {
	if err := CheckName(d.Name, true); err != nil || wildcards || !d.IsPattern() {
		return err
	}
	return errWildcard(d.Name)
}

// IsPattern reports whether the name has wildcards. In names of queues # is none (semantics 2.1).
func (d Destination) IsPattern() bool {
	return IsPattern(d.Name) && (d.Kind != Queue || hasOthers(d.Name))
}

// hasOthers reports whether a name has wildcards other than #.
func hasOthers(name string) bool {
	for seg := range strings.SplitSeq(name, ".") {
		if seg == "*" || strings.HasPrefix(seg, ">") {
			return true
		}
	}
	return false
}

// Covers reports whether the name, a pattern, matches another of its kind.
func (d Destination) Covers(name string) bool { return matchName(d.Name, name, d.Kind != Queue) }

// IsPattern reports whether a name has wildcards: a segment that is * or #, or >.
func IsPattern(name string) bool {
	if !strings.ContainsAny(name, "*>#") {
		return false
	}
	for seg := range strings.SplitSeq(name, ".") {
		if seg == "*" || seg == "#" || strings.HasPrefix(seg, ">") {
			return true
		}
	}
	return false
}

// MatchName reports whether a pattern matches a name: "." separates, * is one
// segment, > the rest including nothing (text after it is ignored), # zero or
// more segments at any place (semantics 2.1).
func MatchName(pattern, name string) bool { return matchName(pattern, name, true) }

// matchName is MatchName; hash says whether # is a wildcard.
func matchName(pattern, name string, hash bool) bool {
	for {
		p, prest, pmore := strings.Cut(pattern, ".")
		if strings.HasPrefix(p, ">") {
			return true
		}
		if p == "#" && hash {
			if !pmore {
				return true
			}
			for rest, more := name, true; more; {
				if matchName(prest, rest, hash) {
					return true
				}
				_, rest, more = strings.Cut(rest, ".")
			}
			return restIsEmpty(prest, hash)
		}
		n, nrest, nmore := strings.Cut(name, ".")
		if p != "*" && p != n {
			return false
		}
		switch {
		case !pmore:
			return !nmore
		case !nmore:
			return restIsEmpty(prest, hash)
		}
		pattern, name = prest, nrest
	}
}

// restIsEmpty reports whether a pattern also matches no segment at all.
func restIsEmpty(pattern string, hash bool) bool {
	for seg := range strings.SplitSeq(pattern, ".") {
		if strings.HasPrefix(seg, ">") {
			return true
		}
		if seg != "#" || !hash {
			return false
		}
	}
	return true
}
