package admin

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/gorilla/mux"

	"treadmq/notice"
)

// ui is what pages are made of: templates, assets and texts.
type ui struct {
	prefix string
	files  fs.FS
	common *template.Template           // what all pages have; it is cloned only
	texts  map[string]map[string]string // language -> key -> text
	assets map[string]asset

	mu    sync.Mutex // guards pages
	pages map[pageKey]*template.Template
}

// pageKey names a page in a language.
type pageKey struct{ lang, name string }

// asset is a file that browsers keep: its address changes with its content.
type asset struct {
	kind    string
	content []byte
	packed  []byte // the same, compressed
	version string
}

// minCompressed is the size in bytes from which on a page is compressed.
const minCompressed = 2048

const fallbackLanguage = "en"

// loadUI reads everything and so finds every mistake at the start.
func loadUI(files fs.FS, prefix string) (*ui, error) {
	u := &ui{prefix: prefix, files: files, pages: map[pageKey]*template.Template{}, texts: map[string]map[string]string{}, assets: map[string]asset{}}
	for _, load := range []func(fs.FS) error{u.loadTexts, u.loadAssets, u.loadPages} {
		if err := load(files); err != nil {
			return nil, fmt.Errorf("load the user interface: %w", err)
		}
	}
	return u, nil
}

func (u *ui) loadTexts(files fs.FS) error {
	names, err := fs.Glob(files, "texts/*.json")
	if err != nil {
		return err
	}
	for _, name := range names {
		raw, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		texts := map[string]string{}
		if err := json.Unmarshal(raw, &texts); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		u.texts[strings.TrimSuffix(path.Base(name), ".json")] = texts
	}
	if u.texts[fallbackLanguage] == nil {
		return fmt.Errorf("texts/%s.json is missing", fallbackLanguage)
	}
	return nil
}

// assetKinds are the files that are served; lists of checksums and the like are not.
var assetKinds = map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml", ".txt": "text/plain; charset=utf-8"}

// loadAssets takes our own files, and those of others from the folder vendor. All are served under their names without a folder.
func (u *ui) loadAssets(files fs.FS) error {
	return fs.WalkDir(files, "assets", func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "SHA256SUMS" {
			return err
		}
		kind, ok := assetKinds[path.Ext(file)]
		if _, twice := u.assets[d.Name()]; !ok || twice {
			return fmt.Errorf("%s is of a kind that is not served, or there are two of that name", file)
		}
		content, err := fs.ReadFile(files, file)
		if err != nil {
			return err
		}
		if strings.HasPrefix(file, "assets/vendor/") && path.Ext(file) == ".css" {
			content = slices.Concat([]byte("@layer vendor {\n"), content, []byte("\n}\n")) // whatever it says, our own style sheet has the last word
		}
		sum := sha256.Sum256(content)
		u.assets[d.Name()] = asset{kind, content, compressed(content, &packers), hex.EncodeToString(sum[:6])}
		return nil
	})
}

func (u *ui) loadPages(files fs.FS) error {
	var err error
	u.common, err = template.New("layout.html").Funcs(template.FuncMap{
		"num": formatNumber, "bytes": func(v any) string { return formatBytes(toFloat(v)) }, "rate": formatRate,
		"span": func(v any) string { return formatSpan(int64(toFloat(v))) }, "time": formatTime, "moment": formatMoment, "millis": formatMillis,
		"sparkline": sparkline, "url": u.url, "asset": u.assetURL,
		"legend": legend, "millispan": formatMilliSpan, "byid": byID, "deadselector": deadSelector, "int": func(n int64) int { return int(n) }, "count": func(n *uint64) uint64 { return *n },
		"dict": dict, "list": func(v ...string) []string { return v },
	}).ParseFS(files, "templates/layout.html", "templates/parts/*.html")
	if err != nil {
		return err
	}
	names, err := fs.Glob(files, "templates/*.html")
	if err != nil {
		return err
	}
	for _, name := range names {
		if name == "templates/layout.html" {
			continue
		}
		if _, err := u.parsePage(name); err != nil {
			return err
		}
	}
	return nil
}

func (u *ui) parsePage(file string) (*template.Template, error) {
	page, err := u.common.Clone()
	if err != nil {
		return nil, err
	}
	return page.ParseFS(u.files, file)
}

// page is a page in a language, made when it is first asked for: templates are thousands of small pieces, which a collector that
// runs beside messages has to walk, and most brokers are looked at seldom.
func (u *ui) page(lang, name string) (*template.Template, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	key := pageKey{lang, name}
	if page := u.pages[key]; page != nil {
		return page, nil
	}
	page, err := u.parsePage("templates/" + name + ".html")
	if err != nil {
		return nil, err
	}
	u.translate(page, lang)
	u.pages[key] = page
	return page, nil
}

