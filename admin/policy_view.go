package admin

import (
	"time"

	"treadmq/broker"
)

// policyView is what holds for a destination. Limits of 0 are none; times in ms.
type policyView struct {
	MaxMessages    int64          `json:"maxMessages"`
	MaxBytes       int64          `json:"maxBytes"`
	OnFull         string         `json:"onFull"`
	BlockTimeoutMs int64          `json:"blockTimeoutMs"`
	MemoryLimit    int64          `json:"memoryLimit"`
	Prefetch       int            `json:"prefetch"`
	PrefetchBytes  int64          `json:"prefetchBytes"`
	DefaultTTLMs   int64          `json:"defaultTtlMs"`
	MaxTTLMs       int64          `json:"maxTtlMs"`
	Nack           string         `json:"nack"`
	Redelivery     redeliveryView `json:"redelivery"`
	DeadLetter     deadLetterView `json:"deadLetter"`
	PendingLimit   int            `json:"pendingLimit"`
	PendingBytes   int64          `json:"pendingBytes"`
	Evict          string         `json:"evict"`
}

type redeliveryView struct {
	Maximum    int     `json:"maximum"` // -1: no limit
	InitialMs  int64   `json:"initialMs"`
	DelayMs    int64   `json:"delayMs"`
	Backoff    bool    `json:"backoff"`
	Multiplier float64 `json:"multiplier"`
	MaximumMs  int64   `json:"maximumMs"`
	Blocks     bool    `json:"blocks"`
}

type deadLetterView struct {
	Strategy string `json:"strategy"`
	Queue    string `json:"queue"` // where dead letters of this destination go
}

func (s *Server) policyView(d broker.Destination) *policyView {
	if s.opt.Policy == nil {
		return nil
	}
	p := s.b.Policy(d)
	r := p.Redelivery
	return &policyView{
		MaxMessages: p.MaxMessages, MaxBytes: p.MaxBytes, OnFull: onFullName(p.OnFull), BlockTimeoutMs: ms(p.BlockTimeout),
		MemoryLimit: p.MemoryLimit, Prefetch: p.Prefetch, PrefetchBytes: p.PrefetchBytes, DefaultTTLMs: ms(p.DefaultTTL), MaxTTLMs: ms(p.MaxTTL),
		Nack: nackName(p.Nack), PendingLimit: p.PendingLimit, PendingBytes: p.PendingBytes, Evict: evictName(p.Evict),
		Redelivery: redeliveryView{r.Maximum, ms(r.Initial), ms(r.Delay), r.Backoff, r.Multiplier, ms(r.MaximumDelay), r.Blocks},
		DeadLetter: deadLetterOf(&p.DeadLetter, d),
	}
}

func ms(d time.Duration) int64 { return d.Milliseconds() }

func deadLetterOf(p *broker.DeadLetter, d broker.Destination) deadLetterView {
	switch p.Strategy {
	case broker.DeadLetterIndividual:
		return deadLetterView{"individual", p.Prefix + d.Name + p.Suffix}
	case broker.DeadLetterDiscard:
		return deadLetterView{"discard", ""}
	}
	return deadLetterView{"shared", p.Queue}
}

func onFullName(v broker.OnFull) string {
	switch v {
	case broker.FullFail:
		return "fail"
	case broker.FullDropOldest:
		return "drop-oldest"
	case broker.FullDeadLetter:
		return "dlq"
	case broker.FullDiscard:
		return "discard"
	}
	return "block"
}

func nackName(v broker.Nack) string {
	switch v {
	case broker.NackDeadLetter:
		return "dlq"
	case broker.NackRequeue:
		return "requeue"
	case broker.NackDiscard:
		return "discard"
	}
	return "retry"
}

func evictName(v broker.Evict) string {
	switch v {
	case broker.EvictDisconnect:
		return "disconnect"
	case broker.EvictLowestPriority:
		return "lowest-priority"
	case broker.EvictSpill:
		return "spill"
	case broker.EvictOlderOfKey:
		return "key"
	}
	return "oldest"
}
