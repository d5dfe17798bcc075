package cluster

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"

	"weir/relay/cluster/link"
)

// rowPrefix is of the rows that say who owns a partition. They end with its number.
const rowPrefix = "p."

// tableRows is the handler of callTable. Whoever does not reach the table learns by it that it was replaced, and would go on beside the new owner otherwise.
func (c *Cluster) tableRows([]byte) ([]byte, error) {
	var list []link.Row
	for p := range c.owners {
		if o := c.owners[p].Load(); o != nil {
			list = append(list, link.Row{Partition: p, Value: o.row, Revision: o.term})
		}
	}
	return json.Marshal(list)
}

// learn asks another process for what it knows of the table and this one has not been told. It is one of the cluster's goroutines, and ends with the answer.
func (c *Cluster) learn(m *member) {
	defer c.learns.Store(false)
	var list []link.Row
	body, _ := c.callMember(c.context, func(other *member) bool { return other == m }, callTable, nil, answerLimit)
	_ = json.Unmarshal(body, &list) // without an answer its next hello has this asked again
	for _, r := range list {
		c.row(r.Partition, r.Value, r.Revision)
	}
}

// Row implements mesh.Handler.
func (i inbox) Row(key string, value []byte, revision uint64) {
	if i.cluster.kept.Row(key, value, revision) {
		return
	}
	if session, ok := strings.CutPrefix(key, probePrefix); ok {
		i.cluster.probedBy(session, strings.Trim(string(value), `"`), revision)
		return
	}
	p, err := strconv.Atoi(strings.TrimPrefix(key, rowPrefix))
	if err == nil && strings.HasPrefix(key, rowPrefix) {
		i.cluster.row(p, value, revision)
	}
}

// row notes a row of the table of owners, that the mesh or another process has told.
func (c *Cluster) row(p int, value []byte, revision uint64) {
	c.rows.Lock()
	defer c.rows.Unlock()
	c.table.Store(max(c.table.Load(), revision))
	var o owner
	if p < 0 || json.Unmarshal(value, &o) != nil {
		return
	}
	if p >= len(c.owners) {
		if !c.foreign.Swap(true) {
			c.config.Log.Error("the cluster has more partitions than this node: set cluster.partitions to what the others have")
		}
		return
	}
	o.term, o.row = revision, bytes.Clone(value)
	before := c.owners[p].Load()
	if before != nil && before.term >= revision {
		return
	}
	c.owners[p].Store(&o)
	if !c.running() {
		return
	}
	if o.Session != c.session || before != nil && before.Session == c.session { // or it was another one's meanwhile, which the table no longer tells
		c.parts.Close(p, o.term)
	}
	if before != nil && before.Session == c.session && o.Session != c.session {
		c.lose(p, o.From == c.session)
	}
	var failed []*request
	c.mu.Lock()
	if before != nil && o.From == "" { // it was taken over: who had it is gone
		failed = c.unanswered(before.Session, p)
	}
	c.flush(p)
	c.mu.Unlock()
	finish(failed)
	c.owned(p, before)
	if o.Session == c.session {
		c.config.Panic.Go(&c.done, "takeover", func() { c.open(p, &o, before) }, func() { c.opened(p, &o) }) // ends by itself; Close waits for it
		return
	}
	c.mu.Lock()
	for _, r := range c.replicas {
		if r.partition == p {
			c.place(r)
		}
	}
	c.mu.Unlock()
}
