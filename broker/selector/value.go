package selector

import (
	"math"
	"strconv"
	"unsafe"
)

// Kind is the type of a Value.
type Kind uint8

const (
	// KindNull is the kind of a missing value.
	KindNull Kind = iota
	// KindBool is a boolean.
	KindBool
	// KindInt is a signed 64-bit integer; the narrower integers of JMS widen to it.
	KindInt
	// KindFloat is a float64; JMS float widens to it.
	KindFloat
	// KindString is text.
	KindString

	// kindInvalid is the result of arithmetic on what is not a number: present, but equal to and ordered with nothing.
	kindInvalid
)

// Value is what an identifier or literal stands for. The zero Value is Null. A Value needs no allocation.
type Value struct {
	kind Kind
	num  uint64 // the bits of a Bool (0 or 1), Int or Float
	str  string
}

// Bool returns a boolean value.
func Bool(b bool) Value {
	if b {
		return Value{kind: KindBool, num: 1}
	}
	return Value{kind: KindBool}
}

// Int returns an integer value.
func Int(i int64) Value { return Value{kind: KindInt, num: uint64(i)} }

// Float returns a floating-point value.
func Float(f float64) Value { return Value{kind: KindFloat, num: math.Float64bits(f)} }

// String returns a text value.
func String(s string) Value { return Value{kind: KindString, str: s} }

// Bytes returns a text value that shares the memory of b, so that headers need not be copied to be looked at. The bytes must
// not change while the Value is in use.
func Bytes(b []byte) Value {
	return Value{kind: KindString, str: unsafe.String(unsafe.SliceData(b), len(b))}
}

// Kind returns the type of the value.
func (v Value) Kind() Kind { return v.kind }

// Bool returns the value of a KindBool, false for other kinds.
func (v Value) Bool() bool { return v.kind == KindBool && v.num != 0 }

// Int returns the value of a KindInt, 0 for other kinds.
func (v Value) Int() int64 {
	if v.kind != KindInt {
		return 0
	}
	return int64(v.num)
}

// Float returns the value of a KindFloat or KindInt as a float64, 0 for other kinds.
func (v Value) Float() float64 {
	switch v.kind {
	case KindFloat:
		return math.Float64frombits(v.num)
	case KindInt:
		return float64(int64(v.num))
	}
	return 0
}

// Text returns the value of a KindString, "" for other kinds.
func (v Value) Text() string { return v.str }

func (v Value) isNumber() bool { return v.kind == KindInt || v.kind == KindFloat }

// asNumber converts text to a number, and what is neither a number nor NULL to an invalid value.
func (v Value) asNumber(convert bool) Value {
	switch {
	case v.isNumber() || v.kind == KindNull:
		return v
	case v.kind == KindString && convert:
		if n, ok := parseNumber(v.str); ok {
			return n
		}
	}
	return Value{kind: kindInvalid}
}

// like converts text to the type of the value it is compared with; text that does not read so becomes invalid.
func (v Value) like(other Kind) Value {
	if v.kind != KindString {
		return v
	}
	switch other {
	case KindInt, KindFloat:
		return v.asNumber(true)
	case KindBool:
		if b, ok := parseBool(v.str); ok {
			return Bool(b)
		}
		return Value{kind: kindInvalid}
	}
	return v
}

// parseBool reads "true" or "false" in any case.
func parseBool(s string) (b, ok bool) {
	switch {
	case equalFold(s, "true"):
		return true, true
	case equalFold(s, "false"):
		return false, true
	}
	return false, false
}

// equalFold compares s with an ASCII word in lower case. Unlike strings.EqualFold it does not take a long s for an s.
func equalFold(s, word string) bool {
	if len(s) != len(word) {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != word[i] {
			return false
		}
	}
	return true
}

// maxNumberText is the length beyond which header text is not taken for a number: nothing sensible is longer, and
// reading digits without bound would let one header slow every selector.
const maxNumberText = 512

