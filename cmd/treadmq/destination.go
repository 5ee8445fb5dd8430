package main

import (
	"strings"
)

// stompDestination spells a destination as STOMP does. People write "orders",
// "/queue/orders", "queue:orders", ActiveMQ's "queue://orders", and so for topics;
// anything else that begins with / is left to the broker.
func stompDestination(text string) (string, error) {
	kind, name, err := splitDestination(text)
	if err != nil {
		return "", err
	}
	if kind == "" {
		return name, nil
	}
	return "/" + kind + "/" + name, nil
}

// splitDestination tells kind ("queue", "topic", or empty for what only the broker
// understands) and name.
func splitDestination(text string) (kind, name string, err error) {
	for _, kind := range []string{"queue", "topic"} {
		for _, prefix := range []string{"/" + kind + "/", kind + "://", kind + ":"} {
			if name, ok := strings.CutPrefix(text, prefix); ok {
				if name == "" {
					return "", "", usagef("for example orders or /topic/prices", "the destination %q has no name", text)
				}
				return kind, name, nil
			}
		}
	}
	switch {
	case text == "":
		return "", "", usagef("for example orders or /topic/prices", "the destination is empty")
	case strings.HasPrefix(text, "/"):
		return "", text, nil
	}
	return "queue", text, nil
}

// nameOf is the name of a destination that must be of one kind.
func nameOf(kind, text string) (string, error) {
	if kind == "connection" || kind == "schedule" { // by number or id, as it stands
		return text, nil
	}
	if kind == "subscription" {
		name := strings.TrimPrefix(text, "/dsub/")
		if name == "" {
			return "", usagef("for example clientId.name, as treadmq sub ls shows it", "the durable subscription has no name")
		}
		return name, nil
	}
	if kind == "topic" && !strings.HasPrefix(text, "/") && !strings.HasPrefix(text, "queue:") && !strings.HasPrefix(text, "topic:") {
		text = "topic:" + text
	}
	k, name, err := splitDestination(text)
	if err != nil {
		return "", err
	}
	if k != kind {
		return "", usagef("", "%s is no %s", text, kind)
	}
	return name, nil
}
