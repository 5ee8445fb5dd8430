package cron

import (
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // hosts and containers without a time zone database
)

// maxZone is the longest name of a time zone in bytes.
const maxZone = 64

// Zone returns the time zone with a name of the time zone database, such as
// Europe/Berlin; "" is the clock of this machine.
func Zone(name string) (*time.Location, error) {
	if name == "" {
		return time.Local, nil
	}
	if len(name) > maxZone || strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+-/") != "" {
		return nil, fmt.Errorf("%.64q is not the name of a time zone, such as Europe/Berlin or UTC", name)
	}
	loc, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("there is no time zone %q; names are as Europe/Berlin or UTC", name)
	}
	return loc, nil
}
