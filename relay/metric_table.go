package relay

import "weir/relay/config"

// Metric is something that is counted, as the admin listener shows it at /metrics. A test holds the list against what is
// shown, and docs/metrics.md is made of it.
type Metric struct {
	Part   string // of the relay, or a system's name
	Name   string
	Type   string   // counter, gauge or histogram
	Labels []string // without le
	Help   string   // one line, without backslashes
}

// Metrics is all that the relay and its systems count, part by part. What Go's runtime and the process are like stands beside
// it under go_ and process_.
func Metrics() []Metric {
	var list []Metric
	for _, part := range []struct {
		name    string
		metrics []Metric
	}{
		{"connections", connectionMetrics}, {"publishing", publishMetrics}, {"delivery", deliveryMetrics}, {"channels", channelMetrics},
		{"disk", diskMetrics}, {config.SystemPresence, presenceMetrics}, {config.SystemChat, chatMetrics}, {config.SystemDocuments, documentMetrics},
		{config.SystemFeed, feedMetrics}, {config.SystemNotify, notifyMetrics}, {config.SystemAnalytics, analyticsMetrics}, {config.SystemWebhook, webhookMetrics},
		{"authorization", authzMetrics}, {"process", processMetrics},
	} {
		for _, m := range part.metrics {
			m.Part = part.name
			list = append(list, m)
		}
	}
	return list
}

// The types.
const (
	counter   = "counter"
	gauge     = "gauge"
	histogram = "histogram"
)

func by(labels ...string) []string { return labels }

var connectionMetrics = []Metric{
	{Name: "weir_connections", Type: gauge, Help: "Connections on the public listener, sessions and requests alike."},
	{Name: "weir_connections_open", Type: gauge, Labels: by("transport"), Help: "Sessions: WebSockets (ws) and event streams (sse)."},
	{Name: "weir_connections_opened_total", Type: counter, Labels: by("transport"), Help: "Sessions that were opened."},
	{Name: "weir_connections_ended_total", Type: counter, Labels: by("transport"), Help: "Sessions that have ended."},
	{Name: "weir_connections_refused_total", Type: counter, Labels: by("limit"), Help: "Connections that were not let in, by the limit that they were beyond."},
	{Name: "weir_connections_passed_total", Type: counter, Help: "Connections that went on from a desk to the HTTP server: those that asked for more than plain publications."},
	{Name: "weir_accept_errors_total", Type: counter, Help: "Connections that the system could not hand over, for want of descriptors mostly."},
	{Name: "weir_auth_failures_total", Type: counter, Labels: by("reason"), Help: "Credentials that were not accepted, by what was wrong with them."},
	{Name: "weir_closes_total", Type: counter, Labels: by("code"), Help: "Sessions that the relay has closed, by close code."},
	{Name: "weir_commands_total", Type: counter, Labels: by("type"), Help: "Commands of clients."},
	{Name: "weir_command_errors_total", Type: counter, Labels: by("code"), Help: "Commands that were answered with an error, by its code."},
	{Name: "weir_resumes_total", Type: counter, Labels: by("outcome"), Help: "Subscriptions from a position: recovered, answered with a snapshot, or caught up with after a slow time (resync)."},
	{Name: "weir_subscriptions", Type: gauge, Help: "Subscriptions of sessions to channels."},
	{Name: "weir_event_streams", Type: gauge, Labels: by("namespace"), Help: "Event streams on the route of a system, such as /feed/live, by the namespace whose channels they follow."},
	{Name: "weir_waiting_bytes", Type: gauge, Help: "Bytes of commands that wait for a backend's decision or for the disk."},
}

var publishMetrics = []Metric{
	{Name: "weir_http_requests_total", Type: counter, Labels: by("class"), Help: "HTTP requests, by the class of their status."},
	{Name: "weir_publishes_total", Type: counter, Labels: by("namespace"), Help: "Publications that were taken."},
	{Name: "weir_shed_total", Type: counter, Labels: by("reason"), Help: "Publications, events and commands that were refused so that readers do not suffer."},
	{Name: "weir_events_total", Type: counter, Help: "Events that were emitted on a topic."},
	{Name: "weir_bytes_received_total", Type: counter, Help: "Bytes that came on WebSockets."},
	{Name: "weir_frames_received_total", Type: counter, Help: "Frames that came on WebSockets, but for control frames."},
}

