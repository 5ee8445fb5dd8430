package conf

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// Variables of the environment with the password that sealed values are opened with, or the file that has it.
const (
	SealPasswordEnv     = "TREADMQ_ENCRYPTION_PASSWORD"
	SealPasswordFileEnv = "TREADMQ_ENCRYPTION_PASSWORD_FILE"
)

// Form of a sealed value: ENC(base64url of a version, the salt of the key, the nonce, and what AES-256-GCM makes of the text).
const (
	sealBegin   = "ENC("
	sealEnd     = ")"
	sealVersion = 1
	sealSalt    = 16
	sealKey     = 32
	sealRounds  = 600_000 // of PBKDF2 with SHA-256: a tenth of a second or two for each value
)

// MaxSealed is the most bytes of a text that is sealed.
const MaxSealed = 64 << 10

// Seal encrypts a text, so that it can stand in a configuration as ENC(...).
func Seal(text, password string) (string, error) {
	if password == "" {
		return "", errors.New("the password for sealed values is empty")
	}
	if len(text) > MaxSealed {
		return "", fmt.Errorf("the text has %d bytes, more than %d", len(text), MaxSealed)
	}
	sealed := make([]byte, 1+sealSalt, 1+sealSalt+64+len(text))
	sealed[0] = sealVersion
	_, _ = rand.Read(sealed[1:]) // never fails
	aead, err := sealCipher(password, sealed[1:])
	if err != nil {
		return "", err
	}
	sealed = aead.Seal(sealed, nil, []byte(text), sealed[:1])
	return sealBegin + base64.RawURLEncoding.EncodeToString(sealed) + sealEnd, nil
}

// isSealed reports whether a value is of the form ENC(...).
func isSealed(text string) bool {
	return strings.HasPrefix(text, sealBegin) && strings.HasSuffix(text, sealEnd)
}

// unseal is the reverse of Seal.
func unseal(text, password string) (string, error) {
	code := text[len(sealBegin) : len(text)-len(sealEnd)]
	sealed, err := base64.RawURLEncoding.DecodeString(code)
	if err != nil || len(sealed) < 1+sealSalt || len(sealed) > 2*MaxSealed || sealed[0] != sealVersion {
		return "", errors.New("ENC(...) is not a value that treadmq config encrypt has made; ActiveMQ's and Artemis's are encrypted in other ways: encrypt the text anew")
	}
	aead, err := sealCipher(password, sealed[1:1+sealSalt])
	if err != nil {
		return "", err
	}
	open, err := aead.Open(nil, nil, sealed[1+sealSalt:], sealed[:1])
	if err != nil {
		return "", fmt.Errorf("ENC(...) does not open with this password: it was encrypted with another one than %s says, or changed", SealPasswordEnv)
	}
	return string(open), nil
}

// sealCipher makes the cipher of one value. The nonce is random and kept in front of what is encrypted.
func sealCipher(password string, salt []byte) (cipher.AEAD, error) {
	key, err := pbkdf2.Key(sha256.New, password, salt, sealRounds, sealKey)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// SealPassword finds the password for sealed values in the environment that lookup reads.
func SealPassword(lookup func(name string) (string, bool)) (string, error) {
	if password, ok := lookup(SealPasswordEnv); ok && password != "" {
		return password, nil
	}
	path, ok := lookup(SealPasswordFileEnv)
	if !ok || path == "" {
		return "", fmt.Errorf("ENC(...) needs its password: set %s, or %s to a file that holds it", SealPasswordEnv, SealPasswordFileEnv)
	}
	password, err := readInsert(path)
	if err != nil {
		return "", fmt.Errorf("%s: %w", SealPasswordFileEnv, err)
	}
	if password == "" {
		return "", fmt.Errorf("%s: the file %s is empty", SealPasswordFileEnv, path)
	}
	return password, nil
}
