package stats

import "slices"

// Metric is something that is counted, as the admin listener shows it at /metrics. A test holds the list against what is
// shown, and docs/metrics.md is made of it.
type Metric struct {
	Part   string // of the relay, or a system's name
	Name   string
	Type   string   // counter, gauge or histogram
	Labels []string // without le
	Help   string   // one line, without backslashes
}

// Part is a part of the relay with what it counts, or a system.
type Part struct {
	Name    string
	Metrics []Metric
}

// Metrics is all that the relay and systems count, part by part. What Go's runtime and the process are like stands beside
// it under go_ and process_.
func Metrics(systems ...Part) []Metric {
	parts := []Part{
		{"connections", connectionMetrics}, {"publishing", publishMetrics}, {"delivery", deliveryMetrics}, {"channels", channelMetrics},
		{"disk", diskMetrics}, {"cluster", clusterMetrics}, {"presence", presenceMetrics},
	}
	for _, m := range systems {
		if i := slices.IndexFunc(parts, func(p Part) bool { return p.Name == m.Name }); i >= 0 {
			parts[i].Metrics = slices.Concat(parts[i].Metrics, m.Metrics)
		} else {
			parts = append(parts, m)
		}
	}
	var list []Metric
	for _, p := range append(parts, Part{"process", processMetrics}) {
		for _, m := range p.Metrics {
			m.Part = p.Name
			list = append(list, m)
		}
	}
	return list
}

// The types of a Metric.
const (
	TypeCounter   = "counter"
	TypeGauge     = "gauge"
	TypeHistogram = "histogram"
)

func by(labels ...string) []string { return labels }

var connectionMetrics = []Metric{
	{Name: "weir_connections", Type: TypeGauge, Help: "Connections on the public listener, of sessions and of requests."},
	{Name: "weir_connections_open", Type: TypeGauge, Labels: by("transport"), Help: "Sessions: WebSockets (ws) and event streams (sse)."},
	{Name: "weir_connections_opened_total", Type: TypeCounter, Labels: by("transport"), Help: "Sessions that were opened."},
	{Name: "weir_connections_ended_total", Type: TypeCounter, Labels: by("transport"), Help: "Sessions that have ended."},
	{Name: "weir_connections_refused_total", Type: TypeCounter, Labels: by("limit"), Help: "Connections that were refused, by the limit that they exceeded."},
	{Name: "weir_connections_passed_total", Type: TypeCounter, Help: "Connections that an event loop passed on to the HTTP server, because of a request other than a simple publication."},
	{Name: "weir_accept_errors_total", Type: TypeCounter, Help: "Errors of accepting a connection, mostly because there are no file descriptors left."},
	{Name: "weir_auth_failures_total", Type: TypeCounter, Labels: by("reason"), Help: "Credentials that were refused, by reason."},
	{Name: "weir_closes_total", Type: TypeCounter, Labels: by("code"), Help: "Sessions that the relay closed, by close code."},
	{Name: "weir_commands_total", Type: TypeCounter, Labels: by("type"), Help: "Commands of clients."},
	{Name: "weir_command_errors_total", Type: TypeCounter, Labels: by("code"), Help: "Commands that were answered with an error, by its code."},
	{Name: "weir_resumes_total", Type: TypeCounter, Labels: by("outcome"), Help: "Subscriptions from a position, by outcome: recovered, snapshot, or resync (a client that was too slow caught up)."},
	{Name: "weir_subscriptions", Type: TypeGauge, Help: "Subscriptions of sessions to channels."},
	{Name: "weir_event_streams", Type: TypeGauge, Labels: by("namespace"), Help: "Event streams on the route of a system, such as /feed/live, by the namespace whose channels they follow."},
	{Name: "weir_waiting_bytes", Type: TypeGauge, Help: "Bytes of commands that wait for a backend's decision or for the disk."},
}

