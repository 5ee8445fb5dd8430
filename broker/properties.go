package broker

import (
	"encoding/binary"
	"math"
	"strconv"
	"unicode/utf8"
)

// PropType is the type of a property.
type PropType uint8

// Types of properties. The numbers are in stored messages.
const (
	PropNull PropType = iota
	PropBool
	PropInt8
	PropInt16
	PropInt32
	PropInt64
	PropFloat
	PropDouble
	PropChar
	PropString
	PropBytes
	PropDestination // kind byte and name; front ends show it in their own form
)

// Property is a typed property of a message. Numbers are in Num (float and double
// as their bits), strings and bytes in Bytes.
type Property struct {
	Name  []byte
	Type  PropType
	Num   int64
	Bytes []byte
}

// AppendText appends the property's value as STOMP shows it.
func (p *Property) AppendText(dst []byte) []byte {
	switch p.Type {
	case PropString, PropBytes:
		return append(dst, p.Bytes...)
	case PropNull:
		return dst
	case PropDestination:
		d, _ := p.Destination()
		return append(dst, d.String()...)
	}
	return appendNumber(dst, p)
}

func appendNumber(dst []byte, p *Property) []byte {
	switch p.Type {
	case PropBool:
		return strconv.AppendBool(dst, p.Num != 0)
	case PropChar:
		return utf8.AppendRune(dst, rune(p.Num))
	case PropFloat:
		return strconv.AppendFloat(dst, math.Float64frombits(uint64(p.Num)), 'g', -1, 32)
	case PropDouble:
		return strconv.AppendFloat(dst, math.Float64frombits(uint64(p.Num)), 'g', -1, 64)
	}
	return strconv.AppendInt(dst, p.Num, 10)
}

// Destination returns the value of a PropDestination.
func (p *Property) Destination() (Destination, bool) {
	if p.Type != PropDestination || len(p.Bytes) == 0 {
		return Destination{}, false
	}
	return Destination{Kind(p.Bytes[0]), string(p.Bytes[1:])}, true
}

// PropIter walks over properties.
type PropIter struct {
	Property
	left uint64
	rest []byte
}

// IterProperties returns an iterator over encoded properties, such as the
// overlay of a delivery.
func IterProperties(enc []byte) PropIter {
	n, rest := propertyCount(enc)
	return PropIter{left: n, rest: rest}
}

// propertyCount cuts the number of properties off; 0 if there is none.
func propertyCount(enc []byte) (n uint64, rest []byte) {
	n, w := binary.Uvarint(enc)
	if w <= 0 {
		return 0, nil
	}
	return n, enc[w:]
}

// Next moves to the next property.
func (it *PropIter) Next() bool {
	if it.left == 0 || len(it.rest) == 0 {
		return false
	}
	it.left--
	if it.short() {
		return true
	}
	t := PropType(it.rest[0])
	name, rest, ok := cutBytes(it.rest[1:])
	if !ok {
		it.left = 0
		return false
	}
	it.Property = Property{Name: name, Type: t}
	switch t {
	case PropNull:
	case PropString, PropBytes, PropDestination:
		it.Bytes, rest, ok = cutBytes(rest)
	case PropBool, PropInt8, PropInt16, PropInt32, PropInt64, PropChar:
		var w int
		it.Num, w = binary.Varint(rest)
		if ok = w > 0; ok {
			rest = rest[w:]
		}
	case PropFloat, PropDouble:
		if ok = len(rest) >= 8; ok {
			it.Num, rest = int64(binary.BigEndian.Uint64(rest)), rest[8:]
		}
	default:
		ok = false
	}
	if !ok {
		it.left = 0
		return false
	}
	it.rest = rest
	return true
}

// short reads the next property if it is the most common kind.
func (it *PropIter) short() bool {
	name, value, n := shortText(it.rest)
	if n > 0 {
		it.Property = Property{Name: name, Type: PropString, Bytes: value}
		it.rest = it.rest[n:]
	}
	return n > 0
}

// shortText takes the first of encoded properties apart if it is the most common kind: text, with lengths of one byte. n is its
// length, 0 if it is not.
func shortText(r []byte) (name, value []byte, n int) {
	if len(r) < 3 || PropType(r[0]) != PropString || r[1] >= 0x80 {
		return nil, nil, 0
	}
	at := 2 + int(r[1])
	if at >= len(r) || r[at] >= 0x80 {
		return nil, nil, 0
	}
	if n = at + 1 + int(r[at]); n > len(r) {
		return nil, nil, 0
	}
	return r[2:at], r[at+1 : n], n
}

// Properties builds an encoded list of properties.
type Properties struct {
	n   uint64
	buf []byte
}

// Reset empties the list.
func (p *Properties) Reset() { p.n, p.buf = 0, p.buf[:0] }

// Len returns the number of properties.
func (p *Properties) Len() int { return int(p.n) }

func (p *Properties) name(t PropType, name []byte) {
	p.n++
	p.buf = append(p.buf, byte(t))
	p.buf = binary.AppendUvarint(p.buf, uint64(len(name)))
	p.buf = append(p.buf, name...)
}

// AddString adds a string.
func (p *Properties) AddString(name, value []byte) { p.addBytes(PropString, name, value) }

// Add adds a string, given as strings.
func (p *Properties) Add(name, value string) { p.addBytes(PropString, []byte(name), []byte(value)) }

// AddBytes adds a byte array.
func (p *Properties) AddBytes(name, value []byte) { p.addBytes(PropBytes, name, value) }

// AddDestination adds a destination.
func (p *Properties) AddDestination(name string, d Destination) {
	p.addBytes(PropDestination, []byte(name), append([]byte{byte(d.Kind)}, d.Name...))
}

func (p *Properties) addBytes(t PropType, name, value []byte) {
	p.name(t, name)
	p.buf = binary.AppendUvarint(p.buf, uint64(len(value)))
	p.buf = append(p.buf, value...)
}

// AddInt adds a bool (0 or 1), an integer or a char.
func (p *Properties) AddInt(t PropType, name []byte, v int64) {
	p.name(t, name)
	p.buf = binary.AppendVarint(p.buf, v)
}

// AddFloat adds a float or a double.
func (p *Properties) AddFloat(t PropType, name []byte, v float64) {
	p.name(t, name)
	p.buf = binary.BigEndian.AppendUint64(p.buf, math.Float64bits(v))
}

// AddNull adds a null.
func (p *Properties) AddNull(name []byte) { p.name(PropNull, name) }

func (p *Properties) encodedSize() int {
	return uvarintSize(p.n) + len(p.buf)
}

// AppendTo appends the encoded list.
func (p *Properties) AppendTo(dst []byte) []byte {
	return append(binary.AppendUvarint(dst, p.n), p.buf...)
}
