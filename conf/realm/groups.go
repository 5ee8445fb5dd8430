package realm

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
)

// groups is a file of groups in the form of ActiveMQ's groups.properties, group=user,user: each group is a role of its
// users. Without a path there are none.
type groups struct {
	path   string
	stat   fs.FileInfo
	readAt time.Time
	data   []byte
	roles  map[string][]string // by user
}

// refresh reads the file if it has changed, and reports whether it had.
func (g *groups) refresh() (changed bool, err error) {
	if g.path == "" {
		return false, nil
	}
	stat, err := os.Stat(g.path)
	if err != nil {
		return false, fmt.Errorf("read the file of groups: %w", err)
	}
	if g.stat != nil && g.readAt.Sub(stat.ModTime()) > unsettled && sameFile(stat, g.stat) {
		return false, nil
	}
	stat, data, err := readFile(g.path, "file of groups")
	if err != nil {
		return false, err
	}
	if g.stat == nil || !bytes.Equal(data, g.data) {
		roles, err := parseGroups(decodeText(data))
		if err != nil {
			return false, fmt.Errorf("%s, %w", g.path, err)
		}
		g.roles, changed = roles, true
	}
	g.stat, g.data, g.readAt = stat, data, time.Now()
	return changed, nil
}

// parseGroups turns groups of users into roles of each user.
func parseGroups(text string) (map[string][]string, error) {
	roles := map[string]map[string]bool{}
	for _, p := range parseProperties(text) {
		group := strings.TrimSpace(p.key)
		switch {
		case !p.problem.IsZero():
			return nil, fmt.Errorf("line %d: %s", p.line, p.problem)
		case group == "":
			return nil, fmt.Errorf("line %d: there is no name of a group: write group=user,user", p.line)
		}
		for _, user := range splitRoles(p.value) {
			if roles[user] == nil {
				roles[user] = map[string]bool{}
			}
			roles[user][group] = true
		}
	}
	sorted := map[string][]string{}
	for user, set := range roles {
		sorted[user] = slices.Sorted(maps.Keys(set))
	}
	return sorted, nil
}

// add gives the users of a table the roles that the groups are.
func (g *groups) add(t *table) {
	for user, more := range g.roles {
		e, ok := t.entries[user]
		if !ok {
			continue // somebody of another place
		}
		for _, role := range more {
			if !e.user.Has(role) {
				e.user.Roles = append(e.user.Roles, role)
			}
		}
		t.entries[user] = e
	}
}
