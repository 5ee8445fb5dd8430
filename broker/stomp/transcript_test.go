package stomp

import (
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"treadmq/broker"
)

var update = flag.Bool("update", false, "rewrite what the server answers in testdata")

/*
A transcript in testdata is a conversation over real sockets:

	# text         a remark; "# with NAME" applies a server option of transcriptOptions
	C: line        a line from the client; ^@ is a NUL and ends without LF, ^M is a CR, ^J makes an LF before a ^@
	S: line        a line from the server
	C2: / S2:      the same for a second client, and so on
	C: <close>     the client closes its socket; <shut> only its own direction
	S: <end>       the server ends the connection in order

What differs from run to run gets names: {m1} for message ids, {a1} for ack headers, {t1} for temporary names; a client
line may use them. To write one, give for each frame of the server the line "S: ^@" and run with -update.
*/
var transcriptOptions = map[string]func(*rig){
	"soft":  withOptions(func(o *Options) { o.SoftErrors = true }),
	"users": withOptions(func(o *Options) { o.Anonymous, o.Auth = false, testUsers{} }),
	"hosts": withOptions(func(o *Options) { o.Hosts = []string{"here", "a:b"} }),
	"small": withOptions(func(o *Options) {
		o.MaxBody, o.MaxHeaderLine, o.MaxHeaders, o.MaxSubscriptions = 64, 128, 8, 2
	}),
	"rabbitmq":       withDialect(DialectRabbitMQ),
	"artemis":        withDialect(DialectArtemis),
	"apollo":         withDialect(DialectApollo),
	"path separator": func(r *rig) { r.listener.PathSeparator = '/' },
	"tiny queues": withPolicy(func(_ broker.Destination, p *broker.Policy) {
		p.MaxMessages, p.OnFull = 1, broker.FullFail
	}),
	"retry for ever": withPolicy(func(_ broker.Destination, p *broker.Policy) {
		p.Redelivery.Initial, p.Redelivery.Delay, p.Redelivery.Maximum = 0, 0, -1
	}),
	"retry at once": withPolicy(func(_ broker.Destination, p *broker.Policy) {
		p.Redelivery.Initial, p.Redelivery.Delay, p.Redelivery.Maximum = 0, 0, 2
	}),
}

// testUsers knows alice, whose password is se:cret.
type testUsers struct{}

func (testUsers) Authenticate(user, password, _ string) (bool, string, time.Duration) {
	return user == "alice" && password == "se:cret", user, 0
}

func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no transcripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			play := newPlay(t, string(want))
			got := play.run()
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// play is one run of a transcript.
type play struct {
	t       testing.TB
	r       *rig
	lines   []string
	out     strings.Builder
	clients map[string]*client
	names   map[string]string // real text to name
	reals   map[string]string // and back
	counts  map[string]int
}

func newPlay(t *testing.T, text string) *play {
	p := &play{
		t: t, clients: map[string]*client{}, names: map[string]string{}, reals: map[string]string{}, counts: map[string]int{},
	}
	p.lines = strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	var change []func(*rig)
	for _, line := range p.lines {
		if name, ok := strings.CutPrefix(line, "# with "); ok {
			f := transcriptOptions[name]
			if f == nil {
				t.Fatalf("no option %q", name)
			}
			change = append(change, f)
		}
	}
	p.r = newRig(t, change...)
	return p
}

// run plays the client's lines and returns the transcript as it happened.
func (p *play) run() string {
	for i := 0; i < len(p.lines); {
		who, side, text := splitLine(p.lines[i])
		switch side {
		case 'C':
			p.out.WriteString(p.lines[i] + "\n")
			p.clientLine(who, text)
			i++
		case 'S':
			n := 0
			for ; i < len(p.lines); i++ {
				w, s, text := splitLine(p.lines[i])
				if s != 'S' || w != who {
					break
				}
				if text == "<end>" || strings.HasSuffix(text, "^@") && !strings.HasSuffix(text, "^@^@") {
					n++
				}
			}
			for range n {
				p.serverFrame(who)
			}
		default:
			p.out.WriteString(p.lines[i] + "\n")
			i++
		}
	}
	return p.out.String()
}

// splitLine takes "C2: text" apart.
func splitLine(line string) (who string, side byte, text string) {
	head, text, ok := strings.Cut(line, ":")
	if !ok || head == "" || (head[0] != 'C' && head[0] != 'S') || len(head) > 2 {
		return "", 0, ""
	}
	return head[1:], head[0], strings.TrimPrefix(text, " ")
}

func (p *play) client(who string) *client {
	c := p.clients[who]
	if c == nil {
		c = p.r.dial()
		p.clients[who] = c
	}
	return c
}

func (p *play) clientLine(who, text string) {
	c := p.client(who)
	switch text {
	case "<close>":
		_ = c.nc.Close()
		delete(p.clients, who)
		return
	case "<shut>":
		_ = c.nc.(*net.TCPConn).CloseWrite()
		return
	}
	for name, real := range p.reals {
		text = strings.ReplaceAll(text, name, real)
	}
	text += "\n"
	text = strings.ReplaceAll(text, "^@\n", "\x00")
	text = strings.NewReplacer("^@", "\x00", "^M", "\r", "^J", "\n").Replace(text)
	c.send(text)
}

// Text that differs from run to run, and the letter its names begin with.
var variable = []struct {
	letter string
	re     *regexp.Regexp
}{
	{"m", regexp.MustCompile(`\bID-test-[0-9a-f]+`)},
	{"a", regexp.MustCompile(`^ack:(.*)`)},
	{"t", regexp.MustCompile(`test\.\d+-\d+`)},
	{"s", regexp.MustCompile(`^session:(.*)`)},
	{"addr", regexp.MustCompile(`127\.0\.0\.1(:|\\c)\d+`)},
	{"time", regexp.MustCompile(`\b1[6-9]\d{11}\b`)},
}

func (p *play) serverFrame(who string) {
	g, err := p.client(who).read()
	if err == io.EOF {
		fmt.Fprintf(&p.out, "S%s: <end>\n", who)
		return
	}
	if err != nil {
		fmt.Fprintf(&p.out, "S%s: %v\n", who, err)
		p.t.Errorf("%v; so far:\n%s", err, p.out.String())
		return
	}
	for _, line := range append(append([]string{g.command}, g.headers...), "") {
		p.serverLine(who, line)
	}
	body := strings.ReplaceAll(g.body, "\x00", "^@^@")
	lines := strings.Split(body, "\n")
	for i, line := range lines {
		if i == len(lines)-1 {
			line += "^@"
		}
		p.serverLine(who, line)
	}
}

func (p *play) serverLine(who, line string) {
	for _, v := range variable {
		line = v.re.ReplaceAllStringFunc(line, func(s string) string {
			if v.letter == "time" || v.letter == "addr" {
				return "{" + v.letter + "}"
			}
			head, real := "", s
			if h, rest, ok := strings.Cut(s, ":"); ok {
				head, real = h+":", rest
			}
			return head + p.name(v.letter, real)
		})
	}
	line = strings.ReplaceAll(line, "\r", "^M")
	fmt.Fprintf(&p.out, "S%s:%s\n", who, strings.TrimRight(" "+line, " "))
}

func (p *play) name(letter, real string) string {
	name, ok := p.names[real]
	if !ok {
		p.counts[letter]++
		name = fmt.Sprintf("{%s%d}", letter, p.counts[letter])
		p.names[real], p.reals[name] = name, real
	}
	return name
}
