package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"

	"weir/internal/mesh/nats"
	"weir/relay/cluster"
)

// clusterCommands is weir cluster.
type clusterCommands struct {
	Status clusterStatusCommand `cmd:"" help:"Show the nodes, and which owns what."`
	Check  clusterCheckCommand  `cmd:"" help:"Say what is wrong with a cluster."`
	Move   clusterMoveCommand   `cmd:"" help:"Move a partition to a node."`
	Import clusterImportCommand `cmd:"" help:"Put exported durable channels into a cluster."`
	Export clusterExportCommand `cmd:"" help:"Write the durable channels of a cluster as lines of JSON."`
}

// clusterStatusCommand is weir cluster status.
type clusterStatusCommand struct {
	JSON bool `name:"json" help:"Print one JSON object."`

	adminFlags `embed:""`
}

// Help is the detailed help of the command.
func (*clusterStatusCommand) Help() string {
	return "Asks the admin listener of one node how it sees the cluster: all nodes, how many partitions each owns, and what is in trouble."
}

// Run asks and prints.
func (c *clusterStatusCommand) Run(p *program) error {
	s, err := c.status(p)
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(p.stdout).Encode(s)
	}
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "NODE\tSTATE\tPARTITIONS\tHEARD")
	for _, n := range s.Nodes {
		heard := fmt.Sprintf("%d ms ago", n.HeardMS)
		if n.Node == s.Node && n.HeardMS == 0 {
			heard = "asked"
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%d\t%s\n", n.Node, n.State, n.Owned, heard)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, n := range s.Nodes {
		if list := s.owned(n.Node); n.State != "left" && list != "" {
			_, _ = fmt.Fprintf(p.stdout, "%s owns %s\n", n.Node, list)
		}
	}
	if s.Trouble != "" {
		_, _ = fmt.Fprintln(p.stdout, "not ready: "+s.Trouble)
	}
	return nil
}

// clusterView is the answer of the admin listener.
type clusterView struct {
	cluster.Status
	Sync string `json:"sync"` // whether the servers that keep durable channels sync; "": there are none
}

// owned are the partitions of a node, as ranges; those that were moved by hand have a *.
func (s *clusterView) owned(node string) string {
	var parts []string
	for i := 0; i < len(s.Partitions); i++ {
		x := s.Partitions[i]
		if x.Node != node {
			continue
		}
		last := i
		for last+1 < len(s.Partitions) && s.Partitions[last+1].Node == node && !x.Pinned && !s.Partitions[last+1].Pinned {
			last++
		}
		text := strconv.Itoa(x.Partition)
		if last > i {
			text += "-" + strconv.Itoa(s.Partitions[last].Partition)
		}
		if x.Pinned {
			text += "*"
		}
		parts, i = append(parts, text), last
	}
	return strings.Join(parts, " ")
}

// status asks the admin listener.
func (f *adminFlags) status(p *program) (*clusterView, error) {
	r, err := f.relay(p)
	if err != nil {
		return nil, err
	}
	ctx, cancel := untilSignal()
	defer cancel()
	var s clusterView
	if err := r.Do(ctx, "GET", "/cluster", nil, &s); err != nil {
		return nil, unlessLeft(ctx, fmt.Errorf("cluster: %w", err))
	}
	return &s, nil
}

// clusterCheckCommand is weir cluster check.
type clusterCheckCommand struct {
	JSON        bool   `name:"json" help:"Print one JSON object."`
	NATS        string `name:"nats" placeholder:"URL" help:"NATS servers of your own, with a user of their system account: ask them whether they sync."`
	Credentials string `name:"nats-credentials" placeholder:"FILE" help:"Credentials of that user."`

	adminFlags `embed:""`
}

// Help is the detailed help of the command.
func (*clusterCheckCommand) Help() string {
	return "Exit code 0 if the node is ready, all partitions have an owner that is heard, and no node is silent or isolated; 1 otherwise. " +
		"Where channels are durable it also reports whether the servers that keep them have on disk what they acknowledge: that decides what is left when all machines lose power at once. " +
		"Servers of your own report that only to users of their system account: --nats."
}

