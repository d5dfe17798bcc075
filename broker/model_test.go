package broker

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// modelPolicy is tight, so that every bound is met often.
var modelPolicy = Policy{
	History: 6, HistoryTTL: 20 * time.Second, ResumeBytes: 330,
	Items: 4, ItemBytes: 100, Idempotency: 8 * time.Second, IdempotencyKeys: 3,
}

// logged is a change of the model.
type logged struct {
	wire
	at   time.Time
	text string // of an append: all of the item
}

// modelItem is a live item of the model.
type modelItem struct {
	data string
	ends time.Time // zero: never
}

// model is what a channel should be: a map, a slice that never forgets, and bounds applied on reading.
type model struct {
	epoch   string
	log     []logged // of this epoch, all of it
	items   map[[2]string]modelItem
	keys    []seenModel
	joined  []*modelReader
	archive map[string][]logged // the logs of all epochs
}

type seenModel struct {
	key string
	seq uint64
	at  time.Time
}

// modelReader is a joined reader and what it must have got.
type modelReader struct {
	reader
	channel *Channel
	want    []uint64
	resets  int
}

func newModel() *model {
	return &model{items: make(map[[2]string]modelItem), archive: make(map[string][]logged)}
}

func (m *model) head() uint64 { return uint64(len(m.log)) }

func (m *model) add(op, group, key, data, cause string) {
	change := wire{Seq: m.head() + 1, Op: op, Group: group, Key: key, Cause: cause}
	if op != "delete" {
		change.Data = []byte(data)
	}
	m.log = append(m.log, logged{change, time.Now(), m.items[[2]string{group, key}].data})
	m.archive[m.epoch] = m.log
	for _, r := range m.joined {
		r.want = append(r.want, change.Seq)
	}
}

// kept is the part of the log that the policy keeps.
func (m *model) kept() []logged {
	kept := m.log[max(0, len(m.log)-modelPolicy.History):]
	for len(kept) > 0 && time.Since(kept[0].at) >= modelPolicy.HistoryTTL {
		kept = kept[1:]
	}
	return kept
}

func (m *model) live() []seenModel {
	live := m.keys[max(0, len(m.keys)-modelPolicy.IdempotencyKeys):]
	for len(live) > 0 && time.Since(live[0].at) >= modelPolicy.Idempotency {
		live = live[1:]
	}
	return live
}

func (m *model) reset(epoch string) {
	m.epoch, m.log, m.keys = epoch, nil, nil
	m.items = make(map[[2]string]modelItem)
}

// meet takes note of a position that the broker answered before a change. An epoch may only be
// another one if the channel had nothing to keep, and never one in which there were changes.
func (m *model) meet(t *rapid.T, at Position) {
	if at.Epoch != m.epoch {
		if m.epoch != "" && (len(m.joined)+len(m.items)+len(m.kept())+len(m.live()) > 0 || len(m.log) == 0) {
			t.Fatalf("epoch %s became %s with %d readers, %d items, %d changes", m.epoch, at.Epoch, len(m.joined), len(m.items), len(m.kept()))
		}
		if len(m.archive[at.Epoch]) > 0 {
			t.Fatalf("epoch %s again", at.Epoch)
		}
		m.reset(at.Epoch)
	}
}

// pass lets time go by and items end, each at its time.
func (m *model) pass(until time.Time) {
	for {
		var next [2]string
		var ends time.Time
		for name, item := range m.items {
			if !item.ends.IsZero() && !item.ends.After(until) && (ends.IsZero() || item.ends.Before(ends)) {
				next, ends = name, item.ends
			}
		}
		if ends.IsZero() {
			return
		}
		delete(m.items, next)
		m.add("delete", next[0], next[1], "", "expired")
		m.log[len(m.log)-1].at = ends
	}
}

func (m *model) state(groups []string) map[string]map[string]string {
	state := make(map[string]map[string]string)
	for name, item := range m.items {
		if len(groups) == 0 || slices.Contains(groups, name[0]) {
			if state[name[0]] == nil {
				state[name[0]] = make(map[string]string)
			}
			state[name[0]][name[1]] = item.data
		}
	}
	return state
}

// TestModel drives a broker with random actions and compares all it answers and delivers.
func TestModel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { rapid.Check(timeless{t}, runModel) })
}

// timeless is a test without a deadline: its own is not to be asked within a synctest bubble.
type timeless struct{ *testing.T }

func (timeless) Deadline() (time.Time, bool) { return time.Time{}, false }

