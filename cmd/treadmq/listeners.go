package main

import (
	"treadmq/broker"
	"treadmq/broker/stomp"
	"treadmq/conf"
)

// listenerOptions are the STOMP listeners of a configuration, in its order, without names.
func listenerOptions(c *conf.Config) []stomp.ListenerOptions {
	var all []stomp.ListenerOptions
	for _, l := range c.Listeners() {
		o := stomp.ListenerOptions{TLSRequired: c.Stomp.TLS.Required, WebSocket: l.WebSocket, Origins: c.Stomp.WebSocket.Origins, Compress: c.Stomp.WebSocket.Compression, ProxyProtocol: l.ProxyProtocol, MaxConnections: l.MaxConnections, Dialect: dialect[l.Dialect]}
		if l.PathSeparator != "" {
			o.PathSeparator = l.PathSeparator[0]
		}
		all = append(all, o)
	}
	return all
}

// dialect has the words of the configuration.
var dialect = map[string]stomp.Dialect{
	"activemq": stomp.DialectActiveMQ, "rabbitmq": stomp.DialectRabbitMQ, "artemis": stomp.DialectArtemis, "apollo": stomp.DialectApollo,
}

// reload takes up what may change while clients are connected.
func (s *service) reload(c *conf.Config, fn func(broker.Destination) broker.Policy) {
	s.broker.SetPolicy(fn)
	s.broker.SetTrash(trashLimits(c))
	if err := s.broker.SetRouting(routing(c)); err != nil {
		s.n.log.Error("reload: the forwards stay as they were", "err", err)
	}
	s.authorize()
	s.reloadListeners(c)
}

// reloadListeners gives the listeners that are open what a new configuration says about them: what comes in from now on
// is treated so. Addresses stay as they were.
func (s *service) reloadListeners(c *conf.Config) {
	next, now := c.Listeners(), s.n.cfg.Listeners()
	for i, o := range listenerOptions(c) {
		if len(next) != len(now) || next[i].Address != now[i].Address {
			s.n.log.Warn("reload: the addresses of stomp.listen take effect with the next start only")
			return
		}
		o.Name = s.listeners[i].Addr().String()
		s.stomp.SetListener(s.listeners[i], o)
	}
}
