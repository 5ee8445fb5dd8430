package realm

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
)

// ErrNoUser says that the file has no entry of that name.
var ErrNoUser = errors.New("there is no such user")

// ErrUserExists says that the file has an entry of that name already.
var ErrUserExists = errors.New("there is such a user already")

// Add adds a user with a password as Hash makes it for nobody, and roles. It makes the
// file, mode 0600, if there is none.
func Add(path, user, stored string, roles []string) error {
	if err := begin(path); err != nil {
		return err
	}
	return edit(path, user, func(old *property) (string, error) {
		if old != nil {
			return "", ErrUserExists
		}
		return line(user, stored, roles)
	})
}

// SetPassword gives a user another password, as Hash makes it for nobody. Roles stay.
func SetPassword(path, user, stored string) error {
	return edit(path, user, func(old *property) (string, error) {
		if old == nil {
			return "", ErrNoUser
		}
		_, roles := splitEntry(old.value)
		return line(user, stored, splitRoles(roles))
	})
}

// SetRoles gives a user other roles. The password stays.
func SetRoles(path, user string, roles []string) error {
	return edit(path, user, func(old *property) (string, error) {
		if old == nil {
			return "", ErrNoUser
		}
		password, _ := splitEntry(old.value)
		return line(user, escape(password, false), roles)
	})
}

// Remove takes every entry of a user out of the file.
func Remove(path, user string) error {
	return edit(path, user, func(old *property) (string, error) {
		if old == nil {
			return "", ErrNoUser
		}
		return "", nil
	})
}

// begin writes a realm file without users unless there is one.
func begin(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err == nil {
		_, err = f.WriteString(generatedHead)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return fmt.Errorf("write a realm file: %w", err)
	}
	return nil
}

// line is an entry of the file.
func line(user, stored string, roles []string) (string, error) {
	if user == "" || user != strings.TrimSpace(user) || strings.ContainsFunc(user, unicode.IsControl) {
		return "", fmt.Errorf("the user name %q is empty, or has blanks around it or control characters", user)
	}
	text := escape(user, true) + ": " + stored
	for _, r := range roles {
		if r == "" || r != strings.TrimSpace(r) || strings.Contains(r, ",") || strings.ContainsFunc(r, unicode.IsControl) {
			return "", fmt.Errorf("%q is no role: a role has no comma, no blanks around it and no control character", r)
		}
		text += ", " + escape(r, false)
	}
	return text, nil
}

// edit replaces the entry of a user, of several the last, which is the one that counts;
// the others go. All other lines stay as they are. change gets nil if there is none, and
// returns "" to have it removed.
func edit(path, user string, change func(old *property) (string, error)) error {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return fmt.Errorf("change the realm file: %w", err)
	}
	return rewriteFile(path, func(data []byte) ([]byte, error) {
		var old *property
		var mine []property
		for _, p := range parseProperties(decodeText(data)) {
			if strings.TrimSpace(p.key) == user {
				mine = append(mine, p)
				old = &mine[len(mine)-1]
			}
		}
		entry, err := change(old)
		if err != nil {
			return nil, err
		}
		return replaceLines(data, mine, entry), nil
	})
}

// replaceLines takes the lines of entries out of a file and puts another in the place of
// the last, or at the end.
func replaceLines(data []byte, mine []property, entry string) []byte {
	lines := rawLines(string(data))
	end := "\n"
	if len(lines) > 0 && strings.HasSuffix(lines[0], "\r\n") {
		end = "\r\n"
	}
	if entry != "" {
		entry += end
	}
	if len(mine) == 0 {
		if n := len(lines); n > 0 && !strings.HasSuffix(lines[n-1], "\n") && !strings.HasSuffix(lines[n-1], "\r") {
			lines[n-1] += end
		}
		return []byte(strings.Join(append(lines, entry), ""))
	}
	for i, p := range slices.Backward(mine) {
		if i < len(mine)-1 {
			entry = ""
		}
		lines = slices.Replace(lines, p.line-1, lastLine(lines, p.line), entry)
	}
	return []byte(strings.Join(lines, ""))
}

// lastLine is the line, from 1, in which the entry ends that begins in first.
func lastLine(lines []string, first int) int {
	for first < len(lines) && continued(strings.TrimRight(lines[first-1], "\r\n")) {
		first++
	}
	return first
}

// rawLines splits behind LF, CR and CR LF.
func rawLines(text string) []string {
	var lines []string
	start := 0
	for i := range len(text) {
		if text[i] == '\n' || text[i] == '\r' && (i+1 == len(text) || text[i+1] != '\n') {
			lines = append(lines, text[start:i+1])
			start = i + 1
		}
	}
	if start < len(text) {
		lines = append(lines, text[start:])
	}
	return lines
}

// rewriteFile changes a file as a whole: readers see the old content or the new one, also
// after a power cut. The file keeps its owner, and nobody but owner and group has it.
func rewriteFile(path string, change func(data []byte) ([]byte, error)) (err error) {
	tmp := path + ".new" // also keeps two changes at a time apart
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("change the realm file: another change of it is under way; if none is, one was cut off: delete %s and try again", tmp)
	}
	if err != nil {
		return fmt.Errorf("change the realm file: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(tmp))
		}
	}()
	defer f.Close() // mostly it is closed already
	stat, data, err := readRealm(path)
	if err != nil {
		return err
	}
	if data, err = change(data); err != nil {
		return err
	}
	if len(data) > maxFile {
		return errors.New("change the realm file: it would be larger than 4 MiB, the most that is read")
	}
	if err := keepOwner(f, stat); err != nil {
		return fmt.Errorf("change the realm file: its owner cannot be kept: %w; do it as that user", err)
	}
	if _, err = f.Write(data); err == nil {
		err = errors.Join(f.Chmod(stat.Mode().Perm()&^0o007), f.Sync(), f.Close())
	}
	if err != nil {
		return fmt.Errorf("change the realm file: %w", err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("change the realm file: %w", err)
	}
	return syncDir(filepath.Dir(path))
}
