package main

import (
	"bufio"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// writeTable prints rows under their column names, columns of numbers to the right.
// Nothing is ever cut.
func writeTable(w *bufio.Writer, columns []string, rows [][]string, header bool) {
	right := make([]bool, len(columns))
	for i := range columns {
		right[i] = len(rows) > 0
		for _, r := range rows {
			right[i] = right[i] && numeric(r[i])
		}
	}
	if header {
		names := make([]string, len(columns))
		for i, c := range columns {
			names[i] = strings.ToUpper(c)
		}
		rows = append([][]string{names}, rows...)
	}
	writeRows(w, rows, right)
}

func writeRows(w *bufio.Writer, rows [][]string, right []bool) {
	width := make([]int, len(right))
	for _, r := range rows {
		for i, c := range r {
			width[i] = max(width[i], utf8.RuneCountInString(printable(c)))
		}
	}
	for _, r := range rows {
		var line strings.Builder
		for i, c := range r {
			c = printable(c)
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(c))
			if i > 0 {
				line.WriteString("  ")
			}
			if right[i] {
				line.WriteString(pad + c)
			} else {
				line.WriteString(c + pad)
			}
		}
		w.WriteString(strings.TrimRight(line.String(), " "))
		w.WriteByte('\n')
	}
}

func numeric(s string) bool {
	if s == "" || s == "-" {
		return s == "-"
	}
	for _, c := range s {
		if (c < '0' || c > '9') && c != '.' && c != '-' {
			return false
		}
	}
	return true
}

// printable shows control and invisible characters as escapes: a name or a text
// from the network must not command the terminal, nor break a line of the output.
func printable(s string) string {
	clean := func(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) && r != ' ' }
	if strings.IndexFunc(s, clean) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case !clean(r) || r == utf8.RuneError:
			b.WriteRune(r)
		case r < 0x80:
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}
