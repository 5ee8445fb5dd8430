package conf

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// maxFile bounds the configuration file.
const maxFile = 1 * MiB

// Sources says where [Load] looks.
type Sources struct {
	File     string            // path of the TOML file; empty: none
	Required bool              // a missing File is an error
	Env      []string          // NAME=value, as from os.Environ
	OtherEnv []string          // TREADMQ_ names that belong to something else, for example the client commands
	Set      []string          // key=value, as from --set; the last one of a key wins
	Flags    map[string]string // key to value, from flags of their own
}

// scriptEnv are the variables of the start scripts that are no keys.
// TREADMQ_DATA is both and means the same in both places.
func scriptEnv() []string {
	return []string{"TREADMQ_HOME", "TREADMQ_CONF", "TREADMQ_LOG", "TREADMQ_PID", "TREADMQ_USER", "TREADMQ_OPTS"}
}

// SourceKind is the kind of a source of values.
type SourceKind string

// The sources, weakest first.
const (
	FromDefault SourceKind = "default"
	FromFile    SourceKind = "file"
	FromEnv     SourceKind = "env"
	FromSet     SourceKind = "set"
	FromFlag    SourceKind = "flag"
)

// Origin is where a value came from.
type Origin struct {
	Kind  SourceKind
	Where string // file:line:column, name of the variable; empty for the default
}

// String is for people: "default", "conf/treadmq.toml:12:1", "TREADMQ_DATA", "--set", "flag".
func (o Origin) String() string {
	if o.Where == "" {
		return string(FromDefault)
	}
	return o.Where
}

// Load lays the sources over the defaults and validates the result. The error
// is an [*Error] with everything that is wrong, or that of reading the file.
func Load(src Sources) (*Config, error) {
	l := newLoader(src.Env)
	if err := l.file(src.File, src.Required); err != nil {
		return nil, err
	}
	l.environ(src.OtherEnv)
	l.set(src.Set)
	for _, name := range slices.Sorted(maps.Keys(src.Flags)) {
		l.parse(name, src.Flags[name], Origin{FromFlag, "flag"})
	}
	if len(l.problems) > 0 {
		return nil, asError(l.problems) // validating half a configuration would only add confusion
	}
	for name := range l.config.origins {
		l.config.Replicated.Enabled = l.config.Replicated.Enabled || strings.HasPrefix(name, replicatedSection+".")
	}
	if err := l.config.Validate(); err != nil {
		return nil, err
	}
	return l.config, nil
}

// loader collects what the sources say, and everything that is wrong with it.
type loader struct {
	config   *Config
	keys     map[string]key
	names    []string // of keys, in order
	env      environment
	problems []Problem
}

func newLoader(env []string) *loader {
	l := &loader{config: Default(), keys: map[string]key{}, env: environmentOf(env)}
	l.config.origins, l.config.sealed = map[string]Origin{}, map[string]bool{}
	for _, k := range keys() {
		l.keys[k.name] = k
		l.names = append(l.names, k.name)
	}
	return l
}

func (l *loader) problem(where, format string, args ...any) {
	l.problems = append(l.problems, Problem{where, fmt.Sprintf(format, args...)})
}

func (l *loader) file(path string, required bool) error {
	if path == "" {
		return nil
	}
	data, err := readFile(path, maxFile)
	if errors.Is(err, fs.ErrNotExist) && !required {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the configuration: %w", err)
	}
	l.toml(path, data)
	return nil
}

// environ takes the TREADMQ_ variables, in order of their names.
func (l *loader) environ(others []string) {
	byEnv := map[string]string{}
	for _, name := range l.names {
		byEnv[envName(name)] = name
	}
	for _, variable := range slices.Sorted(maps.Keys(l.env)) {
		if !strings.HasPrefix(variable, envPrefix) {
			continue
		}
		name, known := byEnv[variable]
		switch {
		case known:
			l.parse(name, l.env[variable], Origin{FromEnv, variable})
		case slices.Contains(others, variable), slices.Contains(scriptEnv(), variable), variable == SealPasswordEnv, variable == SealPasswordFileEnv, serviceLink.MatchString(variable):
		default:
			l.problem(variable, "unknown environment variable%s", suggest(variable, slices.Sorted(maps.Keys(byEnv))))
		}
	}
}

// serviceLink matches the variables that Kubernetes and container links inject
// for a service called treadmq or treadmq-something.
var serviceLink = regexp.MustCompile(`_SERVICE_HOST$|_SERVICE_PORT(_\w+)?$|_PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?$`)

func (l *loader) set(settings []string) {
	for _, setting := range settings {
		name, text, ok := strings.Cut(setting, "=")
		if !ok {
			l.problem("--set", "%q has no equals sign: write --set key=value", setting)
			continue
		}
		l.parse(strings.TrimSpace(name), strings.TrimSpace(text), Origin{FromSet, "--set"})
	}
}

// parse sets a key from text.
func (l *loader) parse(name, text string, from Origin) {
	k, ok := l.keys[name]
	if !ok {
		l.problem(from.Where, "unknown key %s%s", name, l.unknown(name))
		return
	}
	expanded, _, err := l.env.expand(text)
	if err == nil {
		err = k.bind(l.config).parse(expanded)
	}
	if err != nil {
		l.problem(from.Where, "%s: %v", name, err)
		return
	}
	l.config.origins[name], l.config.sealed[name] = from, isSealed(text)
}

// unknown is the hint behind "unknown key name".
func (l *loader) unknown(name string) string {
	if name == "policy" || strings.HasPrefix(name, "policy.") {
		return ": policies are written in the file, as [[policy]]"
	}
	if name == "forward" || strings.HasPrefix(name, "forward.") {
		return ": forwards are written in the file, as [[forward]]"
	}
	if name == "authorization" || strings.HasPrefix(name, "authorization.") {
		return ": authorization is written in the file, as [[authorization]]"
	}
	lastPart := name[strings.LastIndexByte(name, '.')+1:]
	if nearest(name, l.names) == "" && slices.Contains(policyNames(), lastPart) {
		return ": it belongs in a [[policy]]"
	}
	return suggest(name, l.names)
}
