package selector

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
)

// regex is x REGEX 're2', which looks for the expression anywhere in the text. What is not text does not match;
// text so long that the search could take more than MaxRegexSteps is UNKNOWN, so that no message can stall the broker.
type regex struct {
	of      expr
	pattern *regexp.Regexp
	size    int // as regexSize estimates it, and regexOverhead
	maxText int // bytes
	negate  bool
}

func (n *regex) test(src Source) Tri {
	v := n.of.value(src)
	if v.kind == KindNull || len(v.str) > n.maxText {
		return Unknown
	}
	return triOf(v.kind == KindString && n.pattern.MatchString(v.str)).negateIf(n.negate)
}

func (n *regex) level() int { return levelCompare }

func (n *regex) write(b *strings.Builder) {
	writeAt(b, n.of, levelAdd)
	b.WriteByte(' ')
	writeNot(b, n.negate)
	b.WriteString("REGEX ")
	(&literal{String(n.pattern.String())}).write(b)
}

// compileRegex compiles a pattern whose size is at most limit and returns that size. A short pattern can ask for megabytes
// of program by repeating a long part, so the size is reckoned before the program is built.
func compileRegex(pattern string, limit int) (*regexp.Regexp, int, error) {
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil, 0, fmt.Errorf("the pattern is no RE2 regular expression: %w", err)
	}
	size := regexOverhead + regexSize(parsed, limit)
	if size > limit {
		return nil, 0, fmt.Errorf("the REGEX patterns of one selector may have %d instructions together, repetitions counted; use fewer or shorter ones", MaxRegexSize)
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, 0, fmt.Errorf("the pattern is no RE2 regular expression: %w", err)
	}
	return re, size, nil
}

// regexOverhead is what a pattern costs in memory whatever its size, counted as instructions.
const regexOverhead = 10

// regexSize estimates the number of instructions, with repetitions written out, and stops counting above limit.
func regexSize(re *syntax.Regexp, limit int) int {
	size := 1
	switch re.Op {
	case syntax.OpLiteral:
		size = len(re.Rune)
	case syntax.OpCharClass:
		size += len(re.Rune) / 8 // the ranges take memory too
	case syntax.OpRepeat:
		times := re.Max
		if times < 0 {
			times = re.Min + 1
		}
		size = times*regexSize(re.Sub[0], limit) + times - re.Min
	default:
		for _, sub := range re.Sub {
			size = min(size+regexSize(sub, limit), limit+1)
		}
	}
	return min(size, limit+1)
}
