package admin

import (
	"strconv"
	"strings"
	"time"
)

// Charts are drawn by the server, so that they are there without a script. The script of the pages draws them anew in
// the same way, and shows the values under the pointer.

// chart is a drawing of figures over time, all lines in one scale.
type chart struct {
	Kind   string // how a value is shown: "num" or "rate"
	Lines  []chartLine
	Area   bool // what is below the line is filled
	Points int  // that there is room for
	Labels []string
	Top    string // of the scale, in words, and the half of it
	Half   string
	Span   string // from when on
	Middle string
	Now    string // the latest values, in words, for those who do not see it
}

type chartLine struct {
	Class, Field, Points, Ground string
}

// chartOf draws lines of a history.
func chartOf(kind string, h *historyView, of int, lines ...chartLine) chart {
	step := time.Duration(h.IntervalSeconds * float64(time.Second))
	length := step * time.Duration(spans[of].points)
	show, least := formatRate, 1.0
	if kind == "num" {
		show, least = func(v float64) string { return formatNumber(int64(v)) }, 2
	}
	c := chart{Kind: kind, Points: spans[of].points, Area: len(lines) == 1, Span: formatSpan(int64(length.Seconds())), Middle: formatSpan(int64(length.Seconds() / 2))}
	top := least
	for _, l := range lines {
		for _, v := range h.values(l.Field) {
			top = max(top, v)
		}
	}
	top = roundTop(top)
	var now []string
	for _, l := range lines {
		values := h.values(l.Field)
		l.Points, l.Ground = chartPoints(values, top, c.Points)
		c.Lines = append(c.Lines, l)
		if len(values) > 0 {
			now = append(now, show(values[len(values)-1]))
		}
	}
	c.Top, c.Half, c.Now = show(top), show(top/2), strings.Join(now, ", ")
	return c
}

// depthChart and rateChart are the charts of a destination and of the broker.
func depthChart(h *historyView, of int) chart {
	return chartOf("num", h, of, chartLine{Class: "depth", Field: "history.messages"})
}

func rateChart(h *historyView, of int) chart {
	return chartOf("rate", h, of, chartLine{Class: "in", Field: "history.rateIn"}, chartLine{Class: "out", Field: "history.rateOut"})
}

func (h *historyView) values(field string) []float64 {
	switch field {
	case "history.messages":
		return h.Messages
	case "history.rateIn":
		return h.RateIn
	}
	return h.RateOut
}

// roundTop is the round number that a scale ends at. Its half is a whole one, but for 1.
func roundTop(v float64) float64 {
	e := 1.0
	for e*10 < v {
		e *= 10
	}
	for _, m := range []float64{1, 2, 4, 6, 8} {
		if m*e >= v {
			return m * e
		}
	}
	return 10 * e
}

// chartPoints places values in a box of 100 by 100, the newest at the right, and the corners of what is below them.
func chartPoints(values []float64, top float64, room int) (line, ground string) {
	if len(values) < 2 {
		return "", ""
	}
	step := 100 / float64(room-1)
	x := 100 - step*float64(len(values)-1)
	b := make([]byte, 0, 12*len(values))
	for i, v := range values {
		if i > 0 {
			b = append(b, ' ')
		}
		b = strconv.AppendFloat(b, x+step*float64(i), 'f', 1, 64)
		b = append(b, ',')
		b = strconv.AppendFloat(b, 100-100*v/top, 'f', 1, 64)
	}
	line = string(b)
	return line, strconv.FormatFloat(x, 'f', 1, 64) + ",100 " + line + " 100.0,100"
}

// sparkline is the small picture of a list's row, made of heights, in a box of 58 by 22.
func sparkline(heights []int) string {
	if len(heights) < 2 {
		return ""
	}
	b := make([]byte, 0, 6*len(heights))
	for i, h := range heights {
		if i > 0 {
			b = append(b, ' ')
		}
		b = strconv.AppendInt(b, int64(2*(sparkPoints-len(heights)+i)), 10)
		b = append(b, ',')
		b = strconv.AppendInt(b, int64(sparkHeight+1-h), 10)
	}
	return string(b)
}

// rangeLink leads to the same page with the figures of another span.
type rangeLink struct {
	URL, Text string
	Current   bool
}

// rangeLinks are the spans that a page can show; own makes its addresses.
func (s *Server) rangeLinks(of int, own func(query ...string) string, query ...string) []rangeLink {
	var list []rangeLink
	for i, sp := range spans {
		length := sp.step * time.Duration(sp.points)
		if sp.step == 0 {
			length = s.opt.SampleInterval * time.Duration(sp.points)
		}
		query := append(query[:len(query):len(query)], "range", sp.name)
		list = append(list, rangeLink{own(query...), formatSpan(int64(length.Seconds())), i == of})
	}
	return list
}
