package conf

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// value is the door to one field of a [Config] or [Policy].
type value interface {
	// parse sets the field from text, as found in the environment or a flag.
	parse(text string) error
	// accept sets the field from a decoded TOML value. String forms of numbers
	// and booleans are refused unless expanded says that a ${...} made them.
	accept(v any, expanded bool) error
	// text is what parse reads back.
	text() string
	// literal is the value in TOML.
	literal() string
	// assign copies the field behind another value of the same type.
	assign(from value)
}

// codec says how values of a type are read and written.
type codec[T any] struct {
	parse   func(string) (T, error)
	native  func(any) (T, error) // TOML values that are not strings; errKind when of another kind
	format  func(T) string
	literal func(T) string
	wants   string // what a TOML value should be, for complaints
	bare    bool   // written without quotes in TOML, so that a plain string is a mistake
	check   func(T) error
}

// errKind reports a TOML value of a kind that the key does not take.
var errKind = errors.New("wrong kind of value")

type cell[T any] struct {
	codec[T]
	field *T
}

func (c cell[T]) set(v T, err error) error {
	if err != nil {
		return err
	}
	if c.check != nil {
		if err := c.check(v); err != nil {
			return err
		}
	}
	*c.field = v
	return nil
}

func (c cell[T]) parse(text string) error { return c.set(c.codec.parse(text)) }

func (c cell[T]) accept(v any, expanded bool) error {
	if text, ok := v.(string); ok {
		if c.bare && !expanded {
			return fmt.Errorf("%q is a string: write %s, without quotes", text, c.wants)
		}
		return c.parse(text)
	}
	got, err := c.native(v)
	if errors.Is(err, errKind) {
		return fmt.Errorf("%s does not fit here: write %s", kindOf(v), c.wants)
	}
	return c.set(got, err)
}

func (c cell[T]) text() string    { return c.format(*c.field) }
func (c cell[T]) literal() string { return c.codec.literal(*c.field) }

// assign relies on both values coming from the same row of the key table.
func (c cell[T]) assign(from value) { *c.field = *from.(cell[T]).field }

func kindOf(v any) string {
	switch v.(type) {
	case int64:
		return "a whole number"
	case float64:
		return "a fraction"
	case bool:
		return "true or false"
	case []any:
		return "a list"
	case map[string]any:
		return "a table"
	default:
		return "a date"
	}
}

func noNative[T any](any) (T, error) {
	var zero T
	return zero, errKind
}

func quoted[T any](format func(T) string) func(T) string {
	return func(v T) string { return quote(format(v)) }
}

