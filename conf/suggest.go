package conf

import (
	"slices"
	"strings"
)

// retired explains ActiveMQ attributes that have no counterpart here because
// there is nothing left to set. It answers a name in lower case.
func retired(name string) string {
	switch name {
	case "dispatchasync":
		return "the broker decides that itself: delete the line"
	}
	return ""
}

// suggest finishes a complaint about an unknown name with what was probably
// meant, or with nothing when no candidate is near.
func suggest(name string, candidates []string) string {
	last := strings.ToLower(name[strings.LastIndexByte(name, '.')+1:])
	if why := retired(last); why != "" {
		return ": " + why
	}
	if near := nearest(name, candidates); near != "" {
		return "; did you mean " + near + "?"
	}
	return ""
}

// nearest is the candidate with the smallest edit distance, when that is small
// for the length of the name; or one that has the same last part in another
// section. Capitals do not count.
func nearest(name string, candidates []string) string {
	lower := strings.ToLower(name)
	limit := max(2, len(lower)/4)
	best, bestDistance := "", limit+1
	for _, candidate := range candidates {
		if d := distance(lower, strings.ToLower(candidate), bestDistance); d < bestDistance {
			best, bestDistance = candidate, d
		}
	}
	if best != "" {
		return best
	}
	lastPart := lower[strings.LastIndexByte(lower, '.')+1:]
	i := slices.IndexFunc(candidates, func(candidate string) bool {
		return strings.HasSuffix(strings.ToLower(candidate), "."+lastPart)
	})
	if i < 0 {
		return ""
	}
	return candidates[i]
}

// distance is the number of letters to insert, delete, replace or swap with
// their neighbour to make b of a; it stops counting at limit.
func distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	var beforeLast, last []int
	for j := range len(b) + 1 {
		last = append(last, j)
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			replace := last[j-1]
			if a[i-1] != b[j-1] {
				replace++
			}
			row[j] = min(replace, last[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], beforeLast[j-2]+1)
			}
		}
		beforeLast, last = last, row
	}
	return min(last[len(b)], limit)
}
