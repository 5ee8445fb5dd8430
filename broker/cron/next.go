package cron

import "time"

// horizon is how many days Next looks ahead: a 29 February may be eight years away.
const horizon = 8*366 + 2

const allHours = 1<<24 - 1

// Next returns the first time after t at which the expression is due by the clocks of
// t's location, the zero time if there is none.
//
// When clocks are set forward, what would have been due in the hour that is left out is
// due at the moment of the change, once. When they are set back, what is due at given
// hours is due in the first of the two; what is due every hour goes on through both.
func (e *Expr) Next(t time.Time) time.Time {
	if e.hour == allHours {
		return e.nextEveryHour(t)
	}
	loc := t.Location()
	// Wall clocks are handled as if they were UTC. A day earlier, for what a change of
	// clocks at midnight moves to the next day.
	_, offset := t.Zone()
	wall := time.Unix(t.Unix()+int64(offset), 0).UTC().Add(-25 * time.Hour)
	day := time.Date(wall.Year(), wall.Month(), wall.Day(), 0, 0, 0, 0, time.UTC)
	for range horizon {
		if e.matchesDay(day.Day(), day.Month(), day.Weekday()) {
			if at := e.onDay(day, t, loc); !at.IsZero() {
				return at
			}
		}
		day = day.AddDate(0, 0, 1)
	}
	return time.Time{}
}

// onDay returns the first time after t on a day.
func (e *Expr) onDay(day, t time.Time, loc *time.Location) time.Time {
	for h := range 24 {
		if e.hour&(1<<h) == 0 {
			continue
		}
		for m := range 60 {
			if e.minute&(1<<m) == 0 {
				continue
			}
			at := instant(day.Unix()+int64(h*3600+m*60), loc)
			if at.After(t) {
				return at
			}
		}
	}
	return time.Time{}
}

// instant returns when clocks of a location show wall, in seconds since 1970 as if they
// were UTC: the first time if they do twice, the change of clocks if they never do.
func instant(wall int64, loc *time.Location) time.Time {
	offset := func(at int64) int64 {
		_, n := time.Unix(at, 0).In(loc).Zone()
		return int64(n)
	}
	before, after := offset(wall-86400), offset(wall+86400)
	early, late := wall-max(before, after), wall-min(before, after)
	switch {
	case offset(early) == wall-early:
		return time.Unix(early, 0).In(loc)
	case offset(late) == wall-late:
		return time.Unix(late, 0).In(loc)
	}
	start, _ := time.Unix(late, 0).In(loc).ZoneBounds()
	if start.IsZero() {
		return time.Unix(late, 0).In(loc)
	}
	return start
}

// nextEveryHour is Next for expressions that name no hour: real time counts.
func (e *Expr) nextEveryHour(t time.Time) time.Time {
	at := t.Truncate(time.Minute).Add(time.Minute)
	days := 0
	for days < horizon {
		year, month, day := at.Date()
		if !e.matchesDay(day, month, at.Weekday()) {
			at = nextDay(at, year, month, day)
			days++
			continue
		}
		if e.minute&(1<<at.Minute()) != 0 {
			return at
		}
		for at = at.Add(time.Minute); e.minute&(1<<at.Minute()) == 0 && at.Day() == day; {
			at = at.Add(time.Minute)
		}
		days++ // at the latest after an hour, so this bounds the loop all the same
	}
	return time.Time{}
}

// nextDay returns the first moment of the day after the given one.
func nextDay(at time.Time, year int, month time.Month, day int) time.Time {
	next := instant(time.Date(year, month, day+1, 0, 0, 0, 0, time.UTC).Unix(), at.Location())
	if !next.After(at) { // a change of clocks around midnight
		next = at.Add(time.Hour)
	}
	return next
}