func runModel(t *rapid.T) {
	b, err := New(Config{Policy: always(modelPolicy), Subscriber: newRecorder})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Close() }()
	w := &world{b: b, names: []string{"room:1", "user:2"}}
	shared := func() bool { // two channels of one slot: an epoch may change for another's sake
		s1, slot1 := b.locate(w.names[0])
		s2, slot2 := b.locate(w.names[1])
		return s1 == s2 && slot1 == slot2
	}
	for n := 3; shared(); n++ {
		w.names[1] = "user:" + strconv.Itoa(n)
	}
	w.models = map[string]*model{w.names[0]: newModel(), w.names[1]: newModel()}
	t.Repeat(map[string]func(*rapid.T){
		"publish": w.publish, "more": w.publish, "join": w.join, "leave": w.leave,
		"clear": w.clear, "group": w.deleteGroup, "sleep": w.sleep, "": w.check,
	})
	for _, m := range w.models {
		for _, r := range m.joined {
			r.channel.Leave()
		}
	}
}

// world is a broker with the models of its channels and the positions that readers remember.
type world struct {
	b         *Broker
	names     []string
	models    map[string]*model
	positions []Position
}

// turn picks a channel. Every action takes a moment of its own, so that no two items end at once.
func (w *world) turn(t *rapid.T) (string, *model) {
	w.step(time.Millisecond)
	name := rapid.SampledFrom(w.names).Draw(t, "channel")
	return name, w.models[name]
}

func (w *world) step(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
	for _, m := range w.models {
		m.pass(time.Now())
	}
}

func (w *world) sleep(t *rapid.T) {
	w.step(time.Duration(rapid.SampledFrom([]int{1, 2, 5, 20, 60}).Draw(t, "seconds")) * time.Second)
}