var publishMetrics = []Metric{
	{Name: "weir_http_requests_total", Type: TypeCounter, Labels: by("class"), Help: "HTTP requests, by the class of their status."},
	{Name: "weir_publishes_total", Type: TypeCounter, Labels: by("namespace"), Help: "Publications that were accepted."},
	{Name: "weir_shed_total", Type: TypeCounter, Labels: by("reason"), Help: "Publications, events and commands that were refused to protect subscribers from overload, by reason."},
	{Name: "weir_events_total", Type: TypeCounter, Help: "Events that were emitted on a topic."},
	{Name: "weir_bytes_received_total", Type: TypeCounter, Help: "Bytes received on WebSockets."},
	{Name: "weir_frames_received_total", Type: TypeCounter, Help: "Frames received on WebSockets, without control frames."},
}

var deliveryMetrics = []Metric{
	{Name: "weir_deliveries_total", Type: TypeCounter, Labels: by("namespace"), Help: "Messages written to subscribers: each message counts once for each subscriber."},
	{Name: "weir_frames_total", Type: TypeCounter, Labels: by("namespace"), Help: "Frames written to subscribers. A frame has the messages of a window."},
	{Name: "weir_conflated_messages_total", Type: TypeCounter, Labels: by("namespace"), Help: "Messages replaced by a later message of the same item within a window."},
	{Name: "weir_dropped_frames_total", Type: TypeCounter, Labels: by("namespace"), Help: "Frames dropped for clients that were too slow, and replaced by a snapshot (slow: resync)."},
	{Name: "weir_publish_to_write_seconds", Type: TypeHistogram, Help: "Time from the first publication of a window to the write of its frame."},
	{Name: "weir_messages_per_frame", Type: TypeHistogram, Help: "Messages in a frame."},
	{Name: "weir_replies_total", Type: TypeCounter, Help: "Frames written for a single connection, such as answers to commands."},
	{Name: "weir_writes_total", Type: TypeCounter, Help: "System calls that wrote to a connection, or tried to."},
	{Name: "weir_bytes_sent_total", Type: TypeCounter, Help: "Bytes written to sessions."},
	{Name: "weir_write_errors_total", Type: TypeCounter, Help: "Connections that ended because of a write error."},
	{Name: "weir_stalled_closes_total", Type: TypeCounter, Help: "Connections closed because their queue made no progress for 5 seconds."},
	{Name: "weir_slow_readers_total", Type: TypeCounter, Labels: by("reason"), Help: "Clients closed because their queue was full."},
	{Name: "weir_queued_connections", Type: TypeGauge, Help: "Connections with queued output."},
	{Name: "weir_queue_bytes", Type: TypeGauge, Help: "Bytes of queued output."},
	{Name: "weir_batch_bytes", Type: TypeGauge, Help: "Bytes in windows that are not yet due."},
	{Name: "weir_backlog_bytes", Type: TypeGauge, Help: "Bytes of frames that the shards have still to write."},
	{Name: "weir_window_stretch", Type: TypeGauge, Help: "How much longer windows are than configured, as a share: 0.5 is half as long again. 0 when there is processor time to spare."},
}

var channelMetrics = []Metric{
	{Name: "weir_channels", Type: TypeGauge, Help: "Channels in memory."},
	{Name: "weir_items", Type: TypeGauge, Help: "Items of channels in memory."},
	{Name: "weir_expired_items_total", Type: TypeCounter, Help: "Items whose time to live ended."},
	{Name: "weir_log_changes", Type: TypeGauge, Help: "Changes in the logs of channels in memory."},
	{Name: "weir_log_bytes", Type: TypeGauge, Help: "Bytes of these changes."},
	{Name: "weir_side_work_overflows_total", Type: TypeCounter, Help: "Snapshots for slow clients that were not built because all workers were busy: the clients were closed."},
}

