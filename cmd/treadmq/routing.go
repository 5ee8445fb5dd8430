package main

import (
	"treadmq/broker"
	"treadmq/conf"
)

// routing turns virtual topics and forwards of the configuration into the broker's.
func routing(c *conf.Config) broker.Routing {
	var r broker.Routing
	for _, topics := range c.Virtual.Topics {
		r.Virtual = append(r.Virtual, broker.VirtualTopics{Topics: topics, Prefix: c.Virtual.Prefix, SelectorAware: c.Virtual.SelectorAware})
	}
	for _, f := range c.Forwards {
		r.Forwards = append(r.Forwards, forwardOf(f))
	}
	return r
}

func forwardOf(f conf.Forward) broker.Forward {
	out := broker.Forward{From: broker.Destination{Kind: kindsOf[f.Kind], Name: f.Pattern}, Selector: f.Selector, Only: f.ForwardOnly}
	for _, t := range f.Targets() {
		out.To = append(out.To, broker.Destination{Kind: kindsOf[t.Kind], Name: t.Name})
	}
	return out
}

var kindsOf = map[conf.Kind]broker.Kind{conf.Queue: broker.Queue, conf.Topic: broker.Topic}

// checkForwards finds what the configuration alone cannot know: selectors that are
// none.
func checkForwards(c *conf.Config) error {
	var problems []conf.Problem
	for _, f := range c.Forwards {
		r := broker.Routing{Forwards: []broker.Forward{forwardOf(f)}}
		if err := r.Check(); err != nil {
			problems = append(problems, conf.Problem{Where: f.Where, Text: err.Error()})
		}
	}
	if len(problems) > 0 {
		return &conf.Error{Problems: problems}
	}
	return nil
}
