package realm

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

const generatedHead = `# Users of TreadMQ: username: password [,rolename ...]
#
# Roles of the console: admin (everything), user (messages), viewer (looks only).
# "treadmq realm hash" makes an entry; changes count within seconds, without a
# restart. "treadmq realm check" tests this file.

`

// Generate writes a realm file, mode 0600, with the user admin and a random
// password of 130 bits, which it returns: nothing else knows it. It makes the
// directory if need be. A file that exists is left alone; the error then matches
// [fs.ErrExist].
func Generate(path string) (password string, err error) {
	password = rand.Text()
	entry, err := Hash(BCrypt, "admin", password)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", fmt.Errorf("write a realm file: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return "", fmt.Errorf("write a realm file: %w", err)
	}
	_, err = f.WriteString(generatedHead + entry + ", admin\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return "", fmt.Errorf("write a realm file: %w", errors.Join(err, os.Remove(path)))
	}
	return password, nil
}