var deliveryMetrics = []Metric{
	{Name: "weir_deliveries_total", Type: counter, Labels: by("namespace"), Help: "Messages that were written to subscribers: messages times those who got them."},
	{Name: "weir_frames_total", Type: counter, Labels: by("namespace"), Help: "Frames that were written to subscribers; each holds what came within a window."},
	{Name: "weir_conflated_messages_total", Type: counter, Labels: by("namespace"), Help: "Messages that a later one of the same item has replaced within a window."},
	{Name: "weir_dropped_frames_total", Type: counter, Labels: by("namespace"), Help: "Frames that were dropped for readers that were too slow, and that a snapshot made up for (slow: resync)."},
	{Name: "weir_publish_to_write_seconds", Type: histogram, Help: "Time from the first publication of a window to the write of its frame."},
	{Name: "weir_messages_per_frame", Type: histogram, Help: "Messages in a frame."},
	{Name: "weir_replies_total", Type: counter, Help: "Frames that were written for one connection alone, such as answers."},
	{Name: "weir_writes_total", Type: counter, Help: "Calls to the system that wrote to a connection, or tried to."},
	{Name: "weir_bytes_sent_total", Type: counter, Help: "Bytes that were written to sessions."},
	{Name: "weir_write_errors_total", Type: counter, Help: "Connections that ended with an error of a write."},
	{Name: "weir_stalled_closes_total", Type: counter, Help: "Connections that were closed because their queue made no progress for 5 seconds."},
	{Name: "weir_slow_readers_total", Type: counter, Labels: by("reason"), Help: "Readers that were closed because their queue was full."},
	{Name: "weir_queued_connections", Type: gauge, Help: "Connections for which something waits."},
	{Name: "weir_queue_bytes", Type: gauge, Help: "Bytes that wait for slow readers."},
	{Name: "weir_batch_bytes", Type: gauge, Help: "Bytes in windows that are not yet due."},
	{Name: "weir_backlog_bytes", Type: gauge, Help: "Bytes of frames that the shards have still to write."},
	{Name: "weir_window_stretch", Type: gauge, Help: "How much longer windows are than configured, to save writes, as a share; 0 when there is processor time to spare."},
}

var channelMetrics = []Metric{
	{Name: "weir_channels", Type: gauge, Help: "Channels in memory."},
	{Name: "weir_items", Type: gauge, Help: "Items of channels in memory."},
	{Name: "weir_expired_items_total", Type: counter, Help: "Items whose time to live was over."},
	{Name: "weir_log_changes", Type: gauge, Help: "Changes in the logs of channels in memory."},
	{Name: "weir_log_bytes", Type: gauge, Help: "Bytes of these changes."},
	{Name: "weir_side_work_overflows_total", Type: counter, Help: "Snapshots for readers that were too slow and that there was no room to build: the readers were closed."},
}

var diskMetrics = []Metric{
	{Name: "weir_disk_commits_total", Type: counter, Help: "Batches that were made safe in the log, each with one sync."},
	{Name: "weir_disk_commit_seconds", Type: histogram, Help: "Time that a batch took to be safe."},
	{Name: "weir_disk_bytes_total", Type: counter, Help: "Bytes that were written to the log."},
	{Name: "weir_disk_failures_total", Type: counter, Help: "Writes and checkpoints that failed; they are tried again."},
	{Name: "weir_disk_failing", Type: gauge, Help: "1 while the log cannot be written: durable publications are refused."},
	{Name: "weir_disk_refused_total", Type: counter, Help: "Publications that were refused because as much waits for the disk as may."},
	{Name: "weir_disk_queue_bytes", Type: gauge, Help: "Bytes that wait for the log."},
	{Name: "weir_disk_backlog_bytes", Type: gauge, Help: "Bytes of the log that the database does not have yet."},
	{Name: "weir_disk_checkpoints_total", Type: counter, Help: "Times that the log was put into the database."},
	{Name: "weir_disk_loads_total", Type: counter, Help: "Channels that were loaded into memory."},
	{Name: "weir_disk_damaged_total", Type: counter, Help: "Times that a stored channel could not be read."},
}

var presenceMetrics = []Metric{
	{Name: "weir_presence_users", Type: gauge, Help: "Users who are present, in all channels: one in three channels counts three times."},
	{Name: "weir_presence_joins_total", Type: counter, Help: "Times that a user came to be present in a channel."},
	{Name: "weir_presence_leaves_total", Type: counter, Help: "Times that a user left."},
	{Name: "weir_presence_heartbeats_total", Type: counter, Help: "Events presence.heartbeat."},
}

