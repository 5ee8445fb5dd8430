package main

import (
	"context"
	"os"
	"strings"
	"testing"
)

// On a terminal it draws again and again on a screen of its own, and gives it back.
func TestTopOnATerminal(t *testing.T) {
	b := theBroker(t)
	master, slave := openTerminal(t)
	cmd := call{args: []string{"top", "--interval", "100ms"}, env: append(b.env(), "TERM=xterm")}.command(context.Background())
	cmd.Stdout = slave
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	screen, read := &lockedBuffer{}, make(chan struct{})
	go func() {
		defer close(read)
		buf := make([]byte, 4096)
		for {
			n, err := master.Read(buf)
			screen.Write(buf[:n])
			if err != nil {
				return
			}
		}
	}()
	eventually(t, "the third picture", func() bool { return strings.Count(screen.String(), screenClear) > 2 })
	cmd.Process.Signal(os.Interrupt)
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	<-read
	if text := screen.String(); !strings.HasPrefix(text, screenOn) || !strings.HasSuffix(text, screenOff) {
		t.Errorf("%q", text)
	}
}
