//go:build race

package sim

// raced: a run has one goroutine, so the race detector learns nothing from many.
const raced = true
