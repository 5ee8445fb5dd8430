package stomp

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"time"

	"treadmq/broker"
	"treadmq/broker/stomp/frame"
)

// connect reads CONNECT, checks the login and answers. It returns why the session ends, if it does.
func (s *session) connect() *ending {
	if err := s.frames.Read(&s.frame); err != nil {
		return s.readEnded(err)
	}
	f := &s.frame
	if f.Command != frame.CONNECT && f.Command != frame.STOMP {
		return &ending{fault: protocolFault(codeProtocol, "not connected",
			"the first frame must be CONNECT or STOMP, not %s", f.Command)}
	}
	if err := s.logIn(f); err != nil {
		return &ending{fault: toFault(err), receipt: s.receiptLine(f), err: err}
	}
	return nil
}

// logIn carries out CONNECT. STOMP 1.2, Connecting.
func (s *session) logIn(f *frame.Frame) error {
	v, err := chooseVersion(f)
	if err != nil {
		return err
	}
	send, receive, err := s.heartBeats(f, v)
	if err != nil {
		return err
	}
	if err := s.checkHost(f); err != nil {
		return err
	}
	user, err := s.authenticate(f)
	if err != nil {
		return err
	}
	if full := s.srv.admitUser(s, user); full != nil {
		return full
	}
	s.version, s.soft = v, s.wantsSoft(f)
	if err := s.producerOf(f); err != nil {
		return err
	}
	clientID, _ := f.Get("client-id")
	if len(clientID) > maxName || len(user) > maxName {
		return protocolFault(broker.CodeLimit, "name too long", "client-id and login may have %d bytes", maxName)
	}
	s.conn, err = s.srv.opts.Broker.Connect(broker.ConnOptions{
		Protocol: s.protocol(v), Listener: s.listener.Name, Remote: s.remote.String(),
		Local: s.raw.LocalAddr().String(), User: user, ClientID: string(clientID), Conflict: s.srv.opts.ClientIDConflict, TLS: s.tls, Sink: s,
		Beats: broker.HeartBeats{ToClient: send, FromClient: receive},
	})
	if err != nil {
		return err
	}
	s.ready(f, user, send, receive)
	return nil
}

// ready sets the session up for a client that is let in, and queues CONNECTED.
func (s *session) ready(f *frame.Frame, user string, send, receive time.Duration) {
	o := &s.srv.opts
	s.number = connNumber(s.srv.started.Unix(), s.srv.epoch, s.conn.Serial())
	s.user = user
	s.deadline = time.Time{}
	_ = s.raw.SetReadDeadline(time.Time{}) // an interrupt in between shows in s.interrupted
	if receive > 0 {
		s.readTimeout = max(2*receive, receive+3*time.Second)
	}
	s.frames.SetVersion(s.version)
	s.frames.SetLimits(frame.Limits{HeaderLine: o.MaxHeaderLine, HeaderCount: o.MaxHeaders, Body: o.MaxBody})
	s.out.logIn(s.conn, s.connected(f, send, receive))
	if send > 0 {
		s.srv.beats.add(s, send)
	}
	s.debug("connected", "protocol", "STOMP "+s.version.String(), "tls", s.tls)
}

// connected makes the CONNECTED frame, which is never escaped. STOMP 1.2, Value Encoding.
func (s *session) connected(f *frame.Frame, send, receive time.Duration) []byte {
	dst := frame.AppendCommand(nil, frame.CONNECTED)
	dst = frame.AppendHeader(dst, frame.V10, "version", s.version.String())
	dst = frame.AppendHeader(dst, frame.V10, "heart-beat", fmt.Sprintf("%d,%d", send.Milliseconds(), receive.Milliseconds()))
	dst = frame.AppendHeader(dst, frame.V10, "session", "ID-"+strconv.FormatUint(s.number, 16))
	dst = frame.AppendHeader(dst, frame.V10, "server", s.srv.opts.ServerHeader)
	if s.srv.opts.Cluster != nil {
		if all := s.srv.opts.Cluster(s.listener.Name); all != "" {
			dst = frame.AppendHeader(dst, frame.V10, "x-cluster", all)
		}
	}
	dst = s.appendProducerSeq(dst)
	if id, ok := f.Get("request-id"); ok {
		dst = frame.AppendHeader(dst, frame.V10, "response-id", id)
	}
	if id, ok := f.Get("receipt"); ok {
		dst = frame.AppendHeader(dst, frame.V10, "receipt-id", id)
	}
	return append(append(dst, '\n'), frameEnd...)
}

func chooseVersion(f *frame.Frame) (frame.Version, error) {
	accept, ok := f.Get("accept-version")
	if !ok {
		return frame.V10, nil
	}
	v, ok := frame.Negotiate(string(accept))
	if !ok {
		bad := protocolFault(codeVersion, "no version in common",
			"accept-version is %q; this server speaks %s", accept, frame.SupportedVersions)
		bad.version = true
		return 0, bad
	}
	return v, nil
}

