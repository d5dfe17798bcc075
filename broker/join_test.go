package broker

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestResume(t *testing.T) {
	b := open(t, Config{Policy: always(Policy{History: 4, ResumeBytes: 200})})
	c, fresh := join(t, b, "c", JoinRequest{})
	defer c.Leave()
	if string(fresh.State) != `{}` || fresh.Recovered || fresh.Lost || fresh.Position.Epoch == "" {
		t.Fatalf("fresh: %+v", fresh)
	}
	for i := range 6 {
		publish(t, b, "c", Publication{Op: Set, Group: "g", Key: fmt.Sprint(i % 2), Data: fmt.Append(nil, i)})
	}
	epoch := fresh.Position.Epoch
	for _, test := range []struct {
		name string
		from Position
		want string // changes; "" if it cannot be recovered
	}{
		{"head", Position{epoch, 6}, `[]`},
		{"one behind", Position{epoch, 5}, `[{"seq":6,"op":"set","group":"g","key":"1","data":5}]`},
		{"oldest", Position{epoch, 2}, `[{"seq":3,"op":"set","group":"g","key":"0","data":2},` +
			`{"seq":4,"op":"set","group":"g","key":"1","data":3},{"seq":5,"op":"set","group":"g","key":"0","data":4},` +
			`{"seq":6,"op":"set","group":"g","key":"1","data":5}]`},
		{"too old", Position{epoch, 1}, ``},
		{"start", Position{epoch, 0}, ``},
		{"ahead", Position{epoch, 7}, ``},
		{"far ahead", Position{epoch, 1<<64 - 1}, ``},
		{"other epoch", Position{"other", 6}, ``},
		{"no epoch", Position{"", 6}, ``},
	} {
		if test.name == "oldest" {
			b.lookup("c").policy = new(*b.lookup("c").policy)
			b.lookup("c").policy.ResumeBytes = len(test.want)
		}
		_, r := join(t, b, "c", JoinRequest{From: &test.from, Again: true})
		if r.Position != (Position{epoch, 6}) {
			t.Errorf("%s: position %v", test.name, r.Position)
		}
		if r.Recovered != (test.want != "") || string(r.Changes) != test.want {
			t.Errorf("%s: recovered %t %s", test.name, r.Recovered, r.Changes)
		}
		if !r.Recovered && (!r.Lost || string(r.State) != `{"g":{"0":4,"1":5}}`) {
			t.Errorf("%s: lost %t, state %s", test.name, r.Lost, r.State)
		}
	}
	if readers := channels(t, b, "", "", 0)[0].Readers; readers != 1 {
		t.Errorf("%d readers", readers)
	}
}

func TestResumeBytes(t *testing.T) {
	b := open(t, Config{Policy: always(Policy{ResumeBytes: 100})})
	at := publish(t, b, "c", Publication{Op: Send, Data: []byte(`1`)})
	publish(t, b, "c", Publication{Op: Send, Data: []byte(`"` + strings.Repeat("x", 60) + `"`)})
	if _, r := join(t, b, "c", JoinRequest{From: &at}); !r.Recovered {
		t.Errorf("within the limit: %+v", r)
	}
	publish(t, b, "c", Publication{Op: Send, Group: "g", Data: []byte(`1`)})
	if _, r := join(t, b, "c", JoinRequest{From: &at}); r.Recovered || !r.Lost {
		t.Errorf("beyond the limit: %+v", r)
	}
	if _, r := join(t, b, "c", JoinRequest{From: &at, Groups: []string{"g"}}); !r.Recovered {
		t.Errorf("what the filter leaves is within the limit: %+v", r)
	}
}

