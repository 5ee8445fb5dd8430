package conf

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

const maxName = 1024 // bytes, of a destination name

// checkName refuses what cannot be a destination name.
func checkName(s string) error {
	if s == "" || len(s) > maxName || !utf8.ValidString(s) {
		return fmt.Errorf("a destination name has 1 to %d bytes of UTF-8", maxName)
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r == ',' || unicode.IsControl(r) }) {
		return fmt.Errorf("%q has a comma or a control character in it, which no destination name may have", s)
	}
	if strings.ContainsAny(s, "*>") {
		return fmt.Errorf("%q is a pattern: a single destination has to be named", s)
	}
	return nil
}

// checkPattern refuses patterns that cannot match what their author means.
func checkPattern(s string) error {
	if s == "" {
		return errors.New(`the pattern is empty: write ">" for all`)
	}
	segments := strings.Split(s, ".")
	for i, segment := range segments {
		switch {
		case segment == ">" && i < len(segments)-1:
			return fmt.Errorf("%q has > before its end: > stands for the whole rest", s)
		case segment == ">" || segment == "*":
		case strings.ContainsAny(segment, "*>"):
			return fmt.Errorf("%q has a wildcard inside a segment: * and > stand for whole segments between dots", s)
		}
	}
	plain := strings.NewReplacer("*", "x", ">", "x").Replace(s)
	return checkName(plain)
}

// checkPrefix takes the prefix of virtual topics' queues.
func checkPrefix(s string) error {
	stem, ok := strings.CutSuffix(s, ".")
	if !ok || strings.Contains(s, ">") || checkPattern(stem) != nil {
		return fmt.Errorf("%q is no prefix: write segments with a dot behind each (Consumer.*. is one)", s)
	}
	return nil
}

// matches reports whether the pattern covers the name, by ActiveMQ's rules: *
// is exactly one segment, a last > is any number of segments, also none.
func matches(pattern, name string) bool {
	for {
		segment, restOfPattern, morePattern := strings.Cut(pattern, ".")
		if segment == ">" {
			return true
		}
		word, restOfName, moreName := strings.Cut(name, ".")
		if segment != "*" && segment != word {
			return false
		}
		if !morePattern || !moreName {
			return !moreName && (!morePattern || restOfPattern == ">")
		}
		pattern, name = restOfPattern, restOfName
	}
}

// compareSpecificity orders patterns that match a same name, the least specific
// first. It is 0 only for equal patterns.
func compareSpecificity(a, b string) int {
	for {
		segmentA, restA, moreA := strings.Cut(a, ".")
		segmentB, restB, moreB := strings.Cut(b, ".")
		if d := rank(segmentA) - rank(segmentB); d != 0 {
			return d
		}
		switch {
		case !moreA && !moreB:
			return 0
		case !moreA: // the name ends here, and b goes on with >
			return 1
		case !moreB:
			return -1
		}
		a, b = restA, restB
	}
}

func rank(segment string) int {
	switch segment {
	case ">":
		return 0
	case "*":
		return 1
	}
	return 2
}