var chatMetrics = []Metric{
	{Name: "weir_chat_rooms_loaded", Type: gauge, Help: "Rooms in memory."},
	{Name: "weir_chat_messages_total", Type: counter, Help: "Messages that were taken."},
	{Name: "weir_chat_typing", Type: gauge, Help: "Users who are typing in a room, or have just been."},
}

var documentMetrics = []Metric{
	{Name: "weir_documents_open", Type: gauge, Help: "Documents in memory."},
	{Name: "weir_document_operations_total", Type: counter, Help: "Operations that were taken."},
	{Name: "weir_document_operations_refused_total", Type: counter, Help: "Operations that were refused."},
	{Name: "weir_document_resyncs_total", Type: counter, Help: "Editors that had to begin again from the text."},
	{Name: "weir_document_resends_total", Type: counter, Help: "Operations that came again, and were answered as before."},
	{Name: "weir_document_loads_total", Type: counter, Help: "Documents that were loaded into memory."},
	{Name: "weir_document_snapshots_total", Type: counter, Help: "Snapshots that were kept."},
}

var feedMetrics = []Metric{
	{Name: "weir_feed_items_total", Type: counter, Help: "Items that were posted to the feed of a user. How many follow theirs is weir_event_streams."},
}

var notifyMetrics = []Metric{
	{Name: "weir_notify_notifications_total", Type: counter, Help: "Notifications that were taken."},
	{Name: "weir_notify_refused_total", Type: counter, Help: "Notifications that were refused for want of room."},
	{Name: "weir_notify_results_total", Type: counter, Labels: by("outcome"), Help: "What came of notifications: at least one device was reached (delivered), or none (failed)."},
	{Name: "weir_notify_attempts_total", Type: counter, Labels: by("kind", "outcome"), Help: "Attempts at a device, by its kind and what came of them. alarming: the push service does not accept the key."},
	{Name: "weir_notify_waiting", Type: gauge, Help: "Notifications on their way to devices."},
}

var analyticsMetrics = []Metric{
	{Name: "weir_analytics_events_total", Type: counter, Help: "Events that were counted."},
	{Name: "weir_analytics_refused_total", Type: counter, Help: "Events that could not be read."},
	{Name: "weir_analytics_metrics", Type: gauge, Help: "Metrics that are kept, the relay's own among them."},
	{Name: "weir_analytics_dashboards", Type: gauge, Help: "Dashboards that are told of each second."},
	{Name: "weir_analytics_alerts_raised", Type: gauge, Help: "Alerts that are raised now."},
	{Name: "weir_analytics_alerts_total", Type: counter, Help: "Times that an alert was raised."},
}

var webhookMetrics = []Metric{
	{Name: "weir_webhook_events_total", Type: counter, Labels: by("endpoint"), Help: "Events for an endpoint."},
	{Name: "weir_webhook_attempts_total", Type: counter, Labels: by("endpoint", "outcome"), Help: "Attempts to deliver one, by what came of them."},
	{Name: "weir_webhook_dead_total", Type: counter, Labels: by("endpoint", "reason"), Help: "Events that were given up, and are found in the dead letters."},
	{Name: "weir_webhook_waiting", Type: gauge, Labels: by("endpoint"), Help: "Events that wait for their delivery."},
	{Name: "weir_webhook_up", Type: gauge, Labels: by("endpoint"), Help: "1 while the endpoint is tried; 0 while it does not answer, or has said that it is gone."},
}

var authzMetrics = []Metric{
	{Name: "weir_authz_decisions_total", Type: counter, Labels: by("outcome"), Help: "Decisions about channels of namespaces with the access webhook: allowed, denied, remembered (from the cache) or failed (no answer from the backend)."},
	{Name: "weir_authz_seconds", Type: histogram, Help: "Time that the backend took to decide."},
	{Name: "weir_permit_decisions_total", Type: counter, Labels: by("outcome"), Help: "Deprecated name of weir_authz_decisions_total; it goes with the next version."},
	{Name: "weir_permit_seconds", Type: histogram, Help: "Deprecated name of weir_authz_seconds; it goes with the next version."},
}

var processMetrics = []Metric{
	{Name: "weir_panics_total", Type: counter, Help: "Panics that were contained: each is logged with its stack, and is a fault of weir's."},
}
