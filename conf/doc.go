// Package conf reads TreadMQ's configuration: one TOML file, environment
// variables, and command line flags.
//
// # What it promises
//
//   - Without any source at all the defaults run: [Default] is complete.
//   - It is strict. An unknown key, an unknown TREADMQ_ variable or a value of
//     the wrong kind is a problem with a place and, where a near name exists, a
//     suggestion. All problems are reported together, as an [*Error].
//   - Every value knows where it came from ([Config.Origin]).
//
// # How it works
//
// A single table ([keys], and policyKeys for the entries of [[policy]]) binds
// each key to its field, its documentation and its codec; the defaults are the
// values of [Default]. The file that is shipped (treadmq.toml, [Example]), the
// reference ([Doc]) and the environment names all come from that table, so they
// cannot drift apart; a golden test keeps the shipped file in step.
//
// [Load] lays the sources over the defaults, weakest first:
//
//	default  <  file  <  TREADMQ_* environment  <  --set key=value  <  flags
//
// Then it validates what came out as a whole.
//
// # Environment names
//
// TREADMQ_, then the dotted key in capitals with an underscore for each dot and
// before each new word: stomp.maxBody is TREADMQ_STOMP_MAX_BODY,
// stomp.tls.clientCA is TREADMQ_STOMP_TLS_CLIENT_CA. Lists are separated by
// commas. Policies can only be written in the file. Names that start scripts
// use (TREADMQ_HOME and the like) and those Kubernetes injects for a service
// called treadmq are passed over.
//
// # Values
//
// Sizes are "64MiB", "64MB" (a million bytes each), "64k" or plain bytes; see
// [ParseSize]. Times are "500ms", "30s", "1h30m", "7d"; see [ParseDuration].
// Any string may contain ${env:NAME} and ${file:path}; $${ stands for a literal
// ${. Relative paths are relative to the working directory of the process.
//
// conf is a leaf: it imports nothing else of the module, and only the command
// imports it.
package conf
