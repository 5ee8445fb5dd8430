// Package notice makes sentences for people that can be said in other languages
// too. Who finds something says it in English, for the log and the API, and leaves
// with it a code and the facts that went into the sentence; whoever shows it looks
// the code up in the texts of a language and puts the same facts in.
//
// The English text of a code is the format itself. A test of package webui holds
// all formats against texts/en.json.
package notice

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// Notice is a sentence, or a part of one. The zero Notice says nothing.
type Notice struct {
	Code  string // names the sentence in the texts of a language; empty: it is in English only
	Facts []any  // numbers, strings, Notices and Lists, in the order of the English text
	Text  string // the same in English
}

// List is Notices one behind the other, each with what separates it from the one before.
type List []Notice

// New makes a notice of a format of package fmt. Its verbs are plain ones, as %s and
// %d, so that other languages can use them in another order (%[2]s).
func New(code, format string, facts ...any) Notice {
	n := Notice{Code: code, Text: format}
	if len(facts) == 0 {
		return n
	}
	n.Text = fmt.Sprintf(format, facts...)
	for _, f := range facts {
		n.Facts = append(n.Facts, plain(f))
	}
	return n
}

// plain is a fact that does not change any more.
func plain(f any) any {
	switch f := f.(type) {
	case nil, Notice, List:
		return f
	case error:
		return f.Error()
	case fmt.Stringer:
		return f.String()
	}
	if v := reflect.ValueOf(f); v.Kind() == reflect.String {
		return v.String()
	}
	return f
}

// English is a notice that has no code.
func English(text string) Notice { return Notice{Text: text} }

// IsZero reports whether it says nothing.
func (n Notice) IsZero() bool { return n.Text == "" }

// String is the sentence in English.
func (n Notice) String() string { return n.Text }

// Error makes it an error that can be shown in other languages.
func (n Notice) Error() string { return n.Text }

// Of is the notice that an error is, or its text without a code.
func Of(err error) Notice {
	var n Notice
	if errors.As(err, &n) && n.Text == err.Error() {
		return n
	}
	return English(err.Error())
}

// MarshalText makes it the English sentence in JSON.
func (n Notice) MarshalText() ([]byte, error) { return []byte(n.Text), nil }

// UnmarshalText takes the sentence as JSON has it.
func (n *Notice) UnmarshalText(text []byte) error {
	*n = English(string(text))
	return nil
}

// Map puts other words in the place of some in the text and in all facts.
func (n Notice) Map(change func(string) string) Notice {
	n.Text = change(n.Text)
	facts := make([]any, len(n.Facts))
	for i, f := range n.Facts {
		switch f := f.(type) {
		case string:
			facts[i] = change(f)
		case Notice:
			facts[i] = f.Map(change)
		case List:
			list := make(List, len(f))
			for k := range f {
				list[k] = f[k].Map(change)
			}
			facts[i] = list
		default:
			facts[i] = f
		}
	}
	n.Facts = facts
	return n
}

// String is the list in English.
func (l List) String() string {
	var b strings.Builder
	for _, n := range l {
		b.WriteString(n.Text)
	}
	return b.String()
}

// In says a notice in another language, whose format for a code is text. What text
// does not know stays in English.
func (n Notice) In(text func(code string) (format string, ok bool)) string {
	format, ok := text(n.Code)
	if !ok || n.Code == "" {
		return n.Text
	}
	if len(n.Facts) == 0 {
		return format
	}
	facts := make([]any, len(n.Facts))
	for i, f := range n.Facts {
		switch f := f.(type) {
		case Notice:
			facts[i] = f.In(text)
		case List:
			var b strings.Builder
			for _, part := range f {
				b.WriteString(part.In(text))
			}
			facts[i] = b.String()
		default:
			facts[i] = f
		}
	}
	return fmt.Sprintf(format, facts...)
}