// dict hands several values to a template that is part of others.
func dict(pairs ...any) (map[string]any, error) {
	if len(pairs)%2 != 0 {
		return nil, fmt.Errorf("dict needs pairs")
	}
	d := map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		key, ok := pairs[i].(string)
		if !ok {
			return nil, fmt.Errorf("dict: %v is no name", pairs[i])
		}
		d[key] = pairs[i+1]
	}
	return d, nil
}

func toFloat(v any) float64 {
	switch v := v.(type) {
	case int:
		return float64(v)
	case int64:
		return float64(v)
	case uint64:
		return float64(v)
	case float64:
		return v
	}
	return 0
}

// url is an address of the console: a path and its query, given as names and
// values; empty values are left out.
func (u *ui) url(path string, query ...string) string {
	values := url.Values{}
	for i := 0; i+1 < len(query); i += 2 {
		if query[i+1] != "" {
			values.Set(query[i], query[i+1])
		}
	}
	if len(values) == 0 {
		return u.prefix + path
	}
	return u.prefix + path + "?" + values.Encode()
}

func (u *ui) assetURL(name string) (string, error) {
	a, ok := u.assets[name]
	if !ok {
		return "", fmt.Errorf("there is no asset %s", name)
	}
	return u.url("/admin/assets/"+name, "v", a.version), nil
}

// asset answers with a file. With its version in the address it never changes.
func (s *Server) asset(w http.ResponseWriter, r *http.Request) error {
	a, ok := s.ui.assets[mux.Vars(r)["file"]]
	if !ok {
		return &httpError{http.StatusNotFound, "not-found", "There is no such file."}
	}
	if r.URL.Query().Get("v") == a.version {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	w.Header().Set("Content-Type", a.kind)
	w.Header().Set("Vary", "Accept-Encoding")
	if takesGzip(r) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(a.packed) // the client may be gone
		return nil
	}
	_, _ = w.Write(a.content)
	return nil
}

// takesGzip reports whether the client asked for gzip, as browsers do.
func takesGzip(r *http.Request) bool {
	for part := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, params, _ := strings.Cut(part, ";")
		if strings.EqualFold(strings.TrimSpace(name), "gzip") && strings.ReplaceAll(params, " ", "") != "q=0" {
			return true
		}
	}
	return false
}

// Compressors that can be used again: each has most of a megabyte. A page is compressed each time, an asset once.
var (
	packers      = sync.Pool{New: func() any { return gzip.NewWriter(nil) }}
	quickPackers = sync.Pool{New: func() any { z, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed); return z }}
)

func compressed(content []byte, packers *sync.Pool) []byte {
	var b bytes.Buffer
	z := packers.Get().(*gzip.Writer)
	defer packers.Put(z)
	z.Reset(&b)
	_, _ = z.Write(content) // to memory
	_ = z.Close()
	return b.Bytes()
}

// language picks the first language of the browser that there are texts in.
func (u *ui) language(r *http.Request) string {
	if c, err := r.Cookie(languageCookie); err == nil && u.texts[c.Value] != nil {
		return c.Value
	}
	for tag := range strings.SplitSeq(r.Header.Get("Accept-Language"), ",") {
		tag, _, _ = strings.Cut(strings.TrimSpace(tag), ";")
		tag, _, _ = strings.Cut(tag, "-")
		if u.texts[strings.ToLower(tag)] != nil {
			return strings.ToLower(tag)
		}
	}
	return fallbackLanguage
}

// text is a text in the browser's language; a missing one falls back to English.
func (u *ui) text(r *http.Request, key string, args ...any) string {
	return u.textIn(u.language(r), key, args...)
}

func (u *ui) textIn(lang, key string, args ...any) string {
	text, ok := u.texts[lang][key]
	if !ok {
		if text, ok = u.texts[fallbackLanguage][key]; !ok {
			return key
		}
	}
	if len(args) == 0 {
		return text
	}
	return fmt.Sprintf(text, args...)
}

// texts are the texts of the browser's language.
func (s *Server) texts(r *http.Request) func(string) string {
	lang := s.ui.language(r)
	return func(key string) string { return s.ui.textIn(lang, key) }
}

// page is what every template gets.
type page struct {
	Title    string
	Lang     string
	Theme    string // "light", "dark" or ""
	Here     string // the address of this page, to come back to
	Path     string
	Flash    string
	Undo     string // number in the trash of what Flash is about
	User     User
	Broker   BrokerInfo
	Group    *ClusterBrief // nil: the broker stands alone
	Serves   bool          // there is a broker: this one stands alone, or is master
	Data     any
	ReadOnly bool     // nothing can be changed, by nobody
	Link     *linkUse // by which the page is looked at, nil: by a login
	origin   string   // of the console, for who looks
	ui       *ui
}

// T is a text of the page's language.
func (p *page) T(key string, args ...any) string { return p.ui.textIn(p.Lang, key, args...) }

// Languages are those that there are texts in.
func (p *page) Languages() []string { return slices.Sorted(maps.Keys(p.ui.texts)) }

