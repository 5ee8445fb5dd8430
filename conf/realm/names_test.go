package realm

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("# ActiveMQ's form\nshop=CN=shop, OU=web, O=Acme\\\\, Inc., C=US\nstock = cn=stock,o=Acme\n")
	n, err := ReadNames(path)
	if err != nil {
		t.Fatal(err)
	}
	for dn, want := range map[string]string{
		`CN=shop,OU=web,O=Acme\, Inc.,C=US`:       "shop",
		`cn = shop, ou=web , O=Acme\, Inc., C=US`: "shop",
		"CN=stock,O=Acme":                         "stock",
		"CN=stock":                                "",
		"CN=stock,O=Acme,C=US":                    "",
		"O=Acme,CN=stock":                         "",
		"CN=Stock,O=Acme":                         "",
		"":                                        "",
		`CN=stock\`:                               "",
	} {
		if got := n.User(dn); got != want {
			t.Errorf("%s is %q, want %q", dn, got, want)
		}
	}
	for text, words := range map[string]string{
		"shop\n":           "line 1: write user=CN=name",
		"a=CN=x\nb=cn=x\n": "line 2: the name cn=x is the user a already",
		"a=\\u00\n":        "line 1",
		"\n\n=CN=x\n":      "line 3",
	} {
		write(text)
		if _, err := ReadNames(path); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := ReadNames(path + "none"); err == nil {
		t.Error("a file that is not there is no error")
	}
}
