package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"treadmq/store"
	"treadmq/store/local"
	"treadmq/store/vfs"
)

// storeFlags say which store to look into.
type storeFlags struct{ server serverFlags }

func (f *storeFlags) register(cmd *cobra.Command) {
	f.server.register(cmd)
	for _, other := range []string{"stomp", "console", "realm"} {
		cmd.Flags().MarkHidden(other)
	}
}

// folder is the store's folder: that of the argument, which may be the data folder
// around it, or that of the configuration.
func (f *storeFlags) folder(args []string) (string, error) {
	data := ""
	var at []string
	if len(args) > 0 {
		data = args[0]
	} else {
		cfg, err := readConfig(&f.server)
		if err != nil {
			return "", configError(err)
		}
		data = cfg.Data
		if cfg.Replicated.Enabled {
			at = append(at, cfg.ReplicatedDir())
		}
	}
	at = append(at, filepath.Join(data, "store"), filepath.Join(data, "replicated"), data)
	for _, dir := range at {
		if _, err := os.Stat(filepath.Join(dir, "meta")); err == nil {
			return dir, nil
		}
	}
	for _, dir := range at {
		if segments, _ := filepath.Glob(filepath.Join(dir, strings.Repeat("?", 16)+".log")); len(segments) > 0 {
			return "", &failure{code: exitData, what: fmt.Sprintf("%s holds %s of a journal but no meta file", dir, plural(len(segments), "segment")),
				next: "restore the file from a copy of the folder"}
		}
	}
	return "", &failure{code: exitNoInput, what: data + " holds no store",
		next: "give the data folder as an argument or with --data"}
}

func newStoreCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "store", Short: "Check, print and repair a store that no broker uses",
		Long: `Check, print and repair a store that no broker uses: stop the broker first. All
commands take the data folder as an argument; without it, it is that of the
configuration.`,
	}
	cmd.AddCommand(newStoreCheckCommand(), newStoreDumpCommand(), newStoreStatsCommand(), newStoreCompactCommand(), newStoreRebuildCommand())
	return cmd
}

// storeError words why a store cannot be looked into.
func storeError(what string, err error) *failure {
	f := &failure{code: exitData, what: what, why: err}
	switch {
	case errors.Is(err, store.ErrLocked):
		f.code, f.next = exitTryAgain, "stop the broker that uses it: treadmq stop"
	case errors.Is(err, fs.ErrNotExist):
		f.code = exitNoInput
	case errors.Is(err, fs.ErrPermission):
		f.code = exitNotAllowed
	case errors.Is(err, syscall.EROFS):
		f.code, f.next = exitCannot, "copy the folder to where it can be written; check and dump need no more than to read"
	case errors.Is(err, store.ErrCorrupt):
		f.next = "keep a copy of the folder; treadmq store check tells all that is wrong"
	}
	return f
}

