package e2e

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// patience bounds one step in the browser.
const patience = 20 * time.Second

var browser context.Context // of the one browser of this run, set by TestMain

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	path, err := findChromium()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	profile, err := os.MkdirTemp("", "treadmq-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(profile)
	opts := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.UserDataDir(profile), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.WSURLReadTimeout(time.Minute),
	)
	alloc, stop := chromedp.NewExecAllocator(context.Background(), opts...)
	defer stop()
	ctx, cancel := chromedp.NewContext(alloc)
	defer cancel()
	if err := chromedp.Do(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "start %s: %v\n", path, err)
		return 1
	}
	browser = ctx
	code := m.Run()
	if err := chromedp.Cancel(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "stop the browser:", err)
	}
	return code
}

func findChromium() (string, error) {
	names := []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"}
	if own := os.Getenv("CHROMIUM"); own != "" {
		names = []string{own}
	}
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("these tests need a Chromium and found none of %s: install the package chromium, or name one in CHROMIUM", strings.Join(names, ", "))
}

// tab is one page in a browser of its own: no cookies from other tests.
type tab struct {
	*rig
	ctx context.Context

	mu       sync.Mutex
	problems []string // what the browser complained about
	foreign  []string // requests to other hosts
	expected []string // parts of complaints that the test provokes
}

func (r *rig) open(expected ...string) *tab {
	r.t.Helper()
	b := &tab{rig: r, expected: expected}
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext(), chromedp.WithListener(b.event))
	b.ctx = ctx
	r.t.Cleanup(func() {
		cancel()
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, p := range b.problems {
			r.t.Errorf("the browser complains: %s", p)
		}
		for _, u := range b.foreign {
			r.t.Errorf("the page asked another server: %s", u)
		}
	})
	if err := chromedp.Do(ctx); err != nil { // opens it; its context must be the one without a time limit
		r.t.Fatalf("open a tab: %v", err)
	}
	call(b, network.Enable, network.EnableParams{})
	call(b, log.Enable, cdp.Empty{})
	call(b, runtime.Enable, cdp.Empty{})
	b.size(1280, 900)
	return b
}

// call sends a command of the browser's protocol.
func call[P, R any](b *tab, command cdp.Command[P, R], params P) {
	b.t.Helper()
	_ = result(b, func(ctx context.Context, t *chromedp.Target) (R, error) { return cdp.Call(ctx, t, command, params) })
}

// result carries out one action within the time for a step. Just after a page has loaded the driver may still name the context
// of the page before; the browser refuses such a call without carrying it out, so it is made again.
func result[T any](b *tab, action chromedp.Action[T]) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, action)
	for err != nil && strings.Contains(err.Error(), "Cannot find context") && ctx.Err() == nil {
		v, err = chromedp.Run(ctx, action)
	}
	if err != nil {
		b.t.Fatalf("in the browser: %v\n%s", err, b.source())
	}
	return v
}

// event notes what must not happen: errors in the console, breaches of the content
// security policy, requests to other hosts.
func (b *tab) event(ev any) {
	switch ev := ev.(type) {
	case *log.EventEntryAdded:
		if ev.Entry.Level == log.EntryLevelError || ev.Entry.Level == log.EntryLevelWarning {
			b.complain(fmt.Sprintf("%s: %s %s", ev.Entry.Source, ev.Entry.Text, ev.Entry.URL))
		}
	case *runtime.EventConsoleAPICalled:
		if ev.Type == runtime.ConsoleAPICalledTypeError || ev.Type == runtime.ConsoleAPICalledTypeWarning {
			b.complain(fmt.Sprintf("console.%s: %v", ev.Type, ev.Args))
		}
	case *runtime.EventExceptionThrown:
		b.complain(fmt.Sprintf("exception: %+v", ev.ExceptionDetails))
	case *network.EventRequestWillBeSent:
		u, err := url.Parse(ev.Request.URL)
		if err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != b.host {
			b.mu.Lock()
			b.foreign = append(b.foreign, ev.Request.URL)
			b.mu.Unlock()
		}
	}
}