// parseNumber reads header text that is a decimal number from its first to its last byte. Whole numbers that fit are Int,
// everything else is Float.
func parseNumber(s string) (Value, bool) {
	if v, ok := parseShort(s); ok {
		return v, true
	}
	if len(s) == 0 || len(s) > maxNumberText {
		return Value{}, false
	}
	unsigned, negative := s, false
	if s[0] == '-' || s[0] == '+' {
		unsigned, negative = s[1:], s[0] == '-'
	}
	d, ok := scanDecimal(unsigned)
	if !ok {
		return Value{}, false
	}
	if d.whole {
		if i, fits := d.int(negative); fits {
			return Int(i), true
		}
	}
	return Float(d.float(s, negative)), true
}

// powersOfTen are exact.
var powersOfTen = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}

// parseShort is parseNumber for what most numbers look like: at most 15 digits and a point, no sign. It returns false for all
// else. The digits as a whole number are exact as a float64, and so the quotient is correctly rounded.
func parseShort(s string) (Value, bool) {
	if len(s) == 0 || len(s) > len(powersOfTen)-1 {
		return Value{}, false
	}
	mantissa, point := int64(0), -1
	for i := range len(s) {
		switch c := s[i]; {
		case isDigit(c):
			mantissa = mantissa*10 + int64(c-'0')
		case c == '.' && point < 0:
			point = i
		default:
			return Value{}, false
		}
	}
	switch {
	case point < 0:
		return Int(mantissa), true
	case len(s) == 1: // the point alone
		return Value{}, false
	}
	return Float(float64(mantissa) / powersOfTen[len(s)-1-point]), true
}

// decimal is what a scan finds out about an unsigned decimal number.
type decimal struct {
	mantissa uint64 // all digits without the point, if exact
	exact    bool   // mantissa did not overflow
	fraction int    // digits behind the point
	exponent bool   // there is an exponent
	whole    bool   // digits only
}

// scanDecimal reads an unsigned decimal: digits with at most one point and an optional exponent, at least one digit before
// the exponent.
func scanDecimal(s string) (d decimal, ok bool) {
	d.exact = true
	i := d.digits(s)
	digits := i
	if d.whole = i == len(s); d.whole {
		return d, digits > 0
	}
	if s[i] == '.' {
		d.fraction = d.digits(s[i+1:])
		digits += d.fraction
		i += 1 + d.fraction
	}
	d.exponent = i < len(s)
	return d, digits > 0 && (!d.exponent || isExponent(s[i:]))
}

// digits adds the digits at the front of s to the mantissa and returns their number.
func (d *decimal) digits(s string) int {
	const most = (math.MaxUint64 - 9) / 10
	mantissa, i := d.mantissa, 0
	for ; i < len(s) && isDigit(s[i]); i++ {
		if mantissa > most {
			d.exact = false // and the mantissa stays, so that it remains so
			continue
		}
		mantissa = mantissa*10 + uint64(s[i]-'0')
	}
	d.mantissa = mantissa
	return i
}

// int returns a whole number as an int64 and reports whether it fits.
func (d *decimal) int(negative bool) (int64, bool) {
	switch {
	case !d.exact:
		return 0, false
	case negative:
		return -int64(d.mantissa), d.mantissa <= -math.MinInt64
	}
	return int64(d.mantissa), d.mantissa <= math.MaxInt64
}

// float returns the number that s spells with its sign. A mantissa and a power of ten that are exact as float64 have a
// correctly rounded quotient, which spares the general conversion; that one can fail only for its range, and gives an
// infinity then.
func (d *decimal) float(s string, negative bool) float64 {
	const exactMantissa, exactPower = 1 << 53, 22
	if !d.exact || d.exponent || d.mantissa > exactMantissa || d.fraction > exactPower {
		f, _ := strconv.ParseFloat(s, 64)
		return f
	}
	f := float64(d.mantissa) / math.Pow10(d.fraction)
	if negative {
		return -f
	}
	return f
}

// isExponent reports whether s is e or E, an optional sign, and digits.
func isExponent(s string) bool {
	if s[0] != 'e' && s[0] != 'E' {
		return false
	}
	s = s[1:]
	if s != "" && (s[0] == '+' || s[0] == '-') {
		s = s[1:]
	}
	for i := range len(s) {
		if !isDigit(s[i]) {
			return false
		}
	}
	return s != ""
}