func (w *world) publish(t *rapid.T) {
	name, m := w.turn(t)
	p := Publication{
		Op:    rapid.SampledFrom([]Op{Set, Set, Set, Append, Append, Append, Delete, Send}).Draw(t, "op"),
		Group: rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "group"),
		Data:  fmt.Appendf(nil, `"%s"`, rapid.StringMatching(`[a-yé]{0,30}`).Draw(t, "data")),
		TTL:   time.Duration(rapid.SampledFrom([]int{0, 0, 1, 3, 10}).Draw(t, "ttl")) * time.Second,
	}
	if p.Op == Set && rapid.IntRange(0, 4).Draw(t, "number") == 0 {
		p.Data = []byte("7")
	}
	if p.Op == Append && rapid.Bool().Draw(t, "at an offset") {
		p.HasOffset, p.Offset = true, uint64(rapid.IntRange(0, 40).Draw(t, "offset"))
		if before := m.items[[2]string{p.Group, "1"}].data; rapid.Bool().Draw(t, "a right one") && len(before) > 1 {
			p.Offset = uint64(len([]rune(before)) - 2)
		}
	}
	if p.Op != Send || rapid.Bool().Draw(t, "keyed") {
		p.Key = rapid.SampledFrom([]string{"1", "2", "3"}).Draw(t, "key")
	}
	if rapid.IntRange(0, 3).Draw(t, "idempotent") == 0 {
		p.IdempotencyKey = rapid.SampledFrom([]string{"i", "j", "k", "l"}).Draw(t, "idempotency key")
	}
	group := p.Group
	if group == "" && p.Key != "" {
		group = defaultGroup
	}
	id := [2]string{group, p.Key}

	at, err := w.b.Publish(name, &p)
	live := m.live()
	for _, seen := range live {
		if seen.key == p.IdempotencyKey {
			if err != nil || at != (Position{m.epoch, seen.seq}) {
				t.Fatalf("idempotent: %v %v, want %d", at, err, seen.seq)
			}
			return
		}
	}
	before, exists := m.items[id]
	if refused := m.refuses(&p, before.data); refused != nil {
		if !errors.Is(err, refused) && fmt.Sprint(errors.Unwrap(err)) != refused.Error() {
			t.Fatalf("%v, want %v", err, refused)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	m.meet(t, at)
	switch {
	case p.Op == Set:
		item := modelItem{data: string(p.Data)}
		if p.TTL > 0 {
			item.ends = time.Now().Add(p.TTL)
		}
		m.items[id] = item
	case p.Op == Append:
		item := modelItem{`"` + strings.Trim(before.data, `"`) + strings.Trim(string(p.Data), `"`) + `"`, before.ends}
		if p.TTL > 0 {
			item.ends = time.Now().Add(p.TTL)
		}
		m.items[id] = item
	case p.Op == Delete:
		delete(m.items, id)
	}
	if p.Op != Delete || exists {
		m.add(p.Op.String(), group, p.Key, string(p.Data), "")
	}
	if at.Seq != m.head() {
		t.Fatalf("published at %d, want %d", at.Seq, m.head())
	}
	if p.IdempotencyKey != "" {
		m.keys = append(m.live(), seenModel{p.IdempotencyKey, at.Seq, time.Now()})
	}
	w.positions = append(w.positions, at)
}

// refuses is why a set or an append to an item with data, "" if there is none, is refused; nil: it is not.
func (m *model) refuses(p *Publication, data string) error {
	have := uint64(max(len([]rune(data)), 2) - 2)
	switch {
	case p.Op == Append && data == "7":
		return ErrNotText
	case p.Op == Append && p.HasOffset && p.Offset != have:
		return &OffsetError{have}
	case p.Op == Append && len(data)+len(p.Data) > modelPolicy.ItemBytes+len(`""`):
		return ErrItemTooLarge
	case (p.Op == Set || p.Op == Append) && data == "" && len(m.items) >= modelPolicy.Items:
		return ErrTooManyItems
	}
	return nil
}

// told is a part of the log as a reader is told it that knows appends, or does not.
func (m *model) told(from, to uint64, groups []string, appends bool) (told []wire) {
	for i := from; i < to; i++ {
		x := m.log[i]
		if len(groups) > 0 && !slices.Contains(groups, x.Group) {
			continue
		}
		if x.Op == "append" && !appends {
			settled := slices.ContainsFunc(m.log[i+1:], func(o logged) bool {
				return o.Group == x.Group && o.Key == x.Key && o.Op != "send" && (o.Op != "append" || o.Seq <= to)
			})
			if settled {
				continue
			}
			x.Op, x.Data = "set", []byte(x.text)
		}
		told = append(told, x.wire)
	}
	return told
}

func (w *world) join(t *rapid.T) {
	name, m := w.turn(t)
	var request JoinRequest
	if len(w.positions) > 0 && rapid.Bool().Draw(t, "resume") {
		recent := w.positions[max(0, len(w.positions)-12):]
		request.From = &recent[rapid.IntRange(0, len(recent)-1).Draw(t, "from")]
	}
	if rapid.IntRange(0, 2).Draw(t, "filter") == 0 {
		request.Groups = rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", defaultGroup, "none"}), 1, 3).Draw(t, "groups")
	}
	request.Appends = rapid.Bool().Draw(t, "appends")
	request.Again = len(m.joined) > 0 && rapid.Bool().Draw(t, "again")
	r := new(modelReader)
	var reply Reply
	c, err := w.b.Join(name, request, func(s Subscriber, got Reply) {
		reply = got
		if !request.Again {
			s.(*recorder).add(&r.reader)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	m.meet(t, reply.Position)
	if reply.Position.Seq != m.head() {
		t.Fatalf("joined at %d, want %d", reply.Position.Seq, m.head())
	}
	m.compare(t, request, reply)
	w.positions = append(w.positions, reply.Position)
	if !request.Again {
		r.channel = c
		m.joined = append(m.joined, r)
	}
}

// compare holds a reply against the model.
func (m *model) compare(t *rapid.T, request JoinRequest, reply Reply) {
	var missed []wire
	size, recoverable := 1, false
	if from := request.From; from != nil && from.Epoch == m.epoch {
		recoverable = from.Seq <= m.head() && m.head()-from.Seq <= uint64(len(m.kept()))
		if recoverable {
			missed = m.told(from.Seq, m.head(), request.Groups, request.Appends)
			for _, change := range missed {
				size += change.size() + 1
			}
			recoverable = size <= modelPolicy.ResumeBytes || len(m.log[from.Seq:]) == 0
		}
	}
	if reply.Recovered != recoverable || reply.Lost != (request.From != nil && !recoverable) {
		t.Fatalf("recovered %t, lost %t; recoverable %t", reply.Recovered, reply.Lost, recoverable)
	}
	if recoverable {
		got := decode[[]wire](fataler{t: t}, reply.Changes)
		if len(got) != len(missed) {
			t.Fatalf("recovered %s, want %v", reply.Changes, missed)
		}
		for i := range got {
			if fmt.Sprint(got[i]) != fmt.Sprint(missed[i]) {
				t.Fatalf("recovered %v, want %v", got[i], missed[i])
			}
		}
		return
	}
	m.compareState(t, request.Groups, reply.State)
}

func (m *model) compareState(t *rapid.T, groups []string, encoded []byte) {
	got := make(map[string]map[string]string)
	for group, items := range decode[map[string]map[string]json.RawMessage](fataler{t: t}, encoded) {
		got[group] = make(map[string]string)
		for key, data := range items {
			got[group][key] = string(data)
		}
	}
	if want := m.state(groups); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("state %v, want %v", got, want)
	}
}

// size is the length of the encoded change, by another way than the broker's.
func (l wire) size() int {
	text := fmt.Sprintf(`{"seq":%d,"op":"%s"}`, l.Seq, l.Op)
	for _, part := range [][2]string{{l.Group, `,"group":""`}, {l.Key, `,"key":""`}, {string(l.Data), `,"data":`}, {l.Cause, `,"cause":""`}} {
		if part[0] != "" {
			text += part[1] + part[0]
		}
	}
	return len(text)
}

func (w *world) leave(t *rapid.T) {
	_, m := w.turn(t)
	if len(m.joined) == 0 {
		return
	}
	i := rapid.IntRange(0, len(m.joined)-1).Draw(t, "reader")
	r := m.joined[i]
	w.delivered(t, m, r)
	m.joined = slices.Delete(m.joined, i, i+1)
	r.channel.mu.Lock()
	r.channel.subscriber.(*recorder).drop(&r.reader)
	r.channel.mu.Unlock()
	r.channel.Leave()
}

// delivered holds what a reader got against what it must have got.
func (w *world) delivered(t *rapid.T, m *model, r *modelReader) {
	var got []uint64
	appends := 0
	for _, encoded := range r.heard() {
		change := decode[wire](fataler{t: t}, encoded)
		got = append(got, change.Seq)
		if change.Op == "append" {
			if text := string(r.texts[appends]) + `"`; r.resets == 0 && text != m.log[change.Seq-1].text {
				t.Fatalf("%s made %s, want %s", encoded, text, m.log[change.Seq-1].text)
			}
			appends++
		}
	}
	if !slices.Equal(got, r.want) || len(r.reader.resets) != r.resets {
		t.Fatalf("delivered %v and %d resets, want %v and %d", got, len(r.reader.resets), r.want, r.resets)
	}
}

func (w *world) clear(t *rapid.T) {
	if rapid.IntRange(0, 3).Draw(t, "really") > 0 {
		return
	}
	name, m := w.turn(t)
	at, ok := w.b.Clear(name)
	if !ok {
		if len(m.joined)+len(m.items)+len(m.kept())+len(m.live()) > 0 {
			t.Fatal("no channel to clear")
		}
		return
	}
	if at.Epoch == m.epoch || at.Seq != 0 || len(m.archive[at.Epoch]) > 0 {
		t.Fatalf("cleared to %v", at)
	}
	m.reset(at.Epoch)
	for _, r := range m.joined {
		r.resets++
	}
}

func (w *world) deleteGroup(t *rapid.T) {
	name, m := w.turn(t)
	group := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "group")
	at, count, err := w.b.DeleteGroup(name, group)
	if err != nil {
		return // no such channel: check sees whether that may be
	}
	m.meet(t, at)
	want := len(m.state([]string{group})[group])
	if count != want || at.Seq != m.head()+uint64(count) {
		t.Fatalf("deleted %d to %v, want %d", count, at, want)
	}
	changes, _, _, _ := w.b.History(name, 0, count)
	log := decode[[]wire](fataler{t: t}, changes)
	for _, change := range log[max(0, len(log)-count):] {
		delete(m.items, [2]string{group, change.Key})
		m.add("delete", group, change.Key, "", "")
	}
}

// check compares everything that can be read, after every action.
func (w *world) check(t *rapid.T) {
	var items, kept int64
	for name, m := range w.models {
		items += int64(len(m.items))
		reply, ok := w.b.Read(name, nil)
		if !ok {
			if len(m.joined)+len(m.items)+len(m.kept())+len(m.live()) > 0 {
				t.Fatalf("%s is gone", name)
			}
			continue
		}
		m.meet(t, reply.Position)
		m.compareState(t, nil, reply.State)
		changes, more, at, _ := w.b.History(name, 0, 1000)
		log := decode[[]wire](fataler{t: t}, changes)
		kept += int64(len(log))
		if want := m.kept(); len(log) != len(want) || more || at.Seq != m.head() {
			t.Fatalf("%d changes kept at %v, want %d at %d", len(log), at, len(want), m.head())
		}
		before, limit := rapid.Uint64Range(0, m.head()+1).Draw(t, "before"), rapid.IntRange(1, 4).Draw(t, "page")
		to := m.head()
		if before > 0 && before <= to {
			to = before - 1
		}
		first := m.head() - uint64(len(log))
		from := max(first, to-min(to, uint64(limit)))
		page, _, _, ok := w.b.HistoryOfSets(name, before, limit)
		if !ok {
			continue // it has just been freed
		}
		if got, want := decode[[]wire](fataler{t: t}, page), m.told(min(from, to), to, nil, false); fmt.Sprint(got) != fmt.Sprint(want) && to >= first {
			t.Fatalf("history before %d: %v, want %v", before, got, want)
		}
		for _, r := range m.joined {
			w.delivered(t, m, r)
		}
	}
	if stats := w.b.Stats(); stats.Items != items || stats.Changes != kept {
		t.Fatalf("%+v, want %d items, %d changes", stats, items, kept)
	}
}

// fataler lets the helpers of ordinary tests fail a rapid one.
type fataler struct {
	testing.TB
	t *rapid.T
}

func (f fataler) Helper()                           { f.t.Helper() }
func (f fataler) Fatalf(format string, args ...any) { f.t.Fatalf(format, args...) }
