//go:build faults && linux

package faults

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// checked is what `treadmq store check -o json` says of a member's store.
type checked struct {
	Problems int      `json:"problems"`
	Messages int64    `json:"messages"`
	Applied  uint64   `json:"applied"`
	Digest   string   `json:"digest"`
	Found    []string `json:"found"`

	segments []segment
}

// segment is a file of the journal: positions from first to end, from the file's beginning on.
type segment struct {
	path       string
	first, end uint64
}

// end is where the journal ends.
func (c *checked) end() uint64 {
	if len(c.segments) == 0 {
		return 0
	}
	return c.segments[len(c.segments)-1].end
}

// check checks a stopped member's store.
func check(m *member) (*checked, error) {
	dir := filepath.Join(m.data(), "replicated")
	if _, err := os.Stat(dir); err != nil {
		dir = filepath.Join(m.data(), "store") // of a broker alone
	}
	var errs bytes.Buffer
	cmd := exec.Command(m.binary, "store", "check", dir, "-o", "json")
	cmd.Stderr = &errs
	out, err := cmd.Output()
	c := &checked{}
	if bad := json.Unmarshal(out, c); bad != nil {
		return nil, fmt.Errorf("store check of %s: %w, %w: %s", m.name, err, bad, errs.String())
	}
	files := map[string]string{}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		files[filepath.Base(path)] = path
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, line := range c.Found {
		var s segment
		var name string
		if n, _ := fmt.Sscanf(line, "segment %s positions %d to %d,", &name, &s.first, &s.end); n == 3 {
			s.path = files[strings.TrimSuffix(name, ":")]
			c.segments = append(c.segments, s)
		}
	}
	slices.SortFunc(c.segments, func(a, b segment) int { return int(a.first) - int(b.first) })
	return c, nil
}

// compareStores holds the stores of stopped members against each other and returns what differs: each must
// be in order, all journals the same where they overlap, and all indexes that reflect the same position.
func compareStores(members []*member) (found []string) {
	fault := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	var all []*checked
	for _, m := range members {
		c, err := check(m)
		if err != nil {
			fault("stores: %v", err)
			return found
		}
		if c.Problems > 0 {
			fault("stores: %s has %d problems: %q", m.name, c.Problems, c.Found)
		}
		all = append(all, c)
	}
	for i, c := range all[1:] {
		a, b := members[0], members[i+1]
		if c.end() != all[0].end() {
			fault("stores: the journal of %s ends at %d, that of %s at %d", a.name, all[0].end(), b.name, c.end())
		}
		if at, err := differ(all[0].segments, c.segments); err != nil {
			fault("stores: %s and %s cannot be compared: %v", a.name, b.name, err)
		} else if at >= 0 {
			fault("stores: the journals of %s and %s differ at position %d", a.name, b.name, at)
		}
		switch {
		case c.Applied != all[0].Applied:
			fault("stores: the index of %s reflects position %d, that of %s %d", a.name, all[0].Applied, b.name, c.Applied)
		case c.Digest != all[0].Digest || c.Digest == "":
			fault("stores: the indexes of %s and %s at position %d have the digests %q and %q", a.name, b.name, c.Applied, all[0].Digest, c.Digest)
		}
	}
	return found
}

// differ returns the first position that both journals have with different bytes, -1 if there is none.
func differ(a, b []segment) (int64, error) {
	for _, x := range a {
		for _, y := range b {
			from, to := max(x.first, y.first), min(x.end, y.end)
			if from >= to {
				continue
			}
			p, err := part(x, from, to)
			if err != nil {
				return 0, err
			}
			q, err := part(y, from, to)
			if err != nil {
				return 0, err
			}
			for i := range p {
				if p[i] != q[i] {
					return int64(from) + int64(i), nil
				}
			}
		}
	}
	return -1, nil
}

// part reads positions of a segment.
func part(s segment, from, to uint64) ([]byte, error) {
	f, err := os.Open(s.path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, to-from)
	if _, err := io.ReadFull(io.NewSectionReader(f, int64(from-s.first), int64(len(b))), b); err != nil {
		return nil, fmt.Errorf("%s: %w", s.path, err)
	}
	return b, nil
}
