// Package analytics counts events of backends and the relay's own counters, rolls them up per second and per minute, sends
// them to dashboards once a second, and raises alerts.
//
// The entry point is [New], a relay.System. The topics api.request, user.action and system.event are counted; the data of
// an event may hold a number, "value" (1 by default), and a "name", which makes a metric of its own within the topic. The
// relay's own counters are metrics too, of the type "weir". An event whose value is not a number or whose name is not
// valid is refused.
//
// Dashboards connect to GET /analytics/live with the role "admin", or on the admin listener. The first message is a
// snapshot as of the last complete second; every later second is sent once, so that the snapshot's counters and the
// updates after it add up to the counters of any later snapshot. GET /analytics/history returns the past.
//
// An alert is raised once when its rule has held for long enough, and cleared once when the metric has been back beyond
// the rule's clear threshold for as long.
//
// # When it is full
//
// There are as many metrics as the configuration allows; events with further names are counted as "other" of their topic.
// A metric keeps an hour of seconds and a day of minutes, in blocks that are allocated when something falls into them: at
// most 90 KB. A dashboard that does not read is closed like any slow reader. If a second could not be sent, the next one
// begins with a new snapshot for every dashboard.
//
// # State
//
// Totals and raised alerts are items of the channel "analytics:state", which outlives a restart when there is a data
// directory: alerts at once, totals every ten seconds and at the end. Seconds and minutes are not stored.
//
// # Several nodes
//
// Each counts for itself and gives its sums to the owner of the state's channel, which publishes them there second by second: see nodes. A node that cannot reach the owner keeps its sums for ten minutes
// second by second, and those from before together.
//
// # Goroutines and locks
//
// One goroutine, run, closes a second after the other; Close ends it and waits. System.mu guards everything that is
// counted. It is held while a dashboard joins the room and while the room is sent to, which is what leaves no gap, and
// never while something is published, emitted or logged.
package analytics