// quote writes a TOML basic string.
func quote(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func same(s string) string { return s }

func text(field *string, check func(string) error) value {
	return cell[string]{codec[string]{
		parse:   func(s string) (string, error) { return s, nil },
		native:  noNative[string],
		format:  same,
		literal: quote,
		wants:   `a string, in quotes`,
		check:   check,
	}, field}
}

// word takes one of a fixed set of words; the first is the usual one.
func word(field *string, words ...string) value {
	return text(field, func(s string) error {
		if slices.Contains(words, s) {
			return nil
		}
		return fmt.Errorf("%q is not one of %s", s, strings.Join(words, ", "))
	})
}

func truth(field *bool) value {
	return cell[bool]{codec[bool]{
		parse: parseBool,
		native: func(v any) (bool, error) {
			b, ok := v.(bool)
			if !ok {
				return false, errKind
			}
			return b, nil
		},
		format:  strconv.FormatBool,
		literal: strconv.FormatBool,
		wants:   `true or false`,
		bare:    true,
	}, field}
}

func parseBool(s string) (bool, error) {
	switch strings.ToLower(s) {
	case "true", "yes", "on", "1":
		return true, nil
	case "false", "no", "off", "0":
		return false, nil
	}
	return false, fmt.Errorf("%q is neither true nor false", s)
}

func whole(field *int, low, high int) value {
	format := strconv.Itoa
	return cell[int]{codec[int]{
		parse: func(s string) (int, error) {
			n, err := strconv.Atoi(s)
			if err != nil {
				return 0, fmt.Errorf("%q is not a whole number", s)
			}
			return n, nil
		},
		native: func(v any) (int, error) {
			n, ok := v.(int64)
			if !ok {
				return 0, errKind
			}
			return int(n), nil
		},
		format:  format,
		literal: format,
		wants:   `a whole number`,
		bare:    true,
		check:   within(low, high, format),
	}, field}
}

func fraction(field *float64, low, high float64) value {
	format := func(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }
	return cell[float64]{codec[float64]{
		parse: func(s string) (float64, error) {
			f, err := strconv.ParseFloat(s, 64)
			if err != nil {
				return 0, fmt.Errorf("%q is not a number", s)
			}
			return f, nil
		},
		native: func(v any) (float64, error) {
			switch n := v.(type) {
			case float64:
				return n, nil
			case int64:
				return float64(n), nil
			}
			return 0, errKind
		},
		format: format,
		literal: func(f float64) string {
			if s := format(f); strings.ContainsAny(s, ".e") {
				return s
			}
			return format(f) + ".0"
		},
		wants: `a number`,
		bare:  true,
		check: within(low, high, format),
	}, field}
}

func size(field *Size, low, high Size) value {
	return cell[Size]{codec[Size]{
		parse: ParseSize,
		native: func(v any) (Size, error) {
			n, ok := v.(int64)
			if !ok {
				return 0, errKind
			}
			return Size(n), nil
		},
		format:  Size.String,
		literal: quoted(Size.String),
		wants:   `a size, such as "64MiB"`,
		check:   within(low, high, Size.String),
	}, field}
}

// span is a time; a bare number is refused.
func span(field *time.Duration, low, high time.Duration) value {
	return cell[time.Duration]{codec[time.Duration]{
		parse: ParseDuration,
		native: func(v any) (time.Duration, error) {
			n, ok := v.(int64)
			if !ok {
				return 0, errKind
			}
			if n != 0 {
				return 0, fmt.Errorf(`%d has no unit: write for example "%dms" or "%ds"`, n, n, n)
			}
			return 0, nil
		},
		format:  FormatDuration,
		literal: quoted(FormatDuration),
		wants:   `a time, such as "30s"`,
		check:   within(low, high, FormatDuration),
	}, field}
}

// spanMillis is a time for which a bare number means milliseconds, as it does
// in the ActiveMQ attribute of the same name.
func spanMillis(field *time.Duration, low, high time.Duration) value {
	return cell[time.Duration]{codec[time.Duration]{
		parse: parseMillis,
		native: func(v any) (time.Duration, error) {
			n, ok := v.(int64)
			if !ok {
				return 0, errKind
			}
			return millis(n)
		},
		format:  FormatDuration,
		literal: quoted(FormatDuration),
		wants:   `a time, such as "30s"`,
		check:   within(low, high, FormatDuration),
	}, field}
}

func within[T int | float64 | Size | time.Duration](low, high T, format func(T) string) func(T) error {
	return func(v T) error {
		if v >= low && v <= high {
			return nil
		}
		return fmt.Errorf("%s is out of range: the least is %s, the most is %s", format(v), format(low), format(high))
	}
}

// list is a list of strings, separated by commas when it comes as text.
func list(field *[]string, check func(string) error) value {
	return cell[[]string]{codec[[]string]{
		parse: func(s string) ([]string, error) {
			var items []string
			for item := range strings.SplitSeq(s, ",") {
				if item = strings.TrimSpace(item); item != "" {
					items = append(items, item)
				}
			}
			return items, nil
		},
		native: nativeList,
		format: func(items []string) string { return strings.Join(items, ",") },
		literal: func(items []string) string {
			texts := make([]string, len(items))
			for i, item := range items {
				texts[i] = quote(item)
			}
			return "[" + strings.Join(texts, ", ") + "]"
		},
		wants: `a list of strings, such as ["a", "b"]`,
		check: func(items []string) error {
			for _, item := range items {
				if err := check(item); err != nil {
					return err
				}
			}
			return nil
		},
	}, field}
}

func nativeList(v any) ([]string, error) {
	values, ok := v.([]any)
	if !ok {
		return nil, errKind
	}
	items := make([]string, len(values))
	for i, v := range values {
		if items[i], ok = v.(string); !ok {
			return nil, fmt.Errorf("entry %d of the list is %s: every entry is a string in quotes", i+1, kindOf(v))
		}
	}
	return items, nil
}
