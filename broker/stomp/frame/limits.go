package frame

// Limits bound what a Reader accepts. A field that is zero or negative means its default.
type Limits struct {
	CommandLine int   // bytes of the command line, without LF; default 64
	HeaderLine  int   // bytes of one header line, without LF; default 64 KiB
	HeaderCount int   // headers of one frame, repeated ones included; default 1000
	Headers     int   // bytes of all header lines of a frame, line ends included; default 256 KiB, at most 64 MiB
	Body        int64 // bytes of the body; default 100 MiB, at most 1 GiB
}

// Defaults and ceilings of Limits.
const (
	defaultCommandLine = 64
	defaultHeaderLine  = 64 << 10
	defaultHeaderCount = 1000
	defaultHeaders     = 256 << 10
	defaultBody        = 100 << 20
	ceilingHeaders     = 64 << 20
	ceilingBody        = 1 << 30
)

// DefaultLimits are the limits for a peer that has logged in.
func DefaultLimits() Limits { return Limits{}.withDefaults() }

// LoginLimits are the limits for a peer that has not logged in yet: 64 KiB for the whole frame.
func LoginLimits() Limits {
	return Limits{HeaderLine: 56 << 10, HeaderCount: 100, Headers: 60 << 10, Body: 3 << 10}.withDefaults()
}

func (l Limits) withDefaults() Limits {
	l.CommandLine = limitOr(l.CommandLine, defaultCommandLine, ceilingHeaders)
	l.HeaderLine = limitOr(l.HeaderLine, defaultHeaderLine, ceilingHeaders)
	l.HeaderCount = limitOr(l.HeaderCount, defaultHeaderCount, ceilingHeaders)
	l.Headers = limitOr(l.Headers, defaultHeaders, ceilingHeaders)
	l.Body = limitOr(l.Body, defaultBody, ceilingBody)
	return l
}

func limitOr[T int | int64](n, fallback, ceiling T) T {
	if n <= 0 {
		return fallback
	}
	return min(n, ceiling)
}
