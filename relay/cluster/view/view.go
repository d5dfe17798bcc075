package view

// Stats are the counters and gauges of a cluster, as this process has them.
type Stats struct {
	Nodes    int // that are there, this one included
	Owned    int // partitions of this one
	Replicas int // channels that are followed
	Isolated bool

	Partitions int // of all nodes together
	Waiting    int // bytes on the links to other nodes

	Frames    uint64 // sent to other nodes
	Bytes     uint64 // of these
	Restarts  uint64 // of links
	Forwarded uint64 // publications handed on
	Takeovers uint64 // of partitions
	Moved     uint64 // partitions that were handed over
	Rescued   uint64 // channels of these that had been followed somewhere
}

// Status is the cluster as one node sees it.
type Status struct {
	Node       string            `json:"node"`
	Trouble    string            `json:"trouble,omitempty"` // why it should not be sent clients; "": it may be
	Isolated   bool              `json:"isolated"`
	Nodes      []NodeStatus      `json:"nodes"`      // those that were there lately, this one too, by name
	Partitions []PartitionStatus `json:"partitions"` // all, in order
}

// NodeStatus is one node.
type NodeStatus struct {
	Node     string `json:"node"`
	Session  string `json:"session"`
	State    string `json:"state"`              // ready, draining, left, isolated or silent
	HeardMS  int64  `json:"heardMs"`            // since it was last heard
	Owned    int    `json:"owned"`              // partitions
	Restarts uint64 `json:"restarts,omitempty"` // of links of this node, if it is this one
	Waiting  int    `json:"waiting,omitempty"`  // bytes that wait on the link to it
}

// PartitionStatus is one partition.
type PartitionStatus struct {
	Partition int    `json:"partition"`
	Node      string `json:"node,omitempty"` // that owns it; "": none
	Term      uint64 `json:"term"`
	Pinned    bool   `json:"pinned,omitempty"`  // it was moved by hand, and stays
	Opening   bool   `json:"opening,omitempty"` // its owner is taking it over or handing it on; known of this node only
}
