package main

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
)

// print runs f with a command whose output is captured.
func print(t *testing.T, f format, do func(*cobra.Command) error) string {
	t.Helper()
	var out bytes.Buffer
	cmd := &cobra.Command{}
	cmd.SetOut(&out)
	outputFlag(cmd)
	if err := cmd.Flags().Set("output", string(f)); err != nil {
		t.Fatal(err)
	}
	if err := do(cmd); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

type thing struct {
	Name  string   `json:"name"`
	Count int      `json:"count"`
	Tags  []string `json:"tags"`
}

func things() []record {
	return []record{
		{value: thing{"a<b>", 5, []string{"x"}}, cells: []string{"a<b>", "5"}, name: "a<b>"},
		{value: thing{"multi\nline: \x1b", 12345, nil}, cells: []string{"multi\nline: \x1b", "12345"}, name: "multi\nline: \x1b"},
	}
}

func TestListInEveryFormat(t *testing.T) {
	for f, want := range map[format]string{
		formatTable: "NAME               COUNT\na<b>                   5\nmulti\\nline: \\x1b  12345\n",
		formatJSON:  "[\n  {\"name\":\"a<b>\",\"count\":5,\"tags\":[\"x\"]},\n  {\"name\":\"multi\\nline: \\u001b\",\"count\":12345,\"tags\":null}\n]\n",
		formatJSONL: "{\"name\":\"a<b>\",\"count\":5,\"tags\":[\"x\"]}\n{\"name\":\"multi\\nline: \\u001b\",\"count\":12345,\"tags\":null}\n",
		formatCSV:   "name,count\na<b>,5\n\"multi\nline: \x1b\",12345\n",
		formatName:  "a<b>\nmulti\\nline: \\x1b\n",
	} {
		got := print(t, f, func(cmd *cobra.Command) error {
			p := newPrinter(cmd, "name", "count")
			for _, r := range things() {
				if err := p.add(r); err != nil {
					return err
				}
			}
			return p.close()
		})
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", f, d)
		}
	}
}

// What is printed as JSON, JSON lines, YAML and CSV must read back as it was.
func TestListReadsBack(t *testing.T) {
	list := func(cmd *cobra.Command) error {
		p := newPrinter(cmd, "name", "count")
		for _, r := range things() {
			p.add(r)
			p.flush() // as a command does that prints while it goes
		}
		return p.close()
	}
	want := []thing{{"a<b>", 5, []string{"x"}}, {"multi\nline: \x1b", 12345, nil}}
	var got []thing
	if err := json.Unmarshal([]byte(print(t, formatJSON, list)), &got); err != nil || !cmp.Equal(want, got) {
		t.Errorf("json: %v %v", got, err)
	}
	got = nil
	if err := yaml.Unmarshal([]byte(print(t, formatYAML, list)), &got); err != nil || !cmp.Equal(want, got) {
		t.Errorf("yaml: %+v %v\n%s", got, err, print(t, formatYAML, list))
	}
	got = nil
	for line := range strings.Lines(print(t, formatJSONL, list)) {
		var v thing
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Error(err)
		}
		got = append(got, v)
	}
	if !cmp.Equal(want, got) {
		t.Errorf("jsonl: %v", got)
	}
	rows, err := csv.NewReader(strings.NewReader(print(t, formatCSV, list))).ReadAll()
	if err != nil || !cmp.Equal([][]string{{"name", "count"}, {"a<b>", "5"}, {"multi\nline: \x1b", "12345"}}, rows) {
		t.Errorf("csv: %v %v", rows, err)
	}
}

func TestEmptyList(t *testing.T) {
	for f, want := range map[format]string{formatTable: "NAME  COUNT\n", formatJSON: "[]\n", formatYAML: "[]\n", formatJSONL: "", formatCSV: "name,count\n", formatName: ""} {
		got := print(t, f, func(cmd *cobra.Command) error { return newPrinter(cmd, "name", "count").close() })
		if got != want {
			t.Errorf("%s: %q, want %q", f, got, want)
		}
	}
}

func TestOneThing(t *testing.T) {
	r := things()[0]
	for f, want := range map[format]string{
		formatTable: "name   a<b>\ncount  5\n",
		formatJSON:  "{\n  \"name\": \"a<b>\",\n  \"count\": 5,\n  \"tags\": [\n    \"x\"\n  ]\n}\n",
		formatJSONL: "{\"name\":\"a<b>\",\"count\":5,\"tags\":[\"x\"]}\n",
		formatYAML:  "name: a<b>\ncount: 5\ntags:\n- x\n",
		formatCSV:   "name,count\na<b>,5\n",
		formatName:  "a<b>\n",
	} {
		got := print(t, f, func(cmd *cobra.Command) error { return printOne(cmd, []string{"name", "count"}, r) })
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", f, d)
		}
	}
}

func TestTableNeverCuts(t *testing.T) {
	var out bytes.Buffer
	w := bufio.NewWriter(&out)
	long := strings.Repeat("long.", 60)
	writeTable(w, []string{"name", "n"}, [][]string{{long, "-"}, {"ü", "1.5"}}, true)
	w.Flush()
	if !strings.Contains(out.String(), long) || !strings.Contains(out.String(), "ü"+strings.Repeat(" ", 299+2)+"1.5") {
		t.Error(out.String())
	}
}
