package broker

import (
	"math"
	"strconv"
	"unicode/utf8"
)

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
