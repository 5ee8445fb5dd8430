// Package embed runs a whole broker inside a Go program, for its tests above all: a store in memory or in a folder, STOMP
// on a free port of this machine, and connections without any port. docs/embedding.md is its guide.
package embed
