// Package cron reads five-field cron expressions and says when they are due.
//
// It is our own because the input comes from the network: it has no panics to guard
// against, every loop is bounded, and it says what happens when clocks are changed
// (see Next). Two hundred lines are less than the checks around a library.
package cron

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// MaxLength is the longest expression in bytes.
const MaxLength = 256

// Expr is a parsed expression: minute, hour, day of month, month, day of week.
// It does not change.
type Expr struct {
	minute, hour, day, month, weekday uint64 // bit n: the value n matches
	anyDay, anyWeekday                bool   // the field was * or ?
}

// field describes one of the five.
type field struct {
	name     string
	min, max int
	names    []string // of the values from min on
}

func fields() [5]field {
	return [5]field{
		{"minute", 0, 59, nil},
		{"hour", 0, 23, nil},
		{"day of month", 1, 31, nil},
		{"month", 1, 12, []string{"JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"}},
		{"day of week", 0, 7, []string{"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"}},
	}
}

// Parse reads an expression: five fields separated by blanks, each * or ?, a value, a
// range a-b, a step */n, a-b/n or a/n, or several of those with commas. Months and days
// of the week may be named (JAN, MON); Sunday is 0 or 7. As in cron, a day matches one of
// the two fields for days when both are given. An expression that is never due is refused.
func Parse(text string) (*Expr, error) {
	if len(text) > MaxLength {
		return nil, fmt.Errorf("it has %d bytes, more than %d", len(text), MaxLength)
	}
	parts := strings.Fields(text)
	if len(parts) != 5 {
		return nil, fmt.Errorf("it has %d fields; there must be five: minute, hour, day of month, month, day of week", len(parts))
	}
	var bits [5]uint64
	for i, f := range fields() {
		var err error
		if bits[i], err = f.parse(parts[i]); err != nil {
			return nil, fmt.Errorf("the field %s is %q: %w", f.name, parts[i], err)
		}
	}
	e := &Expr{minute: bits[0], hour: bits[1], day: bits[2], month: bits[3], weekday: bits[4],
		anyDay: parts[2] == "*" || parts[2] == "?", anyWeekday: parts[4] == "*" || parts[4] == "?"}
	if e.weekday&(1<<7) != 0 {
		e.weekday |= 1
	}
	if e.Next(time.Unix(0, 0).UTC()).IsZero() {
		return nil, fmt.Errorf("no month that is named has such a day")
	}
	return e, nil
}

func (f *field) parse(text string) (uint64, error) {
	var bits uint64
	for part := range strings.SplitSeq(text, ",") {
		b, err := f.part(part)
		if err != nil {
			return 0, err
		}
		bits |= b
	}
	return bits, nil
}

// part reads one element of a list.
func (f *field) part(text string) (uint64, error) {
	span, stepText, stepped := strings.Cut(text, "/")
	lo, hi := f.min, f.max
	if f.names != nil && f.max == 7 {
		hi = 6 // 7 is another name of 0
	}
	if span != "*" && span != "?" {
		from, to, ranged := strings.Cut(span, "-")
		var err error
		if lo, err = f.value(from); err != nil {
			return 0, err
		}
		switch {
		case ranged:
			if hi, err = f.value(to); err != nil {
				return 0, err
			}
		case !stepped:
			hi = lo
		}
	}
	step := 1
	if stepped {
		n, err := strconv.ParseUint(stepText, 10, 8)
		if err != nil || n == 0 || int(n) > f.max {
			return 0, fmt.Errorf("the step %q is not a number from 1 to %d", stepText, f.max)
		}
		step = int(n)
	}
	if lo > hi {
		return 0, fmt.Errorf("the range %q ends before it begins", span)
	}
	var bits uint64
	for v := lo; v <= hi; v += step {
		bits |= 1 << v
	}
	return bits, nil
}

func (f *field) value(text string) (int, error) {
	for i, name := range f.names {
		if strings.EqualFold(text, name) {
			return f.min + i, nil
		}
	}
	n, err := strconv.ParseUint(text, 10, 8)
	if err != nil || int(n) < f.min || int(n) > f.max {
		return 0, fmt.Errorf("%q is not a number from %d to %d", text, f.min, f.max)
	}
	return int(n), nil
}

// matchesDay reports whether the expression is due on a day at all.
func (e *Expr) matchesDay(day int, month time.Month, weekday time.Weekday) bool {
	if e.month&(1<<month) == 0 {
		return false
	}
	d, w := e.day&(1<<day) != 0, e.weekday&(1<<weekday) != 0
	switch {
	case e.anyDay:
		return w
	case e.anyWeekday:
		return d
	}
	return d || w
}
