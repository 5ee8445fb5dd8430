package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"treadmq/conf"
)

// limits is a range of a monitoring plugin, as a flag: it alerts outside, or with @ inside.
type limits struct {
	text     string // as it was given; "" = never alerts
	plain    string // the same with bounds as plain numbers, as figures have it
	from, to float64
	inside   bool
	parse    func(string) (float64, error) // of a bound; nil: a number
}

func (l *limits) String() string { return l.text }
func (l *limits) Type() string   { return "range" }

// Set reads [@][from:][to]; from is 0 without one, ~ is minus infinity.
func (l *limits) Set(text string) (err error) {
	parse := l.parse
	if parse == nil {
		parse = func(s string) (float64, error) { return strconv.ParseFloat(s, 64) }
	}
	rest, inside := strings.CutPrefix(text, "@")
	from, to, two := strings.Cut(rest, ":")
	if !two {
		from, to = "0", rest
	}
	l.from, l.to, l.inside = 0, math.Inf(1), inside
	switch {
	case from == "~":
		l.from = math.Inf(-1)
	case from != "" && from != "0":
		l.from, err = parse(from)
	}
	if err == nil && to != "" {
		l.to, err = parse(to)
	}
	if err != nil || math.IsNaN(l.from) || math.IsNaN(l.to) || l.from > l.to || rest == "" {
		return fmt.Errorf("must be a range such as 10, 10: or 5:20")
	}
	l.text, l.plain = text, text
	if l.parse != nil {
		l.plain = plainRange(l.from, l.to, inside, two)
	}
	return nil
}

// plainRange writes a range with numbers; two says that it has a colon.
func plainRange(from, to float64, inside, two bool) string {
	text := ""
	if inside {
		text = "@"
	}
	if math.IsInf(from, -1) {
		text += "~:"
	} else if two {
		text += number(from) + ":"
	}
	if !math.IsInf(to, 1) {
		text += number(to)
	}
	return text
}

// alerts reports whether a value is one to be warned of.
func (l *limits) alerts(v float64) bool {
	return l.text != "" && (v >= l.from && v <= l.to) == l.inside
}

// seconds and bytes read bounds with units.
func seconds(text string) (float64, error) {
	d, err := conf.ParseDuration(text)
	return d.Seconds(), err
}

func bytesOf(text string) (float64, error) {
	n, err := conf.ParseSize(text)
	return float64(n), err
}