var diskMetrics = []Metric{
	{Name: "weir_disk_commits_total", Type: TypeCounter, Help: "Batches written to the log, each with one sync."},
	{Name: "weir_disk_commit_seconds", Type: TypeHistogram, Help: "Time from the write of a batch to the end of its sync."},
	{Name: "weir_disk_bytes_total", Type: TypeCounter, Help: "Bytes written to the log."},
	{Name: "weir_disk_failures_total", Type: TypeCounter, Help: "Writes and checkpoints that failed; they are retried."},
	{Name: "weir_disk_failing", Type: TypeGauge, Help: "1 while the log cannot be written: durable publications are refused."},
	{Name: "weir_disk_refused_total", Type: TypeCounter, Help: "Publications that were refused because the queue of the disk was full."},
	{Name: "weir_disk_queue_bytes", Type: TypeGauge, Help: "Bytes that wait for the log."},
	{Name: "weir_disk_backlog_bytes", Type: TypeGauge, Help: "Bytes of the log that are not in the database yet."},
	{Name: "weir_disk_checkpoints_total", Type: TypeCounter, Help: "Checkpoints: times that the log was written to the database."},
	{Name: "weir_disk_loads_total", Type: TypeCounter, Help: "Channels loaded into memory."},
	{Name: "weir_disk_damaged_total", Type: TypeCounter, Help: "Times that a stored channel could not be read."},
}

var clusterMetrics = []Metric{
	{Name: "weir_cluster_nodes", Type: TypeGauge, Help: "Nodes of the cluster that are there, this one included."},
	{Name: "weir_cluster_partitions", Type: TypeGauge, Help: "Partitions in which channels are distributed over all nodes."},
	{Name: "weir_cluster_partitions_owned", Type: TypeGauge, Help: "Partitions that this node owns."},
	{Name: "weir_cluster_replicas", Type: TypeGauge, Help: "Channels of other nodes that this one follows."},
	{Name: "weir_cluster_isolated", Type: TypeGauge, Help: "1 while this node is cut off from the others: it refuses publications."},
	{Name: "weir_cluster_waiting_bytes", Type: TypeGauge, Help: "Bytes that wait on the links to other nodes; a link that would hold more than 64 MiB begins anew."},
	{Name: "weir_cluster_frames_total", Type: TypeCounter, Help: "Frames that were sent to other nodes."},
	{Name: "weir_cluster_sent_bytes_total", Type: TypeCounter, Help: "Bytes of these."},
	{Name: "weir_cluster_link_restarts_total", Type: TypeCounter, Help: "Times that a link began anew, since something on it was lost."},
	{Name: "weir_cluster_forwarded_total", Type: TypeCounter, Help: "Publications that were handed to the node that owns the channel."},
	{Name: "weir_cluster_takeovers_total", Type: TypeCounter, Help: "Partitions that this node has taken over, those of the start included."},
	{Name: "weir_cluster_moves_total", Type: TypeCounter, Help: "Partitions that this node has handed over to another one."},
	{Name: "weir_cluster_rescued_channels_total", Type: TypeCounter, Help: "Channels that went on after a takeover with what a node had of them."},
	{Name: "weir_cluster_tunnels", Type: TypeGauge, Help: "Ends of tunnels here: clients of this node whose document or room another node has, and such clients of other nodes."},
	{Name: "weir_cluster_tunnel_waiting_bytes", Type: TypeGauge, Help: "Bytes that wait in tunnels to other nodes; one tunnel holds 1 MiB at most."},
	{Name: "weir_cluster_tunnels_total", Type: TypeCounter, Help: "Tunnels that were opened for clients of this node."},
	{Name: "weir_cluster_tunnels_lost_total", Type: TypeCounter, Help: "Ends of tunnels that ended because the other node was lost."},
}

var presenceMetrics = []Metric{
	{Name: "weir_presence_users", Type: TypeGauge, Help: "Users who are present, in all channels: one in three channels counts three times."},
	{Name: "weir_presence_joins_total", Type: TypeCounter, Help: "Users that became present in a channel."},
	{Name: "weir_presence_leaves_total", Type: TypeCounter, Help: "Users that left a channel."},
}

var processMetrics = []Metric{
	{Name: "weir_panics_total", Type: TypeCounter, Help: "Panics that were contained. Each is logged with its stack, and is a bug in weir."},
}