func (b *tab) complain(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.expected {
		if strings.Contains(text, e) {
			return
		}
	}
	b.problems = append(b.problems, text)
}

// source is the page as it is now, for the report of a failure.
func (b *tab) source() string {
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](`location.href + "\n" + document.body.innerText`))
	if err != nil {
		return err.Error()
	}
	return text
}

func (b *tab) size(w, h int64) { b.t.Helper(); result(b, chromedp.EmulateViewport(w, h)) }

func (b *tab) dark(on bool) {
	b.t.Helper()
	value := "light"
	if on {
		value = "dark"
	}
	call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: value}},
	})
}

func (b *tab) goTo(path string) { b.t.Helper(); result(b, chromedp.Navigate(b.url+path)) }

func (b *tab) logIn(user, password string) {
	b.t.Helper()
	b.set(`input[name=user]`, user)
	b.set(`input[name=password]`, password)
	b.press(`.login button[type=submit]`)
}

// set fills a field in.
func (b *tab) set(selector, value string) {
	b.t.Helper()
	result(b, chromedp.SetValue(chromedp.CSS(selector), value))
}

// write types into a field.
func (b *tab) write(selector, text string) {
	b.t.Helper()
	result(b, chromedp.SendKeys(chromedp.CSS(selector), text))
}

// key presses keys, wherever the focus is.
func (b *tab) key(keys string) { b.t.Helper(); result(b, chromedp.KeyEvent(keys)) }

// click clicks what stays on the page.
func (b *tab) click(selector string) { b.t.Helper(); result(b, chromedp.Click(chromedp.CSS(selector))) }

// press clicks what leads to another page and waits until that is there.
func (b *tab) press(selector string) {
	b.t.Helper()
	b.leads(chromedp.Click(chromedp.CSS(selector)), selector)
}

// leads does something that leads to another page.
func (b *tab) leads(action chromedp.Action[chromedp.Void], what string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if _, err := chromedp.RunResponse(ctx, action); err != nil {
		b.t.Fatalf("%s: %v\n%s", what, err, b.source())
	}
}

// eval evaluates a script in the page.
func eval[T any](b *tab, script string) T {
	b.t.Helper()
	return result(b, chromedp.Evaluate[T](script))
}

// until waits for a condition in the page.
func (b *tab) until(script string) {
	b.t.Helper()
	result(b, chromedp.Poll[chromedp.Void](script, chromedp.WithPollingInterval(50*time.Millisecond), chromedp.WithPollingTimeout(patience)))
}

func (b *tab) text(selector string) string {
	b.t.Helper()
	return strings.TrimSpace(result(b, chromedp.Text(chromedp.CSS(selector))))
}

func (b *tab) has(selector string) bool {
	b.t.Helper()
	return eval[bool](b, fmt.Sprintf("document.querySelector(%q) !== null", selector))
}

func (b *tab) attribute(selector, name string) string {
	b.t.Helper()
	return result(b, chromedp.AttributeValue(chromedp.CSS(selector), name)).Value
}

func (b *tab) location() string { b.t.Helper(); return result(b, chromedp.Location()) }

// noScript switches scripts in pages off, or on again.
func (b *tab) noScript(off bool) {
	b.t.Helper()
	call(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: off})
}

// picture leaves a screenshot, if wanted.
func (b *tab) picture(name string) {
	b.t.Helper()
	folder := os.Getenv("SCREENSHOTS")
	if folder == "" {
		return
	}
	size := eval[[]int64](b, `[innerWidth, innerHeight, document.documentElement.scrollHeight]`)
	b.size(size[0], size[2]) // what sticks to the edge of the screen is at the edge of the page
	png := result(b, chromedp.FullScreenshot(100))
	b.size(size[0], size[1])
	file := filepath.Join(folder, name+".png")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(file, png, 0o644); err != nil {
		b.t.Fatal(err)
	}
}
