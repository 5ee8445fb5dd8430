package selector

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
)

// regex is x REGEX 're2', which looks for the expression anywhere in the text. What is not text does not match.
type regex struct {
	of      expr
	pattern *regexp.Regexp
	negate  bool
}

func (n *regex) test(src Source) Tri {
	v := n.of.value(src)
	if v.kind == KindNull {
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

// compileRegex compiles a pattern whose size is at most limit and returns that size. A few bytes of pattern can ask for
// megabytes of program ("((x{100}){10})"), so the size is reckoned before anything is built.
func compileRegex(pattern string, limit int) (*regexp.Regexp, int, error) {
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil, 0, fmt.Errorf("the pattern is no RE2 regular expression: %w", err)
	}
	size := regexSize(parsed, limit)
	if size > limit {
		return nil, 0, fmt.Errorf("the REGEX patterns of one selector may have %d instructions together, repetitions counted; use fewer or shorter ones", MaxRegexSize)
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, 0, fmt.Errorf("the pattern is no RE2 regular expression: %w", err)
	}
	return re, size, nil
}

// regexSize estimates the number of instructions, with repetitions written out, and stops counting above limit.
func regexSize(re *syntax.Regexp, limit int) int {
	size := 1 + len(re.Rune)
	if re.Op == syntax.OpCharClass {
		size = 1 + len(re.Rune)/8
	}
	for _, sub := range re.Sub {
		size = min(size+regexSize(sub, limit), limit+1)
	}
	if re.Op == syntax.OpRepeat {
		size *= max(re.Min+1, re.Max)
	}
	return min(size, limit+1)
}
