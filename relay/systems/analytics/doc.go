// Package analytics is the system "analytics": it counts events of backends and the relay's own figures, rolls them
// up per second and per minute, tells dashboards once a second, and raises alerts.
//
// The entry point is [New], a relay.System. Counted are the topics api.request, user.action and system.event; the
// data of an event may hold a number, "value" (1 without one, and 0 is 0), and a "name" that tells metrics of one
// topic apart. The relay's own figures are metrics too, of the type "weir". Values that are no numbers and names
// that are no names refuse the event.
//
// Dashboards connect to GET /analytics/live with the role "admin", or on the admin listener. The first message is a
// snapshot as of the last second that is over; every later second is told once, so that the snapshot's counters and
// the updates after it add up to the counters of any later snapshot. GET /analytics/history answers what was.
//
// An alert is raised once when its rule has held for long enough, and cleared once when the metric has come back
// beyond the rule's clear threshold for as long.
//
// # When it is full
//
// As many metrics are told apart as the configuration says; events with further names are counted as "other" of
// their topic. A metric keeps an hour of seconds and a day of minutes, in blocks that are made when something
// falls into them: at most 90 KB. A dashboard that does not read is closed like any slow reader. If a second could
// not be told, the next one begins with a new snapshot for everybody.
//
// # State
//
// Totals and raised alerts are items of the channel "analytics:state", which outlives a restart when there is a
// data directory: alerts at once, totals every ten seconds and at the end. Seconds and minutes are not kept.
//
// # Goroutines and locks
//
// One goroutine, run, closes a second after the other; Close ends it and waits. System.mu guards everything that
// is counted. It is held while the room is joined and sent to, which is what leaves no gap, and never while
// something is published, emitted or logged.
package analytics
