package realm

import (
	"fmt"
	"strings"
)

// Names says which distinguished name of a certificate is which user, as the users file of
// ActiveMQ's TextFileCertificateLoginModule does.
type Names map[string]string // normal form of the name to user

// ReadNames reads a properties file of lines user=CN=name, OU=unit, O=organization.
func ReadNames(path string) (Names, error) {
	_, data, err := readRealm(path)
	if err != nil {
		return nil, err
	}
	names := Names{}
	for _, p := range parseProperties(decodeText(data)) {
		user, dn := strings.TrimSpace(p.key), normalName(p.value)
		other, twice := names[dn]
		switch {
		case !p.problem.IsZero():
			return nil, fmt.Errorf("%s, line %d: %s", path, p.line, p.problem)
		case user == "" || !strings.Contains(p.value, "="):
			return nil, fmt.Errorf("%s, line %d: write user=CN=name, OU=unit, O=organization", path, p.line)
		case twice && other != user:
			return nil, fmt.Errorf("%s, line %d: the name %s is the user %s already", path, p.line, p.value, other)
		}
		names[dn] = user
	}
	return names, nil
}

// User is who has a distinguished name (RFC 2253), "" for nobody.
func (n Names) User(dn string) string { return n[normalName(dn)] }

// normalName makes the spellings of a name one: types in capitals, no blanks around
// types, values and commas.
func normalName(dn string) string {
	var parts []string
	start := 0
	for i := 0; i <= len(dn); i++ {
		switch {
		case i < len(dn) && dn[i] == '\\':
			i++
		case i == len(dn) || dn[i] == ',':
			kind, value, _ := strings.Cut(dn[start:min(i, len(dn))], "=")
			parts = append(parts, strings.ToUpper(strings.TrimSpace(kind))+"="+strings.TrimSpace(value))
			start = i + 1
		}
	}
	return strings.Join(parts, ",")
}
