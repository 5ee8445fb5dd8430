package load

import (
	"math"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// histogram holds latencies in microseconds. It belongs to one goroutine at a time.
type histogram struct{ *hdrhistogram.Histogram }

// maxLatency bounds what is told apart: longer ones count as this.
const maxLatency = 24 * time.Hour

func newHistogram() histogram {
	return histogram{hdrhistogram.New(1, maxLatency.Microseconds(), 3)}
}

func (h histogram) record(ns int64) {
	h.RecordValue(min(max(ns/1000, 0), maxLatency.Microseconds()))
}

// Latency are percentiles in milliseconds.
type Latency struct {
	Count int64   `json:"count"`
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P99   float64 `json:"p99"`
	P999  float64 `json:"p999"`
	Max   float64 `json:"max"`
}

func (h histogram) latency() Latency {
	ms := func(q float64) float64 { return float64(h.ValueAtQuantile(q)) / 1000 }
	return Latency{h.TotalCount(), ms(50), ms(90), ms(99), ms(99.9), float64(h.Max()) / 1000}
}

// Result is what came out of a load. Rates are messages, or 10^6 bytes of bodies, per
// second.
type Result struct {
	Mode      Mode    `json:"mode"`
	Sent      int64   `json:"sent"`
	Confirmed int64   `json:"confirmed"`
	Received  int64   `json:"received"`
	Seconds   float64 `json:"seconds"` // from the first message sent to the last received

	SendSeconds float64 `json:"sendSeconds"`
	SendRate    float64 `json:"sendRate"`
	SendMBps    float64 `json:"sendMBps"`
	RecvSeconds float64 `json:"recvSeconds"`
	RecvRate    float64 `json:"recvRate"`
	RecvMBps    float64 `json:"recvMBps"`

	Receipt  Latency `json:"receiptMs"`  // from SEND to its RECEIPT
	EndToEnd Latency `json:"endToEndMs"` // from SEND to the MESSAGE at a consumer

	Lost        uint64 `json:"lost"`        // confirmed and not received
	Duplicates  uint64 `json:"duplicates"`  // received again without redelivered:true
	Disorder    uint64 `json:"disorder"`    // received after a later one of the same producer
	Redelivered uint64 `json:"redelivered"` // flagged by the broker; no fault
	Foreign     uint64 `json:"foreign"`     // left over from an earlier load; acknowledged, no fault
	Checked     bool   `json:"checked"`     // false when nothing was received, or receiving was cut short
	Interrupted bool   `json:"interrupted"`
}

// Faults is how many messages the broker lost, doubled or put out of order.
func (r *Result) Faults() uint64 { return r.Lost + r.Duplicates + r.Disorder }

func (r *Result) round() {
	for _, v := range []*float64{&r.Seconds, &r.SendSeconds, &r.SendRate, &r.SendMBps, &r.RecvSeconds, &r.RecvRate, &r.RecvMBps} {
		*v = round(*v)
	}
}

// round leaves three digits behind the point: more is noise.
func round(v float64) float64 { return math.Round(v*1000) / 1000 }
