package broker

// replicas is the Store of channels that another process owns.
type replicas struct{ cluster Cluster }

// Load implements Store.
func (s replicas) Load(channel, _ string) (Kept, bool, error) { return s.cluster.Follow(channel) }

// Release implements Store.
func (s replicas) Release(channel string) bool {
	s.cluster.Unfollow(channel)
	return true
}

// Append implements Journal.
func (replicas) Append(Log, Entry) (Receipt, error) { return Receipt{}, errReplica }

// Confirm implements Store.
func (replicas) Confirm(Log) Receipt { return Receipt{} }

// Note implements Store.
func (replicas) Note(Log, string) (Receipt, error) { return Receipt{}, errReplica }

// List implements Store.
func (replicas) List(string, string, int) ([]Info, error) { return nil, nil }

// Forget implements Journal.
func (replicas) Forget(string) {}

// Close implements Journal.
func (replicas) Close() error { return nil }