// heartBeats returns how often we send (sx) and want to receive (sy): what the client offers, within our bounds, and 0
// where it says 0. STOMP 1.2, Heart-beating; semantics 1.3.
func (s *session) heartBeats(f *frame.Frame, v frame.Version) (send, receive time.Duration, err error) {
	value, ok := f.Get("heart-beat")
	if !ok || v == frame.V10 {
		return 0, 0, nil
	}
	can, want, ok := parseHeartBeat(value)
	if !ok {
		return 0, 0, protocolFault(codeProtocol, "bad heart-beat",
			"heart-beat is %q; it must be two numbers of milliseconds, like 10000,10000", value)
	}
	return s.clampBeat(want), s.clampBeat(can), nil
}

func (s *session) clampBeat(ms int64) time.Duration {
	if ms == 0 {
		return 0
	}
	o := &s.srv.opts
	return min(max(time.Duration(ms)*time.Millisecond, o.HeartBeatMin), o.HeartBeatMax)
}

// maxBeat keeps a heart-beat in milliseconds from overflowing a time.Duration.
const maxBeat = 1 << 40

func parseHeartBeat(b []byte) (can, want int64, ok bool) {
	x, y, found := bytes.Cut(b, []byte{','})
	if !found {
		return 0, 0, false
	}
	can, ok1 := parseNumber(bytes.Trim(x, " "))
	want, ok2 := parseNumber(bytes.Trim(y, " "))
	return min(can, maxBeat), min(want, maxBeat), ok1 && ok2
}

// parseNumber reads a decimal number that is not negative. Numbers too large for an int64 are the largest.
func parseNumber(b []byte) (int64, bool) {
	if len(b) == 0 || len(b) > 40 {
		return 0, false
	}
	n := int64(0)
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		if d := int64(c - '0'); n > (1<<63-1-d)/10 {
			n = 1<<63 - 1
		} else {
			n = n*10 + d
		}
	}
	return n, true
}

func (s *session) wantsSoft(f *frame.Frame) bool {
	switch v, _ := f.Get("x-errors"); string(v) {
	case "soft":
		return true
	case "strict":
		return false
	}
	return s.srv.opts.SoftErrors
}

func (s *session) checkHost(f *frame.Frame) error {
	host, ok := f.Get("host")
	known := s.srv.opts.Hosts
	if !ok || len(host) == 0 || len(known) == 0 || slices.Contains(known, string(host)) {
		return nil
	}
	if plain, changed := unescaped(host); changed && slices.Contains(known, string(plain)) {
		return nil
	}
	return protocolFault(codeLogin, "unknown host", "this broker serves no virtual host %q", host)
}

// unescaped resolves escapes that a client should not have written in CONNECT. It reports whether there were any.
func unescaped(b []byte) ([]byte, bool) {
	if bytes.IndexByte(b, '\\') < 0 {
		return b, false
	}
	plain, err := frame.Unescape(b, frame.V12)
	return plain, err == nil && !bytes.Equal(plain, b)
}

// authenticate checks who the client is and returns its name, "" for nobody in particular.
func (s *session) authenticate(f *frame.Frame) (user string, err error) {
	o := &s.srv.opts
	login, named := f.Get("login")
	passcode, _ := f.Get("passcode")
	switch {
	case s.certUser != "" && (o.CertOnly || !named):
		return s.certUser, nil
	case o.CertOnly:
		return "", s.loginRefused(string(login), 0)
	case !named && o.Anonymous:
		return "", nil
	case o.Auth == nil && o.Anonymous:
		return string(login), nil
	case o.Auth == nil || !named:
		return "", s.loginRefused(string(login), 0)
	}
	ok, user, wait := o.Auth.Authenticate(string(login), string(passcode), s.host())
	if !ok {
		l, changedL := unescaped(login)
		p, changedP := unescaped(passcode)
		if changedL || changedP { // semantics 1.1: go-stomp escapes CONNECT
			ok, user, wait = o.Auth.Authenticate(string(l), string(p), s.host())
		}
	}
	if !ok {
		return "", s.loginRefused(string(login), wait)
	}
	s.pause(wait)
	return user, nil
}

// loginRefused makes the answer to a wrong login, which does not say what was wrong, and comes after a while.
func (s *session) loginRefused(login string, wait time.Duration) error {
	s.srv.stats.Refused.Add(1)
	s.log().Warn("login refused", "user", cut(login, maxErrorMessage), "wait", wait)
	s.pause(wait)
	f := protocolFault(codeLogin, "login refused", "the login or the passcode is wrong, or one is missing")
	f.logged = true
	return f
}

// pause holds the reader back, unless the session must end.
func (s *session) pause(wait time.Duration) {
	if wait <= 0 {
		return
	}
	timer := time.NewTimer(min(wait, maxLoginWait))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.done:
	}
}

// host is the client's address without its port.
func (s *session) host() string {
	if !s.remote.IsValid() {
		return ""
	}
	return s.remote.Addr().String()
}

// protocol is what the client speaks, for people.
func (s *session) protocol(v frame.Version) string {
	if s.ws != nil {
		return "STOMP " + v.String() + " over WebSocket"
	}
	return "STOMP " + v.String()
}
