package realm

import (
	"fmt"
	"slices"
	"strings"

	"treadmq/notice"
)

// Converted is what became of ActiveMQ's files of users and groups.
type Converted struct {
	Lines    []string  // entries of a realm file, in the order of the users file
	Problems []Problem // users that have none, and members of groups that are no users
}

// Convert makes entries of a realm file of ActiveMQ's users.properties (USER=PASSWORD) and
// groups.properties (GROUP=USER,USER...; "" for none). Passwords are stored with bcrypt; argon2 hashes stay. A group
// becomes the role that rename has for it, or the one of its own name.
func Convert(users, groups string, rename map[string]string) (c Converted, err error) {
	roles := map[string][]string{}
	if groups != "" {
		if roles, err = readGroups(groups, rename, &c); err != nil {
			return c, err
		}
	}
	_, data, err := readRealm(users)
	if err != nil {
		return c, err
	}
	known := map[string]bool{}
	for _, p := range lastOfEach(parseProperties(decodeText(data))) {
		user := strings.TrimSpace(p.key)
		known[user] = true
		text, problem := entryOf(&p, user, roles[user])
		if problem != "" {
			c.Problems = append(c.Problems, Problem{p.line, user, notice.English(problem)})
			continue
		}
		c.Lines = append(c.Lines, text)
	}
	for _, user := range sortedKeys(roles) {
		if !known[user] {
			c.Problems = append(c.Problems, Problem{0, user, notice.English("is in a group and not in the file of users")})
		}
	}
	return c, nil
}

// entryOf is a user's entry, or why there is none.
func entryOf(p *property, user string, roles []string) (text, problem string) {
	switch {
	case !p.problem.IsZero():
		return "", p.problem.Text
	case strings.HasPrefix(p.value, "ENC(") && strings.HasSuffix(p.value, ")"):
		return "", "the password is encrypted with a key of ActiveMQ's: give it a new one with treadmq user add"
	}
	stored, err := converted(p.value)
	if err == nil {
		text, err = line(user, stored, roles)
	}
	if err != nil {
		return "", err.Error()
	}
	return text, ""
}

// converted is a password as it is to stand in the realm file: a hash stays what it is.
func converted(password string) (string, error) {
	if !isArgon2(password) {
		return Hash(BCrypt, "", password)
	}
	c, err := parseCredential(password)
	return prefixArgon2 + string(c.stored), err
}

// readGroups are the roles of each user.
func readGroups(path string, rename map[string]string, c *Converted) (map[string][]string, error) {
	_, data, err := readRealm(path)
	if err != nil {
		return nil, err
	}
	roles := map[string][]string{}
	for _, p := range lastOfEach(parseProperties(decodeText(data))) {
		if !p.problem.IsZero() {
			c.Problems = append(c.Problems, Problem{p.line, p.key, notice.English(fmt.Sprintf("the group cannot be read: %s", p.problem))})
			continue
		}
		role := strings.TrimSpace(p.key)
		if other, ok := rename[role]; ok {
			role = other
		}
		for user := range strings.SplitSeq(p.value, ",") {
			if user = strings.TrimSpace(user); user != "" && !slices.Contains(roles[user], role) {
				roles[user] = append(roles[user], role)
			}
		}
	}
	return roles, nil
}

// lastOfEach are the entries that count: of several with one key the last.
func lastOfEach(all []property) (list []property) {
	for i, p := range all {
		if !slices.ContainsFunc(all[i+1:], func(o property) bool { return strings.TrimSpace(o.key) == strings.TrimSpace(p.key) }) {
			list = append(list, p)
		}
	}
	return list
}

func sortedKeys(m map[string][]string) (keys []string) {
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
