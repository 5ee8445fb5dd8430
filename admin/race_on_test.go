//go:build race

package admin_test

const raceDetector = true // it allocates too
