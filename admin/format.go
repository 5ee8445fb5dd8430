package admin

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// How figures are shown. The script of the pages shows them in the same way.

// formatNumber writes an integer with commas between thousands.
func formatNumber(v any) string {
	s := fmt.Sprint(v)
	digits, sign := s, ""
	if strings.HasPrefix(s, "-") {
		digits, sign = s[1:], "-"
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}

// formatBytes writes a size in binary units.
func formatBytes(v float64) string {
	if v < 0 {
		return "?"
	}
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
	i := 0
	for v >= 1024 && i < len(units)-1 {
		v /= 1024
		i++
	}
	if i == 0 || v >= 100 {
		return strconv.FormatFloat(math.Floor(v), 'f', 0, 64) + " " + units[i]
	}
	return strconv.FormatFloat(math.Floor(v*10)/10, 'f', 1, 64) + " " + units[i]
}

// formatRate writes messages per second.
func formatRate(v float64) string {
	switch {
	case v < 0.05:
		return "0/s"
	case v < 100:
		return strconv.FormatFloat(math.Floor(v*10+0.5)/10, 'f', 1, 64) + "/s"
	}
	return formatNumber(int64(v+0.5)) + "/s"
}

// formatMilliSpan is a span of time given in milliseconds.
func formatMilliSpan(ms int64) string {
	if ms%1000 != 0 && ms < 10_000 {
		return strconv.FormatInt(ms, 10) + " ms"
	}
	return formatSpan(ms / 1000)
}

// formatSpan writes a time span in its two largest units.
func formatSpan(seconds int64) string {
	parts := []struct {
		unit string
		size int64
	}{{"d", 86400}, {"h", 3600}, {"min", 60}, {"s", 1}}
	for i, p := range parts {
		if seconds < p.size && p.size > 1 {
			continue
		}
		text := strconv.FormatInt(seconds/p.size, 10) + " " + p.unit
		if i+1 < len(parts) {
			next := parts[i+1]
			if n := seconds % p.size / next.size; n > 0 {
				text += " " + strconv.FormatInt(n, 10) + " " + next.unit
			}
		}
		return text
	}
	return "0 s"
}

func formatTime(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") + " UTC" }

// formatMoment is formatTime to the millisecond, for what follows quickly on something else.
func formatMoment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05.000") }

func formatMillis(ms int64) string { return formatTime(time.UnixMilli(ms)) }