func TestGroups(t *testing.T) {
	b := open(t, Config{})
	start := publish(t, b, "c", Publication{Op: Set, Group: "a", Key: "1", Data: []byte(`1`)})
	publish(t, b, "c", Publication{Op: Set, Group: "b", Key: "2", Data: []byte(`2`)})
	publish(t, b, "c", Publication{Op: Send, Data: []byte(`3`)})
	publish(t, b, "c", Publication{Op: Send, Group: "b", Data: []byte(`4`)})
	for _, test := range []struct {
		groups         []string
		state, changes string
	}{
		{nil, `{"a":{"1":1},"b":{"2":2}}`, `[{"seq":2,"op":"set","group":"b","key":"2","data":2},{"seq":3,"op":"send","data":3},{"seq":4,"op":"send","group":"b","data":4}]`},
		{[]string{"a"}, `{"a":{"1":1}}`, `[]`},
		{[]string{"b", "b", "x"}, `{"b":{"2":2}}`, `[{"seq":2,"op":"set","group":"b","key":"2","data":2},{"seq":4,"op":"send","group":"b","data":4}]`},
		{[]string{"x"}, `{}`, `[]`},
		{[]string{""}, `{}`, `[]`},
	} {
		if r, _ := b.Read("c", test.groups); string(r.State) != test.state {
			t.Errorf("%q: state %s", test.groups, r.State)
		}
		c, r := join(t, b, "c", JoinRequest{From: &start, Groups: test.groups})
		if string(r.Changes) != test.changes {
			t.Errorf("%q: changes %s", test.groups, r.Changes)
		}
		c.Leave()
	}
}

// Items come in the order in which they came into being, and one that was deleted starts anew.
func TestStateOrder(t *testing.T) {
	b := open(t, Config{})
	for _, key := range []string{"c", "a", "b", "a"} {
		publish(t, b, "ch", Publication{Op: Set, Key: key, Data: []byte(`1`)})
	}
	publish(t, b, "ch", Publication{Op: Delete, Key: "c"})
	publish(t, b, "ch", Publication{Op: Set, Key: "c", Data: []byte(`2`)})
	if r, _ := b.Read("ch", nil); string(r.State) != `{"items":{"a":1,"b":1,"c":2}}` {
		t.Errorf("state %s", r.State)
	}
}

func TestSnapshotIsShared(t *testing.T) {
	b := open(t, Config{})
	publish(t, b, "c", Publication{Op: Set, Key: "k", Data: []byte(`1`)})
	_, one := join(t, b, "c", JoinRequest{})
	publish(t, b, "c", Publication{Op: Send})
	two, _ := b.Read("c", nil)
	if &one.State[0] != &two.State[0] {
		t.Error("built twice though no item changed")
	}
	if two.Position.Seq != 2 {
		t.Errorf("position %v", two.Position)
	}
	publish(t, b, "c", Publication{Op: Set, Key: "k", Data: []byte(`2`)})
	three, _ := b.Read("c", nil)
	if string(one.State) != `{"items":{"k":1}}` || string(three.State) != `{"items":{"k":2}}` {
		t.Errorf("%s, then %s", one.State, three.State)
	}
}

func TestOutlet(t *testing.T) {
	made := 0
	b := open(t, Config{Subscriber: func(c *Channel) Subscriber {
		made++
		if c.Name() != "c" {
			t.Errorf("name %q", c.Name())
		}
		return newRecorder(c)
	}})
	var seen reader
	hear := func(s Subscriber, _ Reply) { s.(*recorder).add(&seen) }
	publish(t, b, "c", Publication{Op: Send, Data: []byte(`0`)})
	c, err := b.Join("c", JoinRequest{}, hear)
	if err != nil {
		t.Fatal(err)
	}
	other, _ := join(t, b, "c", JoinRequest{})
	publish(t, b, "c", Publication{Op: Send, Data: []byte(`1`), Exclude: "x"})
	other.Leave()
	publish(t, b, "c", Publication{Op: Send, Data: []byte(`2`)})
	c.Leave()
	publish(t, b, "c", Publication{Op: Send, Data: []byte(`3`)})
	if got := string(slices.Concat(seen.changes...)); got != `{"seq":2,"op":"send","data":1}{"seq":3,"op":"send","data":2}` {
		t.Errorf("heard %s", got)
	}
	if seen.exclude[0] != "x" || seen.exclude[1] != "" {
		t.Errorf("exclude %q", seen.exclude)
	}
	if _, err := b.Join("c", JoinRequest{}, hear); err != nil {
		t.Fatal(err)
	}
	if made != 2 {
		t.Errorf("%d outlets made", made)
	}
}