func newStoreCheckCommand() *cobra.Command {
	f := &storeFlags{}
	cmd := &cobra.Command{
		Use: "check [FOLDER]", Short: "Verify a store and print what is found; nothing is changed",
		Long: `Verify a store: every batch's checksum, position and chain, every record, the index
against the journal, the counts of what is live. Nothing is changed. The exit code is 65
when there is a problem.

The index digest is a checksum of what the index says. Members of a replicated group
whose indexes reflect the same position have the same digest.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return storeCheck(cmd, f, args) },
	}
	f.register(cmd)
	outputFlag(cmd)
	return cmd
}

// checkReport is what `store check -o json` prints.
type checkReport struct {
	Folder   string   `json:"folder"`
	Segments int      `json:"segments"`
	Batches  int64    `json:"batches"`
	Records  int64    `json:"records"`
	Messages int64    `json:"messages"`
	Bytes    int64    `json:"bytes"`
	Problems int      `json:"problems"`
	Applied  uint64   `json:"applied"`
	Digest   string   `json:"digest"`
	Found    []string `json:"found"`
}

func storeCheck(cmd *cobra.Command, f *storeFlags, args []string) error {
	dir, err := f.folder(args)
	if err != nil {
		return err
	}
	var found strings.Builder
	var w io.Writer = &found
	table := outputFormat(cmd) == formatTable
	disk := watchDisk(cmd, dir, "checking", true)
	if table {
		w = disk.bar.over(cmd.OutOrStdout())
	}
	var r local.Report
	err = interruptible(cmd.Context(), func() (err error) {
		r, err = local.Check(disk, dir, w)
		return err
	})
	disk.end()
	if err != nil {
		f := storeError("the store cannot be checked", err)
		if f.code == exitData {
			f.next = "keep a copy of the folder, and restore a back-up"
		}
		return f
	}
	if !table {
		v := checkReport{dir, r.Segments, r.Batches, r.Records, r.Messages, r.Bytes, r.Problems, uint64(r.Applied), r.Digest, strings.Split(strings.TrimRight(found.String(), "\n"), "\n")}
		err := printOne(cmd, []string{"folder", "segments", "batches", "records", "messages", "bytes", "problems"}, record{
			value: v, name: dir, cells: []string{dir, strconv.Itoa(r.Segments), strconv.FormatInt(r.Batches, 10), strconv.FormatInt(r.Records, 10),
				strconv.FormatInt(r.Messages, 10), strconv.FormatInt(r.Bytes, 10), strconv.Itoa(r.Problems)},
		})
		if err != nil {
			return err
		}
	}
	if r.Problems > 0 {
		return &failure{code: exitData, what: fmt.Sprintf("the store has %s", plural(r.Problems, "problem")),
			next: "keep a copy of the folder; a damaged index alone is repaired by treadmq store rebuild, or by the next start"}
	}
	return nil
}

func newStoreDumpCommand() *cobra.Command {
	f := &storeFlags{}
	var filter local.Filter
	var from, to uint64
	var dest uint32
	cmd := &cobra.Command{
		Use: "dump [FOLDER]", Short: "Print the records of a store's journal, one on a line",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			filter.From, filter.To, filter.Dest = store.Position(from), store.Position(to), store.DestID(dest)
			return storeDump(cmd, f, args, filter)
		},
	}
	f.register(cmd)
	fl := cmd.Flags()
	fl.Uint64Var(&from, "from", 0, "first position")
	fl.Uint64Var(&to, "to", 0, "position to stop before (default the end)")
	fl.Uint32Var(&dest, "dest", 0, "only this destination, by its number in the store")
	fl.BoolVar(&filter.Batches, "batches", false, "a line for each batch, too")
	fl.IntVar(&filter.Body, "body", 0, "up to so many bytes of each message")
	outputFlag(cmd, formatRaw)
	return cmd
}

// dumpRecord is one record as `store dump -o jsonl` prints it.
type dumpRecord struct {
	Position uint64 `json:"position"`
	Kind     string `json:"kind"`
	Text     string `json:"text"`
}

func storeDump(cmd *cobra.Command, f *storeFlags, args []string, filter local.Filter) error {
	dir, err := f.folder(args)
	if err != nil {
		return err
	}
	p := newPrinter(cmd, "position", "kind", "text")
	var w io.Writer = p.w
	if p.format != formatRaw {
		w = &dumpWriter{p: p}
	}
	err = interruptible(cmd.Context(), func() error { return local.Dump(vfs.OS{}, dir, w, filter) })
	if err != nil {
		if cmd.Context().Err() == nil {
			p.flush()
		}
		return storeError("the store cannot be printed", err)
	}
	if p.format == formatRaw {
		return p.w.Flush()
	}
	return p.close()
}

// dumpWriter makes records of lines. local.Dump writes whole lines.
type dumpWriter struct{ p *printer }

// Write takes one or more lines.
func (d *dumpWriter) Write(b []byte) (int, error) {
	s := bufio.NewScanner(strings.NewReader(string(b)))
	s.Buffer(nil, len(b)+1)
	for s.Scan() {
		position, rest, _ := strings.Cut(s.Text(), " ")
		kind, text, _ := strings.Cut(rest, " ")
		at, err := strconv.ParseUint(position, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("a line of the dump does not begin with a position: %w", err)
		}
		r := record{value: dumpRecord{at, kind, text}, cells: []string{position, kind, text}, name: position}
		if err := d.p.add(r); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}

func newStoreStatsCommand() *cobra.Command {
	f := &storeFlags{}
	cmd := &cobra.Command{
		Use: "stats [FOLDER]", Short: "Print the figures of a store",
		Long: `Print the figures of a store. It is opened as by a start of the broker, with all
repairs that a start makes.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return storeFigures(cmd, f, args, storeJob{"opening", "the store's figures cannot be read", false}, func(o local.Options) (store.Stats, error) {
				return local.StatsOf(o)
			})
		},
	}
	f.register(cmd)
	outputFlag(cmd)
	return cmd
}

