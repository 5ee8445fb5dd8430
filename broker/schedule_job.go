package broker

import (
	"errors"
	"time"

	"treadmq/broker/cron"
)

// job is the state of a schedule, kept in the overlay of its reference.
type job struct {
	dests   []Destination
	key     string // what it is found by beside its place in the store; "" = nothing
	named   bool   // key is its name
	delay   int64  // ms, as period
	period  int64
	repeat  int64 // as Schedule.Repeat
	left    int64 // further deliveries: of all, or of this burst of cron
	cron    string
	zone    string
	until   int64 // ms since 1970, as created
	created int64
	count   int64 // deliveries so far
}

func (j *job) repeats() bool { return j.cron != "" || j.repeat != 0 }

// step is the time between two deliveries of a run, at least a millisecond.
func (j *job) step() int64 { return max(j.period, 1) }

// lead is the time between a match of cron and its first delivery.
func (j *job) lead() int64 {
	if j.delay == 0 && j.repeat != 0 {
		return j.period
	}
	return j.delay
}

// first is when a new schedule is due for the first time.
func (j *job) first(at, now int64) (int64, error) {
	switch {
	case j.cron != "":
		tick, err := j.tick(max(at-1, now))
		return tick + j.lead(), err
	case at > 0:
		return at, nil
	case j.delay > 0:
		return now + j.delay, nil
	}
	return now + j.period, nil
}

// tick is the first match of cron after a time.
func (j *job) tick(after int64) (int64, error) {
	e, err := cron.Parse(j.cron)
	if err != nil {
		return 0, err
	}
	loc, err := cron.Zone(j.zone)
	if err != nil {
		return 0, err
	}
	at := e.Next(time.UnixMilli(after).In(loc))
	if at.IsZero() {
		return 0, errors.New("the cron expression is never due again")
	}
	return at.UnixMilli(), nil
}

// delivered counts a delivery that was due at a time and says when the next one is, ok
// false if it was the last. Times that have passed are left out: the next one lies ahead.
func (j *job) delivered(due, now int64) (next int64, ok bool) {
	j.count++
	switch {
	case j.left != 0:
		step := j.step()
		next = due + step
		if next <= now {
			next += ((now-next)/step + 1) * step
		}
		if j.left > 0 {
			j.left--
		}
	case j.cron != "":
		tick, err := j.tick(max(due, now))
		if err != nil {
			return 0, false
		}
		next, j.left = tick+j.lead(), j.repeat
	default:
		return 0, false
	}
	return next, j.until == 0 || next <= j.until
}

// Names of a job's properties in its overlay.
const (
	jobDest    = "d"
	jobKey     = "k" // a key that is not a name
	jobName    = "n"
	jobDelay   = "w"
	jobPeriod  = "p"
	jobRepeat  = "r"
	jobLeft    = "l"
	jobCron    = "c"
	jobZone    = "z"
	jobUntil   = "u"
	jobCreated = "t"
	jobCount   = "#"
)

// numbers are the job's numbers under their names.
func (j *job) numbers() []struct {
	name string
	at   *int64
} {
	return []struct {
		name string
		at   *int64
	}{
		{jobDelay, &j.delay}, {jobPeriod, &j.period}, {jobRepeat, &j.repeat}, {jobLeft, &j.left},
		{jobUntil, &j.until}, {jobCreated, &j.created}, {jobCount, &j.count},
	}
}

// encode returns the job as an overlay.
func (j *job) encode() []byte {
	var p Properties
	for _, d := range j.dests {
		p.AddDestination(jobDest, d)
	}
	add := func(name, text string) {
		if text != "" {
			p.Add(name, text)
		}
	}
	if j.named {
		add(jobName, j.key)
	} else {
		add(jobKey, j.key)
	}
	add(jobCron, j.cron)
	add(jobZone, j.zone)
	for _, n := range j.numbers() {
		if *n.at != 0 {
			p.AddInt(PropInt64, []byte(n.name), *n.at)
		}
	}
	return p.AppendTo(nil)
}

var errBadJob = errors.New("the stored schedule cannot be decoded")

// decodeJob is the inverse of encode.
func decodeJob(overlay []byte) (job, error) {
	var j job
	it := IterProperties(overlay)
	for it.Next() {
		switch name := string(it.Name); name {
		case jobDest:
			d, ok := it.Destination()
			if !ok {
				return j, errBadJob
			}
			j.dests = append(j.dests, d)
		case jobKey, jobName:
			j.key, j.named = string(it.Bytes), name == jobName
		case jobCron:
			j.cron = string(it.Bytes)
		case jobZone:
			j.zone = string(it.Bytes)
		default:
			for _, n := range j.numbers() {
				if n.name == name {
					*n.at = it.Num
				}
			}
		}
	}
	if len(j.dests) == 0 || len(it.rest) > 0 || j.left < -1 || j.period < 0 {
		return j, errBadJob
	}
	return j, nil
}