// Run asks, and prints what is wrong.
func (c *clusterCheckCommand) Run(p *program) error {
	s, err := c.status(p)
	if err != nil {
		return err
	}
	wrong := s.wrong()
	notes, err := c.syncs(s)
	if err != nil {
		return err
	}
	if c.JSON {
		if err := json.NewEncoder(p.stdout).Encode(map[string]any{"ok": len(wrong) == 0, "problems": append([]string{}, wrong...), "notes": append([]string{}, notes...)}); err != nil {
			return err
		}
	} else {
		for _, text := range append(wrong, notes...) {
			_, _ = fmt.Fprintln(p.stdout, text)
		}
	}
	if len(wrong) > 0 {
		return errors.New("cluster: the check found problems")
	}
	if !c.JSON {
		_, err = fmt.Fprintf(p.stdout, "ok: %d nodes, %d partitions\n", len(s.Nodes), len(s.Partitions))
	}
	return err
}

// syncs says what the servers that keep durable channels do about sync, a sentence each. Errors: those that were named do not say.
func (c *clusterCheckCommand) syncs(s *clusterView) (notes []string, err error) {
	const loses = "what is acknowledged may be lost if all machines lose power at once"
	if c.NATS != "" {
		ctx, cancel := untilSignal()
		defer cancel()
		list, err := nats.Servers(ctx, nats.Config{Servers: strings.Split(c.NATS, ","), Credentials: c.Credentials})
		if err != nil {
			return nil, fmt.Errorf("cluster: NATS servers: %w", err)
		}
		for _, x := range list {
			switch {
			case x.Off:
				notes = append(notes, "server "+x.Name+" has no JetStream")
			case x.Always:
				notes = append(notes, "server "+x.Name+" syncs before it acknowledges")
			default:
				notes = append(notes, fmt.Sprintf("server %s syncs every %v: %s (sync_interval: always)", x.Name, x.Interval, loses))
			}
		}
		return notes, nil
	}
	switch s.Sync {
	case "always":
		notes = []string{"the servers within the nodes sync before they acknowledge, as far as " + s.Node + " knows: cluster.embed.sync"}
	case "off":
		notes = []string{"the server within " + s.Node + " does not sync before it acknowledges: " + loses + " (cluster.embed.sync)"}
	case "unknown":
		notes = []string{"it is not known whether the NATS servers sync before they acknowledge: ask them with --nats and a user of their system account"}
	}
	return notes, nil
}

// wrong is what is wrong, a sentence each.
func (s *clusterView) wrong() (list []string) {
	if s.Trouble != "" {
		list = append(list, s.Node+" is not ready: "+s.Trouble)
	}
	there := make(map[string]bool)
	for _, n := range s.Nodes {
		there[n.Node] = there[n.Node] || n.State == "ready" || n.State == "draining"
	}
	for _, n := range s.Nodes {
		if (n.State == "silent" || n.State == "isolated") && !there[n.Node] {
			list = append(list, fmt.Sprintf("%s is %s: last heard %d ms ago", n.Node, n.State, n.HeardMS))
		}
	}
	for _, x := range s.Partitions {
		if x.Node == "" {
			list = append(list, fmt.Sprintf("partition %d has no owner", x.Partition))
		} else if !there[x.Node] {
			list = append(list, fmt.Sprintf("partition %d belongs to node %s, which is gone or cannot be reached", x.Partition, x.Node))
		}
	}
	return list
}

// clusterMoveCommand is weir cluster move.
type clusterMoveCommand struct {
	What string `arg:"" name:"partition" help:"Number of the partition, or the name of a channel in it."`
	Node string `arg:"" help:"Name of the node that is to own it."`
	JSON bool   `name:"json" help:"Print one JSON object."`

	adminFlags `embed:""`
}

// Help is the detailed help of the command.
func (*clusterMoveCommand) Help() string {
	return "Has the partition handed over, whichever node owns it: no message is lost, and no client notices. It stays there for as long as the node does. Exit code 1 if it was not moved."
}

// Run has the partition moved.
func (c *clusterMoveCommand) Run(p *program) error {
	r, err := c.relay(p)
	if err != nil {
		return err
	}
	order := map[string]any{"node": c.Node}
	if n, err := strconv.Atoi(c.What); err == nil {
		order["partition"] = n
	} else {
		order["channel"] = c.What
	}
	body, err := json.Marshal(order)
	if err != nil {
		return err
	}
	ctx, cancel := untilSignal()
	defer cancel()
	var done struct {
		Partition int    `json:"partition"`
		Node      string `json:"node"`
	}
	if err := r.Do(ctx, "POST", "/cluster/move", body, &done); err != nil {
		return unlessLeft(ctx, fmt.Errorf("cluster move: %w", err))
	}
	if c.JSON {
		return json.NewEncoder(p.stdout).Encode(&done)
	}
	_, err = fmt.Fprintf(p.stdout, "partition %d is at %s\n", done.Partition, done.Node)
	return err
}