// LanguageName is what a language calls itself.
func (p *page) LanguageName(lang string) string { return p.ui.textIn(lang, "language.name") }

// Say says a notice in the page's language.
func (p *page) Say(n notice.Notice) string { return p.ui.say(p.Lang, n) }

func (u *ui) say(lang string, n notice.Notice) string {
	return n.In(func(code string) (string, bool) {
		text, ok := u.texts[lang][code]
		return text, ok
	})
}

// Doc says what a key of the configuration is for; doc is the same in English.
func (p *page) Doc(key, doc string) string {
	if text, ok := p.ui.texts[p.Lang]["settings.doc."+key]; ok {
		return text
	}
	return doc
}

// wrong is an error as a page says it.
type wrong struct {
	Text    string
	English string // more about it, for which the language has no text
}

// Wrong says what went wrong. What has no text of its own is told by its code, and the
// English words of the log come with it.
func (p *page) Wrong(x *problem) wrong {
	if !x.said.IsZero() {
		return wrong{Text: p.Say(x.said)}
	}
	text, ok := p.ui.texts[p.Lang]["error.code."+string(x.Code)]
	if !ok || p.Lang == fallbackLanguage {
		return wrong{Text: x.Detail}
	}
	return wrong{text, x.Detail}
}

// Why words findings.
func (p *page) Why(list []finding) []string { return p.ui.whyTexts(p.Lang, list) }

// In reports whether the page is in that part of the console.
func (p *page) In(paths ...string) bool {
	for _, path := range paths {
		if p.Path == path || strings.HasPrefix(p.Path, path+"/") {
			return true
		}
	}
	return false
}

// MayRead, MaySend and MayManage say what the user is offered. The server checks again.
func (p *page) MayRead() bool { return p.User.may(permBody) }

// MaySend is about sending messages.
func (p *page) MaySend() bool { return p.User.may(permSend) }

// MayShare is about links to this page.
func (p *page) MayShare() bool {
	_, can := linkable[p.Path]
	return can && p.User.may(permShare)
}

// MayManage is about everything else that changes something.
func (p *page) MayManage() bool { return p.User.may(permManage) && !p.ReadOnly }

// MayAdmin is about the pages that only admins see.
func (p *page) MayAdmin() bool { return p.User.may(permManage) }

// render answers with a page.
func (s *Server) render(w http.ResponseWriter, r *http.Request, status int, name, titleKey string, data any) error {
	p := &page{
		Lang: s.ui.language(r), Theme: themeOf(r), Here: localPath(r.URL.RequestURI()), Path: r.URL.Path,
		User: userOf(r), Broker: s.opt.Info(), Group: s.brief(), Serves: s.b != nil, ReadOnly: s.opt.ReadOnly, Data: data, origin: s.originOf(r), ui: s.ui,
	}
	p.Title = p.T(titleKey)
	if p.Link = linkOf(r); p.Link != nil {
		p.Here = p.Link.path
	} else if p.User.Name != "" && r.Method == http.MethodGet {
		p.Flash = s.sessions.PopString(r.Context(), sessionFlash)
		p.Undo = s.sessions.PopString(r.Context(), sessionUndo)
	}
	var b bytes.Buffer
	t, err := s.ui.page(p.Lang, name)
	if err == nil {
		err = t.ExecuteTemplate(&yielding{w: &b}, "layout", p)
	}
	if err != nil {
		return fmt.Errorf("make the page %s: %w", name, err)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Language", p.Lang)
	content := b.Bytes()
	if p.Link != nil {
		content = s.liveByLink(p.Link, content)
	}
	if len(content) > minCompressed && takesGzip(r) { // a page repeats nothing that the asker chose beside a secret
		w.Header().Set("Content-Encoding", "gzip")
		content = compressed(content, &quickPackers)
	}
	w.WriteHeader(status)
	_, _ = w.Write(content) // the client may be gone
	return nil
}

// yielding lets others run each time that some of a page was written: messages do not wait for a page to be ready.
type yielding struct {
	w    io.Writer
	left int
}

const pagePiece = 2 << 10 // bytes

func (y *yielding) Write(p []byte) (int, error) {
	if y.left -= len(p); y.left < 0 {
		y.left = pagePiece
		runtime.Gosched()
	}
	return y.w.Write(p)
}

// errorPage tells a person what went wrong.
func (s *Server) errorPage(w http.ResponseWriter, r *http.Request, p problem) {
	ctx, err := s.sessions.Load(r.Context(), "") // an error may come before the session was read
	if err == nil {
		err = s.render(w, r.WithContext(ctx), p.Status, "error", "error.title", &p)
	}
	if err != nil {
		s.log.Error("the page of an error cannot be made", "err", err)
		http.Error(w, p.Detail, p.Status)
	}
}

// flash leaves a message for the next page.
func (s *Server) flash(r *http.Request, key string, args ...any) {
	s.sessions.Put(r.Context(), sessionFlash, s.ui.text(r, key, args...))
}
