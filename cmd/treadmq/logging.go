package main

import (
	"io"
	"log/slog"
	"os"

	"golang.org/x/term"
	"gopkg.in/natefinch/lumberjack.v2"

	"treadmq/conf"
)

// openLog makes the logger that the configuration asks for. reopen lets log
// rotation from outside take effect.
func openLog(c conf.Log) (log *slog.Logger, reopen func(), closeLog func()) {
	var w io.Writer = os.Stderr
	reopen, closeLog = func() {}, func() {}
	text := c.Format == "text"
	if c.File != "" {
		file := &lumberjack.Logger{Filename: c.File, MaxSize: max(int(c.MaxSize>>20), 1),
			MaxBackups: c.MaxBackups, MaxAge: int(c.MaxAge.Hours() / 24)}
		w = file
		reopen = func() { file.Close() } // the next line opens it again
		closeLog = func() { file.Close() }
	} else if c.Format == "auto" {
		text = term.IsTerminal(int(os.Stderr.Fd()))
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		level = slog.LevelInfo
	}
	opt := &slog.HandlerOptions{Level: level, ReplaceAttr: readable}
	if text {
		return slog.New(slog.NewTextHandler(w, opt)), reopen, closeLog
	}
	return slog.New(slog.NewJSONHandler(w, opt)), reopen, closeLog
}

// readable gives a duration its unit: slog's JSON would show a bare number of nanoseconds.
func readable(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}
