package conf

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Size is a number of bytes. Zero mostly means "no limit"; each key says so.
type Size int64

// Units of [Size]. The ones with an "i", and single letters, are powers of 1024.
const (
	KiB Size = 1 << 10
	MiB Size = 1 << 20
	GiB Size = 1 << 30
	TiB Size = 1 << 40
)

// sizeUnits are the accepted suffixes in lower case. A single letter counts in
// powers of 1024, as ActiveMQ and the JVM do.
var sizeUnits = [...]struct {
	suffix string
	bytes  Size
}{
	{"kib", KiB}, {"mib", MiB}, {"gib", GiB}, {"tib", TiB},
	{"kb", 1e3}, {"mb", 1e6}, {"gb", 1e9}, {"tb", 1e12},
	{"k", KiB}, {"m", MiB}, {"g", GiB}, {"t", TiB},
	{"b", 1}, {"", 1},
}

// ParseSize reads a whole number of bytes with an optional unit: "64MiB" and
// "64m" are 64 times 1,048,576 bytes, "64MB" is 64,000,000, "4096" and "4096b"
// are bytes. Capitals do not matter and a blank may precede the unit.
func ParseSize(text string) (Size, error) {
	text = strings.TrimSpace(text)
	digits := strings.TrimLeft(text, "0123456789")
	number, suffix := text[:len(text)-len(digits)], strings.ToLower(strings.TrimSpace(digits))
	if number == "" {
		return 0, fmt.Errorf("%q is not a size: write for example 64MiB, 64k or 4096", text)
	}
	for _, unit := range sizeUnits {
		if unit.suffix != suffix {
			continue
		}
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil || n > math.MaxInt64/int64(unit.bytes) {
			return 0, fmt.Errorf("%q is more bytes than fit in 63 bits", text)
		}
		return Size(n) * unit.bytes, nil
	}
	return 0, fmt.Errorf("%q has no known unit: use k, KiB, MiB, GiB, TiB (powers of 1024) or KB, MB, GB, TB (powers of 1000)", text)
}

// String gives the shortest exact form that [ParseSize] reads back.
func (s Size) String() string {
	for _, unit := range [...]struct {
		name  string
		bytes Size
	}{{"TiB", TiB}, {"GiB", GiB}, {"MiB", MiB}, {"KiB", KiB}} {
		if s != 0 && s%unit.bytes == 0 {
			return strconv.FormatInt(int64(s/unit.bytes), 10) + unit.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

const day = 24 * time.Hour

// ParseDuration reads a time such as "500ms", "30s", "1h30m", "7d" or "1d12h".
// It is [time.ParseDuration] plus days, without a sign. A bare number is
// refused unless it is 0, because its unit would be a guess.
func ParseDuration(text string) (time.Duration, error) {
	text = strings.TrimSpace(text)
	bad := fmt.Errorf("%q is not a time: write for example 500ms, 30s, 5m, 12h or 7d", text)
	rest := text
	var days time.Duration
	if before, after, found := strings.Cut(text, "d"); found {
		n, err := strconv.ParseUint(before, 10, 31)
		if err != nil {
			return 0, bad
		}
		if n > uint64(math.MaxInt64/day) {
			return 0, fmt.Errorf("%q is too long a time", text)
		}
		if days, rest = time.Duration(n)*day, after; rest == "" {
			return days, nil
		}
	}
	d, err := time.ParseDuration(rest)
	if err != nil || d < 0 || strings.HasPrefix(rest, "+") {
		if _, numErr := strconv.Atoi(text); numErr == nil {
			return 0, fmt.Errorf("%q has no unit: write for example %sms or %ss", text, text, text)
		}
		return 0, bad
	}
	if d > math.MaxInt64-days {
		return 0, fmt.Errorf("%q is too long a time", text)
	}
	return days + d, nil
}

// parseMillis is [ParseDuration] that takes a bare number as milliseconds, the
// unit of the ActiveMQ key of the same name.
func parseMillis(text string) (time.Duration, error) {
	if n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64); err == nil {
		return millis(n)
	}
	return ParseDuration(text)
}

func millis(n int64) (time.Duration, error) {
	if n < 0 {
		return 0, errors.New("a time cannot be negative")
	}
	if n > math.MaxInt64/int64(time.Millisecond) {
		return 0, fmt.Errorf("%d ms is too long a time", n)
	}
	return time.Duration(n) * time.Millisecond, nil
}

// FormatDuration gives a short exact form that [ParseDuration] reads back.
func FormatDuration(d time.Duration) string {
	if d != 0 && d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
