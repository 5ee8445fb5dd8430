package main

import (
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// nearestFlag finds the flag that name is most likely a misspelling of, or "".
func nearestFlag(cmd *cobra.Command, name string) (best string) {
	limit := max(2, len(name)/3) + 1
	visit := func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		if d := distance(name, f.Name); d < limit {
			best, limit = f.Name, d
		}
	}
	cmd.Flags().VisitAll(visit)
	cmd.InheritedFlags().VisitAll(visit)
	return best
}

// distance is the number of single-byte changes between two words (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
