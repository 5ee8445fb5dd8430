package main

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"
)

// format is how data is printed. The formats and the names of JSON fields are a
// contract with scripts.
type format string

const (
	formatTable format = "table"
	formatJSON  format = "json"
	formatJSONL format = "jsonl"
	formatCSV   format = "csv"
	formatName  format = "name"
	formatYAML  format = "yaml"
	formatRaw   format = "raw" // bodies of messages only; not every command has it
)

func formats() []string {
	return []string{string(formatTable), string(formatJSON), string(formatJSONL), string(formatCSV), string(formatName), string(formatYAML)}
}

// outputFlag gives a command -o. more are formats that only this command has; the
// first of them is its default.
func outputFlag(cmd *cobra.Command, more ...format) {
	all, def := formats(), formatTable
	for i, f := range more {
		if i == 0 {
			def = f
		}
		if !slices.Contains(all, string(f)) {
			all = append(all, string(f))
		}
	}
	v := &choice{value: string(def), of: all}
	cmd.Flags().VarP(v, "output", "o", "format: "+strings.Join(all, "|"))
	cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(all, cobra.ShellCompDirectiveNoFileComp))
}

func outputFormat(cmd *cobra.Command) format {
	return format(cmd.Flags().Lookup("output").Value.String())
}

// choice is a flag that takes one of a few words.
type choice struct {
	value string
	of    []string
}

func (c *choice) String() string { return c.value }
func (c *choice) Type() string   { return "word" }

// Set takes one of the words.
func (c *choice) Set(s string) error {
	if !slices.Contains(c.of, s) {
		return fmt.Errorf("must be one of %s", strings.Join(c.of, ", "))
	}
	c.value = s
	return nil
}

// record is one thing to print: a row of a table, an object in JSON.
type record struct {
	value any      // what JSON and YAML show
	cells []string // what table and CSV show, one for each column
	name  string   // what -o name shows
}

// printer writes records in one of the formats. It holds at most tableBatch of them.
type printer struct {
	w       *bufio.Writer
	format  format
	screen  bool // it writes to a terminal
	columns []string
	rows    [][]string
	csv     *csv.Writer
	n       int
}

// tableBatch is how many rows share their column widths, and how many are held back
// for it.
const tableBatch = 1000

func newPrinter(cmd *cobra.Command, columns ...string) *printer {
	p := &printer{w: bufio.NewWriter(cmd.OutOrStdout()), format: outputFormat(cmd), screen: isTerminal(cmd.OutOrStdout()), columns: columns}
	p.csv = csv.NewWriter(p.w)
	return p
}

// add prints one record of a list.
func (p *printer) add(r record) error {
	p.n++
	switch p.format {
	case formatTable:
		p.rows = append(p.rows, r.cells)
		if len(p.rows) >= tableBatch {
			return p.flush()
		}
		return nil
	case formatCSV:
		if p.n == 1 {
			p.csv.Write(p.columns)
		}
		return p.csv.Write(r.cells)
	case formatName:
		name := printable(r.name)
		if !p.screen && utf8.ValidString(r.name) && strings.IndexFunc(r.name, unicode.IsControl) < 0 {
			name = r.name // as it is, for the command that it is fed to; in one line all the same
		}
		_, err := fmt.Fprintln(p.w, name)
		return err
	case formatYAML:
		return p.yamlItem(r.value)
	}
	return p.jsonItem(r.value)
}

func (p *printer) jsonItem(v any) error {
	b, err := encodeJSON(v)
	if err != nil {
		return err
	}
	if p.format == formatJSON {
		before := ",\n  "
		if p.n == 1 {
			before = "[\n  "
		}
		p.w.WriteString(before)
		_, err = p.w.Write(b)
		return err
	}
	p.w.Write(b)
	return p.w.WriteByte('\n')
}

func (p *printer) yamlItem(v any) error {
	b, err := encodeYAML(v)
	if err != nil {
		return err
	}
	for i, line := range bytes.Split(bytes.TrimRight(b, "\n"), []byte("\n")) {
		lead := "  "
		if i == 0 {
			lead = "- "
		}
		if len(line) == 0 {
			lead = ""
		}
		p.w.WriteString(lead)
		p.w.Write(line)
		p.w.WriteByte('\n')
	}
	return nil
}

// flush brings what was added so far to the output.
func (p *printer) flush() error {
	if p.format == formatTable && len(p.rows) > 0 {
		first := p.n == len(p.rows)
		writeTable(p.w, p.columns, p.rows, first)
		p.rows = p.rows[:0]
	}
	p.csv.Flush()
	if err := p.csv.Error(); err != nil {
		return err
	}
	return p.w.Flush()
}

// close ends the list. A list of nothing is a header, "[]" or nothing, as the format has it.
func (p *printer) close() error {
	if p.n == 0 {
		switch p.format {
		case formatTable:
			writeTable(p.w, p.columns, nil, true)
		case formatJSON, formatYAML:
			p.w.WriteString("[]\n")
		case formatCSV:
			p.csv.Write(p.columns)
		}
	} else if p.format == formatJSON {
		p.w.WriteString("\n]\n")
	}
	return p.flush()
}

// printOne prints a single thing: as a table it is turned, one line for each column.
func printOne(cmd *cobra.Command, columns []string, r record) error {
	p := newPrinter(cmd, columns...)
	switch p.format {
	case formatTable:
		var rows [][]string
		for i, c := range columns {
			rows = append(rows, []string{c, r.cells[i]})
		}
		writeRows(p.w, rows, []bool{false, false})
		return p.w.Flush()
	case formatJSON:
		b, err := encodeJSON(r.value)
		if err != nil {
			return err
		}
		var wide bytes.Buffer
		json.Indent(&wide, b, "", "  ") // it is JSON, just made
		p.w.Write(wide.Bytes())
		p.w.WriteByte('\n')
		return p.w.Flush()
	case formatYAML:
		b, err := encodeYAML(r.value)
		if err != nil {
			return err
		}
		p.w.Write(b)
		return p.w.Flush()
	}
	if err := p.add(r); err != nil {
		return err
	}
	return p.close()
}

// encodeJSON is one line of JSON, with <, > and & as they are.
func encodeJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

// encodeYAML has the fields and the order of the JSON.
func encodeYAML(v any) ([]byte, error) {
	b, err := encodeJSON(v)
	if err != nil {
		return nil, err
	}
	return yaml.JSONToYAML(b)
}
