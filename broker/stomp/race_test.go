//go:build race

package stomp

func init() { raceDetector = true }