func TestHistory(t *testing.T) {
	b := open(t, Config{Policy: always(Policy{History: 6})})
	if _, _, _, ok := b.History("c", 0, 0); ok {
		t.Error("history of a channel that is not there")
	}
	for range 10 {
		publish(t, b, "c", Publication{Op: Send})
	}
	for _, test := range []struct {
		before uint64
		limit  int
		want   []uint64
		more   bool
	}{
		{0, 0, []uint64{5, 6, 7, 8, 9, 10}, false},
		{0, 2, []uint64{9, 10}, true},
		{9, 2, []uint64{7, 8}, true},
		{7, 2, []uint64{5, 6}, false},
		{6, 2, []uint64{5}, false},
		{5, 2, nil, false},
		{1, 2, nil, false},
		{10, 1, []uint64{9}, true},
		{11, 1, []uint64{10}, true},
		{1 << 63, 1, []uint64{10}, true},
	} {
		changes, more, at, ok := b.History("c", test.before, test.limit)
		var seqs []uint64
		for _, change := range decode[[]wire](t, changes) {
			seqs = append(seqs, change.Seq)
		}
		if !ok || at.Seq != 10 || more != test.more || !slices.Equal(seqs, test.want) {
			t.Errorf("before %d, limit %d: %v more %t at %v", test.before, test.limit, seqs, more, at)
		}
	}
}

func channels(t *testing.T, b *Broker, prefix, after string, limit int) []Info {
	t.Helper()
	infos, err := b.Channels(prefix, after, limit)
	if err != nil {
		t.Fatal(err)
	}
	return infos
}

func TestChannels(t *testing.T) {
	b := open(t, Config{})
	var want []string
	for i := range 300 {
		name := fmt.Sprintf("room:%03d", i)
		publish(t, b, name, Publication{Op: Set, Key: "k"})
		want = append(want, name)
	}
	join(t, b, "user:1", JoinRequest{})
	var got []string
	after := ""
	for {
		page := channels(t, b, "room:", after, 7)
		if len(page) == 0 {
			break
		}
		for _, info := range page {
			got = append(got, info.Name)
		}
		after = got[len(got)-1]
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d channels: %q", len(got), got)
	}
	if page := channels(t, b, "", "room:299", 0); len(page) != 1 || page[0].Name != "user:1" || page[0].Readers != 1 || page[0].Items != 0 {
		t.Errorf("%+v", page)
	}
	if page := channels(t, b, "room:001", "", 0); len(page) != 1 || page[0].Items != 1 || page[0].Changes != 1 || page[0].Position.Seq != 1 {
		t.Errorf("%+v", page)
	}
}

func TestStats(t *testing.T) {
	b := open(t, Config{})
	publish(t, b, "a", Publication{Op: Set, Key: "k", Data: []byte(`1`)})
	publish(t, b, "a", Publication{Op: Set, Key: "k", Data: []byte(`2`)})
	publish(t, b, "b", Publication{Op: Send})
	size := int64(len(`{"seq":1,"op":"set","group":"items","key":"k","data":1}`))
	want := Stats{Channels: 2, Items: 1, Changes: 3, Bytes: 3*size + int64(len(`{"seq":1,"op":"send"}`))}
	if got := b.Stats(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	b.Clear("a")
	b.Clear("b")
	if got := b.Stats(); got != (Stats{}) {
		t.Errorf("after clearing: %+v", got)
	}
}
