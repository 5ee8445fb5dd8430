package sendheader

import (
	"time"

	"treadmq/broker"
)

// ScheduleView is a schedule in JSON, in lists over STOMP and in the API alike.
type ScheduleView struct {
	ID           string     `json:"id"`
	Name         string     `json:"name,omitempty"`
	Destinations []string   `json:"destinations"`
	Due          time.Time  `json:"due"` // of the next delivery
	Created      time.Time  `json:"created"`
	Until        *time.Time `json:"until,omitempty"`
	DelayMs      int64      `json:"delayMs,omitempty"`
	PeriodMs     int64      `json:"periodMs,omitempty"`
	Repeat       int64      `json:"repeat,omitempty"`
	Left         int64      `json:"left,omitempty"` // after the next one
	Cron         string     `json:"cron,omitempty"`
	TimeZone     string     `json:"timeZone,omitempty"`
	Deliveries   int64      `json:"deliveries"` // so far
	Size         int        `json:"size"`       // bytes
	Persistent   bool       `json:"persistent"`
	Cursor       string     `json:"cursor"` // to go on behind it
}

// NewScheduleView makes the view; path says how destinations are shown.
func NewScheduleView(i *broker.ScheduleInfo, path func(broker.Destination) string) ScheduleView {
	v := ScheduleView{
		ID: i.ID, Name: i.Name, Due: i.Due.UTC(), Created: i.Created.UTC(), DelayMs: i.Delay.Milliseconds(), PeriodMs: i.Period.Milliseconds(),
		Repeat: i.Repeat, Left: i.Left, Cron: i.Cron, TimeZone: i.Zone, Deliveries: i.Deliveries, Size: i.Size, Persistent: i.Persistent,
		Cursor: i.Cursor, Destinations: []string{},
	}
	for _, d := range i.Destinations {
		v.Destinations = append(v.Destinations, path(d))
	}
	if !i.Until.IsZero() {
		until := i.Until.UTC()
		v.Until = &until
	}
	return v
}