func newStoreCompactCommand() *cobra.Command {
	f := &storeFlags{}
	cmd := &cobra.Command{
		Use: "compact [FOLDER]", Short: "Give back the disk space of what is no longer needed",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return storeFigures(cmd, f, args, storeJob{"compacting", "the store cannot be compacted", false}, func(o local.Options) (store.Stats, error) {
				before, after, err := local.Compact(o)
				if err == nil {
					talk(cmd, "%d bytes on disk before, %d after, %d of them live", before.DiskBytes, after.DiskBytes, after.LiveBytes)
				}
				return after, err
			})
		},
	}
	f.register(cmd)
	outputFlag(cmd)
	return cmd
}

func newStoreRebuildCommand() *cobra.Command {
	f := &storeFlags{}
	cmd := &cobra.Command{
		Use: "rebuild [FOLDER]", Short: "Make the index of a store again from its journal",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return storeFigures(cmd, f, args, storeJob{"rebuilding", "the index cannot be made again", true}, func(o local.Options) (store.Stats, error) {
				return local.Rebuild(o)
			})
		},
	}
	f.register(cmd)
	outputFlag(cmd)
	return cmd
}

// storeStats is what `store stats -o json` prints.
type storeStats struct {
	Folder     string `json:"folder"`
	Epoch      uint64 `json:"epoch"`
	Start      uint64 `json:"start"` // position of the first byte still kept
	End        uint64 `json:"end"`
	Commit     uint64 `json:"commit"`
	Applied    uint64 `json:"applied"` // what the index reflects
	Segments   int    `json:"segments"`
	DiskBytes  int64  `json:"diskBytes"`
	LiveBytes  int64  `json:"liveBytes"`
	IndexBytes int64  `json:"indexBytes"`
	FreeDisk   int64  `json:"freeDisk"`
	Full       bool   `json:"full"`
}

// storeJob is what a command does to a store, in words.
type storeJob struct {
	label  string // of its progress bar
	failed string
	whole  bool // it reads the whole journal
}

// storeFigures does something to a store and prints its figures afterwards.
func storeFigures(cmd *cobra.Command, f *storeFlags, args []string, job storeJob, do func(local.Options) (store.Stats, error)) error {
	dir, err := f.folder(args)
	if err != nil {
		return err
	}
	disk := watchDisk(cmd, dir, job.label, job.whole)
	s, err := do(local.Options{FS: disk, Dir: dir, Logger: clientLogger(cmd)})
	disk.end()
	if err != nil {
		return storeError(job.failed, err)
	}
	v := storeStats{dir, uint64(s.Epoch), uint64(s.Start), uint64(s.End), uint64(s.Commit), uint64(s.Applied),
		s.Segments, s.DiskBytes, s.LiveBytes, s.IndexBytes, s.FreeDisk, s.Full}
	columns, cells, err := fieldsOf(v)
	if err != nil {
		return err
	}
	return printOne(cmd, columns, record{value: v, cells: cells, name: dir})
}
