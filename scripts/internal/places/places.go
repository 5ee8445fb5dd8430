// Package places names the destinations that tests send to and consume from: what a
// test calls a queue may be a virtual topic, a durable subscription, or a queue whose
// messages are delayed.
package places

import (
	"strconv"
	"strings"
)

// Kinds of places, by the end of their names.
const (
	Virtual = ".virtual" // a virtual topic and the queue of a consumer
	Durable = ".durable" // a topic and a durable subscription
	Later   = ".later"   // a queue; messages are delivered with a delay
	Shared  = ".shared"  // a queue with several consumers at a time
)

// Ordered says that messages of a producer come in order: one consumer at a time, no delays.
func Ordered(place string) bool {
	return !strings.HasSuffix(place, Shared) && !strings.HasSuffix(place, Later)
}

// SendTo returns the destination and further headers, as name, value, of a message to a place.
// The delay, in milliseconds, counts for a place of kind Later only.
func SendTo(place string, delay int) (destination string, headers []string) {
	switch {
	case strings.HasSuffix(place, Virtual):
		return "/topic/VirtualTopic." + place, nil
	case strings.HasSuffix(place, Durable):
		return "/topic/" + place, nil
	case strings.HasSuffix(place, Later):
		return "/queue/" + place, []string{"AMQ_SCHEDULED_DELAY", strconv.Itoa(delay)}
	}
	return "/queue/" + place, nil
}

// SubscribeTo returns the destination and further headers of a subscription to a place. One
// of kind Durable needs a connection with a client-id of its own.
func SubscribeTo(place string) (destination string, headers []string) {
	switch {
	case strings.HasSuffix(place, Virtual):
		return "/queue/Consumer.c.VirtualTopic." + place, nil
	case strings.HasSuffix(place, Durable):
		return "/topic/" + place, []string{"activemq.subscriptionName", place}
	}
	return "/queue/" + place, nil
}
