package conf

import "strings"

// Problem is one thing that is wrong with the configuration.
type Problem struct {
	Where string // "treadmq.toml:12:3", "TREADMQ_DATA", "--set", "flag"; empty: the whole
	Text  string // what is wrong and what to do
}

// String is Where and Text on one line.
func (p Problem) String() string {
	if p.Where == "" {
		return p.Text
	}
	return p.Where + ": " + p.Text
}

// Error is everything that is wrong with a configuration.
type Error struct {
	Problems []Problem // at least one; those of a file in its order
}

// Error lists the problems, one on a line.
func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// asError is nil when there are no problems.
func asError(problems []Problem) error {
	if len(problems) == 0 {
		return nil
	}
	return &Error{Problems: problems}
}
