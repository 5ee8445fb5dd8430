package conf

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// maxInsert bounds what ${file:path} may bring in.
const maxInsert = 64 * KiB

// environment is the process environment as a lookup.
type environment map[string]string

func (env environment) lookup(name string) (string, bool) {
	text, ok := env[name]
	return text, ok
}

func environmentOf(pairs []string) environment {
	env := environment{}
	for _, pair := range pairs {
		if name, text, ok := strings.Cut(pair, "="); ok && name != "" {
			env[name] = text
		}
	}
	return env
}

// expand replaces ${env:NAME} and ${file:path} in text, once: what they bring in
// is not expanded again. $${ stands for ${. A text that is ENC(...) is decrypted. It
// reports whether there was anything to replace.
func (env environment) expand(text string) (result string, replaced bool, err error) {
	if isSealed(text) {
		return env.open(text)
	}
	var b strings.Builder
	for {
		at := strings.Index(text, "${")
		if at < 0 {
			b.WriteString(text)
			return b.String(), replaced, nil
		}
		if at > 0 && text[at-1] == '$' {
			b.WriteString(text[:at-1])
			b.WriteString("${")
			text = text[at+2:]
			continue
		}
		b.WriteString(text[:at])
		what, rest, closed := strings.Cut(text[at+2:], "}")
		if !closed {
			return "", false, fmt.Errorf("%q has no closing brace: write ${env:NAME} or ${file:path}, or $${ for a literal ${", text[at:])
		}
		insert, err := env.insert(what)
		if err != nil {
			return "", false, err
		}
		b.WriteString(insert)
		text, replaced = rest, true
	}
}

// open decrypts a value.
func (env environment) open(text string) (string, bool, error) {
	password, err := SealPassword(env.lookup)
	if err != nil {
		return "", false, err
	}
	text, err = unseal(text, password)
	return text, true, err
}

func (env environment) insert(what string) (string, error) {
	kind, name, _ := strings.Cut(what, ":")
	switch {
	case kind == "env" && name != "":
		text, ok := env[name]
		if !ok {
			return "", fmt.Errorf("${%s}: the environment variable %s is not set", what, name)
		}
		return text, nil
	case kind == "file" && name != "":
		text, err := readInsert(name)
		if err != nil {
			return "", fmt.Errorf("${%s}: %w", what, err)
		}
		return text, nil
	}
	return "", fmt.Errorf("${%s} is not known: write ${env:NAME} or ${file:path}, or $${ for a literal ${", what)
}

// readInsert reads a file without the line end that editors leave at its end.
func readInsert(path string) (string, error) {
	data, err := readFile(path, maxInsert)
	if err != nil {
		return "", err
	}
	return strings.TrimRight(string(data), "\r\n"), nil
}

// readFile reads a file of at most limit bytes.
func readFile(path string, limit Size) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, int64(limit)+1))
	if err != nil {
		return nil, err
	}
	if Size(len(data)) > limit {
		return nil, fmt.Errorf("%s is larger than %s", path, limit)
	}
	return data, nil
}
