package mutations

// mutation is something that is to be found when it is broken.
type mutation struct {
	name  string
	edits []edit
	by    []string // arguments of go test, which is to fail
}

// edit replaces text that is in a file once.
type edit struct{ file, old, new string }

// What finds mutations: the simulated cluster, and of what it judges the register alone; nodes of the cluster on a mesh in memory, or a part of these.
var (
	storms   = []string{"./relay/relaytest/simulate", "-run", "^TestSimulateCluster$", "-seeds", "12"}
	register = append(storms[:len(storms):len(storms)], "-only", "register: not linearizable")
	calm     = []string{"./relay/relaytest/simulate", "-run", "^TestSimulateCalmCluster$", "-seeds", "12"}
	cluster  = []string{"./relay/cluster"}
)

// of are the tests of the cluster that begin with a name.
func of(name string) []string { return append(cluster[:1:1], "-run", "^"+name) }

// mutations are those of the order of changes first, which the simulation has to find, whatever tests there are of the parts.
var mutations = []mutation{
	{"a link without numbers: what is lost, late or repeated is not noticed", []edit{
		{"relay/cluster/link/link.go", "f.epoch == in.Epoch && (in.Broken || f.number <= in.Number)", "f.epoch == in.Epoch && in.Broken"},
		{"relay/cluster/link/link.go", "case f.epoch > in.Epoch || f.number != in.Number+1:", "case f.epoch > in.Epoch:"},
		{"relay/cluster/members.go", "case s.Epoch < m.in.Epoch, s.Epoch == m.in.Epoch && (s.Number <= m.in.Number || m.in.Broken)", "case s.Epoch <= m.in.Epoch"},
	}, storms},
	{"no epoch of its own for a term: a takeover without a fork", []edit{
		{"broker/takeover.go", "	c.own()\n	c.fork()\n	c.hold()", "	c.own()\n	c.hold()"},
		{"broker/takeover.go", "	c.restore(b.now(), k)\n	c.fork()\n	c.hold()", "	c.restore(b.now(), k)\n	c.hold()"},
	}, storms},
	{"a fork that claims more than there is", []edit{
		{"broker/store.go", "f.Epoch == from.Epoch && from.Seq <= f.Seq", "f.Epoch == from.Epoch"},
		{"broker/cluster.go", "f.Epoch == c.epoch && c.seq <= f.Seq", "f.Epoch == c.epoch"},
	}, storms},
	{"a replica that ends items by itself", []edit{
		{"broker/cluster.go", "	if c.isReplica() {\n		d.due = due\n		return\n	}\n", ""},
		{"broker/expirer.go", "	if c.isReplica() { // which has become one since it was armed\n		return\n	}\n", ""},
		{"broker/load.go", "if c.items == nil || c.isReplica() {", "if c.items == nil {"},
		{"broker/replicas.go", "func (replicas) Append(Log, Entry) (Receipt, error) { return Receipt{}, errReplica }",
			"func (replicas) Append(l Log, e Entry) (Receipt, error) { return Receipt{Position: l.Apply(&e)}, nil }"},
	}, storms},
	{"a node that is cut off goes on", []edit{
		{"relay/cluster/isolation.go", "	return c.isolated.Load() || int64(time.Since(c.started))-c.ticked.Load() > int64(isolation)", "	return false"},
	}, storms},
	{"rows of the table out of order: an owner that was replaced is believed", []edit{
		{"relay/cluster/table.go", "if before != nil && before.term >= revision {", "if before != nil && before.term == revision {"},
		{"relay/cluster/table.go", "	if before != nil && before.Session == c.session && o.Session != c.session {\n		c.lose(p, o.From == c.session)\n	}\n", ""},
	}, storms},
	{"a node that ends hands nothing over", []edit{
		{"relay/cluster/drain.go", "	kept, takers := c.handAll(ctx)", "	kept, takers := 0, false"},
	}, calm},
	{"a partition is handed over without idempotency keys", []edit{
		{"relay/cluster/link/record.go", "	w.Uint(uint64(len(k.Keys)))\n	for i := range k.Keys {", "	w.Uint(0)\n	for i := range k.Keys[:0] {"},
	}, of("TestDrain$")},
	{"a partition is handed over while it still changes", []edit{
		{"broker/takeover.go", "	c.demote()\n	return k, tap, true", "	return k, tap, true"},
	}, []string{"./broker", "-run", "^TestHandOverIsTheLastWord$"}},

	{"a link that repeats frames: those of before are applied again", []edit{
		{"relay/cluster/link/link.go", "(in.Broken || f.number <= in.Number)", "(in.Broken || f.number < in.Number)"},
		{"relay/cluster/link/link.go", "f.number != in.Number+1", "f.number > in.Number+1"},
	}, of("TestRepeatedFrames")},
	{"frames of an old term: what a replaced owner tells is applied", []edit{
		{"relay/cluster/follow.go", "if f == nil || f.sent != m.session { // of before", "if f == nil {"},
		{"relay/cluster/follow.go", "	delete(c.follows, r.id)\n	c.number++\n	r.id, r.sent", "	c.number++\n	r.id, r.sent"},
		{"broker/cluster.go", "case epoch != c.epoch, seq > c.seq+1:", "case seq > c.seq+1:"},
	}, of("TestFramesOfAnOldOwner")},
	{"nodes that are killed and started again are missed twice", []edit{
		{"relay/cluster/isolation.go", " || c.replaced(m, now)", ""},
	}, of("TestKilledAgainAndAgain")},
	{"followers are not told that a move has failed", []edit{
		{"relay/cluster/move.go", "h.Tap.Reset(nil)", "_ = h.Tap"},
	}, of("TestMoveFails")},
	{"what has come from another node and is empty is freed", []edit{
		{"broker/channel.go", "c.aside.tap == nil && c.aside.until == 0", "c.aside.tap == nil"},
	}, of("TestEmptyChannels")},
	{"a node that ends tries once to hand over", []edit{
		{"relay/cluster/drain.go", "if kept == 0 || !takers || ctx.Err() != nil {", "if kept >= 0 || takers {"},
	}, of("TestDrainPatiently")},
	{"an election cuts everybody off: the table counts, not who is heard", []edit{
		{"relay/cluster/isolation.go", "case now.Sub(c.started) < isolation, c.connected && !isolated:", "case now.Sub(c.started) < isolation:"},
		{"relay/cluster/isolation.go", "	if c.connected {\n		c.written, c.aloneSince = now, now\n	}\n", ""},
		{"relay/cluster/isolation.go", "	case c.connected:\n		cut = !confirmed && (behind || now.Sub(c.connectedSince) < alive)\n", ""},
	}, of("TestTableAway")},
	{"a node that was stopped goes on as before", []edit{
		{"relay/cluster/partition.go", "			c.doubt(now)\n", ""},
		{"relay/cluster/isolation.go", " || int64(time.Since(c.started))-c.ticked.Load() > int64(isolation)", ""},
	}, of("TestStopped")},
	{"a reader ahead of a replica is told that it has lost something", []edit{
		{"broker/cluster.go", "	return from.Seq <= c.seq\n", "	return true\n"},
	}, of("TestResumeAhead")},
	{"keys of what was missed are forgotten", []edit{
		{"broker/cluster.go", "		c.seq = m.Seq // what remember notes\n		c.remember(now, m.Key)\n", "		_ = m\n"},
	}, of("TestKeysOfWhatWasMissed")},

	{"a link that begins anew brings all that a channel has", []edit{
		{"broker/export.go", "	if !known || from.Seq > c.seq", "	if known || from.Seq > c.seq"},
	}, of("TestMissedByALink")},
	{"what has come since a position is taken for all there is", []edit{
		{"broker/cluster.go", "	if lost && k.Partial {", "	if lost && k.Position.Epoch == \"\" {"},
	}, []string{"./broker", "-run", "^TestMissedElsewhere$"}},
	{"ends of items are forgotten with what was missed", []edit{
		{"broker/export.go", "i != nil && i.ttl != nil {", "i != nil && i.ttl == nil {"},
	}, []string{"./broker", "-run", "^TestMissedSince$"}},
	{"a replica says that it stands where it does not stand yet", []edit{
		{"relay/cluster/follow.go", "		case err == nil:\n			f.seq.Store(max(seq, f.seq.Load()))", "		case err == nil:\n			f.seq.Store(max(seq, f.seq.Load()) + 1)"},
	}, of("TestMissedByALink")},
	{"a publication for a partition that is about to be served is sent back", []edit{
		{"relay/cluster/forward.go", "	if c.waits(channel, &p, answer) {\n		return\n	}\n", ""},
	}, of("TestWaitForOpening")},
	{"a publication is sent on to the node that it came from, which waits for its answer", []edit{
		{"relay/cluster/route.go", "		if q.foreign { ", "		if q.foreign && q.id == 0 { "},
	}, of("TestMoveToThePublisher")},
	{"who follows a durable channel is told idempotency keys of what is not stored yet", []edit{
		{"broker/export.go", "seq >= from && seq <= e.channel.seq", "seq >= from"},
	}, []string{"./broker", "-run", "^TestKeysOfWhatWasNeverApplied$"}},
	{"a replica whose channel comes and goes while the store is asked is owned here from then on", []edit{
		{"broker/takeover.go", "case b.elsewhere(channel): // it has moved", "case b == nil: // it has moved"},
	}, []string{"./broker", "-run", "^TestReplicaMovesWhileItIsLoaded$"}},
	{"what a replica has is read when its channel has come to this process", []edit{
		{"broker/shard.go", "		if c == nil || !c.regains() {\n			return c\n		}\n		c.unlock()\n		if b.Promote(channel) != nil {\n			return nil\n		}\n", "		return c\n"},
	}, []string{"./broker", "-run", "^TestReplicaIsNotReadInsteadOfTheStore$"}},
	{"a replica goes on with what was read before its channel went to another process and came back", []edit{
		{"broker/takeover.go", "case b.tenure(channel) != since:", "case b.tenure(channel) < since:"},
	}, []string{"./broker", "-run", "^TestLoadedInAnotherTenure$"}},
	{"a channel is loaded as it was read before it went to another process and came back", []edit{
		{"broker/load.go", "b.tenure(c.name) != since)", "b.tenure(c.name) < since)"},
	}, []string{"./broker", "-run", "^TestLoadedInAnotherTenure$"}},
	{"a fork is written behind what was read before a partition moved and came back", []edit{
		{"broker/ledger/load.go", "if l.tenure(p) != since {", "if l.tenure(p) < since {"},
	}, []string{"./broker/ledger", "-run", "^TestReadBeforeItMoved$"}},
	{"a partition that was dropped while it was taken is served with what is left of it", []edit{
		{"broker/ledger/take.go", "		if p.drops != begun[i] {", "		if p.drops < begun[i] {"},
	}, []string{"./broker/ledger", "-run", "^TestDroppedWhileTaken$"}},
	{"who does not know yet that it was replaced has the table forget where the next owner writes", []edit{
		{"broker/ledger/take.go", "		case r.Order > own.Order: //", "		case r.Order == own.Order && needed && to == 0: //"},
	}, []string{"./broker/ledger", "-run", "^TestRefsOfTheNextOwner$"}},
	{"a partition is served as it was read before another process had it", []edit{
		{"relay/cluster/durable/take.go", "!mine || d.table.row(p).Order != d.taken[p] {", "!mine || d.table.row(p).Order < d.taken[p] {"},
	}, []string{"./relay/cluster/durable", "-run", "^TestTakenElsewhereMeanwhile$"}},
	{"a window that is divided waits for longer than it says", []edit{
		{"batch/group.go", "				g.tick = g.tick.Add(-step)\n", ""},
	}, []string{"./batch", "-run", "^TestWindowsAreDivided$"}},
	{"windows are divided though their readers share channels", []edit{
		{"batch/parts.go", "	case shared > tooShared:", "	case shared > 100*tooShared:"},
	}, []string{"./batch", "-run", "^TestWindowsAreDivided$"}},
	{"what was written without an answer in the tenure before counts for the one that begins", []edit{
		{"relay/cluster/durable/take.go", "if d.ledger.Unsafe(p) {", "if d == nil {"},
	}, []string{"./relay/cluster/durable", "-run", "^TestUnansweredInTheTenureBefore$"}},
	{"a node that was thought gone is not told that what it follows was forgotten", []edit{
		{"relay/cluster/link/link.go", "	l.Append(Unfollow, func(w *Writer) { w.Uint(0) }) // of nothing\n", ""},
	}, []string{"./relay/cluster/link", "-run", "^TestReset$"}},
	{"a replica that nobody reads and nobody fills stays in memory", []edit{
		{"broker/takeover.go", "	if c.readers == 0 { // nobody may fill", "	if c == nil { // nobody may fill"},
	}, []string{"./broker", "-run", "^TestUnusedReplicaIsGivenUp$"}},
	{"what was begun elsewhere is damaged by an import that comes late", []edit{
		{"broker/ledger/value.go", "if s.gone || imported && ", "if s.gone || false && imported && "},
	}, []string{"./broker/ledger", "-run", "^TestReadBeforeItMoved$"}},
	{"a channel is imported over one that was begun while its partition was elsewhere", []edit{
		{"broker/ledger/import.go", "l.tenure(l.config.Partition(channel)) != since {", "l.tenure(l.config.Partition(channel)) < since {"},
	}, []string{"./broker/ledger", "-run", "^TestReadBeforeItMoved$"}},
	{"what is put back after a move is served, though the partition was taken over meanwhile", []edit{
		{"relay/cluster/move.go", "			c.lose(p, true)\n", ""},
	}, of("TestTakenOverWhileMoved")},
	{"who does not reach the table does not learn from others that it was replaced", []edit{
		{"relay/cluster/members.go", "> lateFrame && !c.learns.Swap(true)", "> lateFrame && c.learns.Load()"},
	}, of("TestReplacedWithoutTable")},
	{"answers of other nodes are given to whoever is first", []edit{
		{"relay/ingress/pendingreplies.go", "return w.id == id", "return !w.settled"},
	}, []string{"./relay/ingress", "-run", "^TestTab$"}},
	{"what a channel is told before its first client came counts among what clients are told", []edit{
		{"relay/hub/resync.go", "	if !f.begun {\n		return\n	}\n", ""},
	}, []string{"./relay", "-run", "^TestStreamOfHeldChannel$"}},

	{"a log that is taken over without a fence", []edit{
		{"broker/ledger/take.go", "number, err := log.Append(ctx, fence(rand.Text()), last)", "_, number, err := fence(rand.Text()), last, error(nil)"},
	}, ledger("TestFencedOwner")},
	{"a log that is taken over without a fence, as clients of a register see it", []edit{
		{"broker/ledger/take.go", "number, err := log.Append(ctx, fence(rand.Text()), last)", "_, number, err := fence(rand.Text()), last, error(nil)"},
	}, register},
	{"an owner that was replaced acknowledges what the fence keeps out, as they see it", []edit{
		{"broker/ledger/commit.go", "			err = ErrFenced\n", "			number, err = w.last+1, nil\n"},
	}, register},
	{"frames behind a fence are read: what comes of several in flight when the first is refused", []edit{
		{"broker/ledger/take.go", "case session != \"\" && m.session != session: // late, behind a fence", "case session == \"no fence\":"},
		{"broker/ledger/take.go", "case session != \"\" && (m.frame.Number", "case session == \"no fence\" && (m.frame.Number"},
		{"broker/ledger/take.go", "m.session != r.Session && ended == 0 {", "m.session != r.Session || ended > 0 {"},
	}, ledger("TestBehindTheFence")},
	{"a partition is read without the sealed tail", []edit{
		{"broker/ledger/take.go", "			if r.From > to {", "			if r.From <= to {"},
	}, ledger("TestModel")},
	{"an append without an answer counts as made", []edit{
		{"broker/ledger/commit.go", "if there, err = w.log.Append(ctx, b.frame, w.last); err == nil {", "if there, err = w.log.Append(ctx, b.frame, w.last); err == nil || !errors.Is(err, mesh.ErrConflict) {\n			there, err = w.last+1, nil"},
	}, ledger("TestModel")},
	{"a checkpoint replaces one that has more", []edit{
		{"broker/ledger/checkpoint.go", "			_, err = l.config.Shelf.Put(ctx, revision, l.pieces(key, s.encode(key))...)\n",
			"			if _, err = l.config.Shelf.Put(ctx, revision, l.pieces(key, s.encode(key))...); err != nil {\n				_, revision, _ = l.config.Shelf.Get(ctx, key)\n				_, err = l.config.Shelf.Put(ctx, revision, l.pieces(key, s.encode(key))...)\n			}\n"},
	}, ledger("TestStaleCheckpoint")},
}

// ledger is a test of the store of durable channels.
func ledger(name string) []string { return []string{"./broker/ledger", "-run", "^" + name + "$"} }
