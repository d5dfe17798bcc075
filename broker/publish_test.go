package broker

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestEncoding(t *testing.T) {
	for _, test := range []struct {
		p    Publication
		want string
	}{
		{Publication{Op: Set, Group: "messages", Key: "m1", Data: []byte(`{"a":1}`)}, `{"seq":1,"op":"set","group":"messages","key":"m1","data":{"a":1}}`},
		{Publication{Op: Set, Key: "k", Data: []byte(`1`)}, `{"seq":1,"op":"set","group":"items","key":"k","data":1}`},
		{Publication{Op: Set, Key: "k"}, `{"seq":1,"op":"set","group":"items","key":"k","data":null}`},
		{Publication{Op: Send, Data: []byte(`"x"`)}, `{"seq":1,"op":"send","data":"x"}`},
		{Publication{Op: Send}, `{"seq":1,"op":"send"}`},
		{Publication{Op: Send, Group: "g", Data: []byte(`[]`)}, `{"seq":1,"op":"send","group":"g","data":[]}`},
		{Publication{Op: Send, Key: "k", Data: []byte(`[]`)}, `{"seq":1,"op":"send","group":"items","key":"k","data":[]}`},
	} {
		b := open(t, Config{})
		publish(t, b, "c", test.p)
		changes, _, _, _ := b.History("c", 0, 0)
		if got := string(changes); got != "["+test.want+"]" {
			t.Errorf("%+v:\n got %s\nwant [%s]", test.p, got, test.want)
		}
	}
}

func TestEncodedSizeIsExact(t *testing.T) {
	for _, seq := range []uint64{1, 9, 10, 99, 100, 12345678901234567890} {
		for _, e := range []Entry{
			{Op: Send},
			{Op: Send, Group: "g", Data: []byte(`{}`)},
			{Op: Set, Group: "groups", Key: "key", Data: []byte(`"data"`)},
			{Op: Delete, Group: "g", Key: "k", Data: []byte(`1`)},
			{Op: Delete, Group: "g", Key: "k", Expired: true},
		} {
			encoded, group, key, data := encode(nil, seq, &e)
			if got := encodedSize(seq, &e); got != len(encoded) {
				t.Errorf("%s: size %d, said %d", encoded, len(encoded), got)
			}
			if !json.Valid(encoded) {
				t.Errorf("not JSON: %s", encoded)
			}
			if got := group.text(encoded); got != e.Group {
				t.Errorf("%s: group %q", encoded, got)
			}
			if got := key.text(encoded); got != e.Key {
				t.Errorf("%s: key %q", encoded, got)
			}
			if got := string(data.of(encoded)); e.Op != Delete && got != string(e.Data) {
				t.Errorf("%s: data %q", encoded, got)
			}
		}
	}
}

func TestRefused(t *testing.T) {
	b := open(t, Config{Channels: 2, Policy: always(Policy{Items: 2, StateBytes: 40})})
	publish(t, b, "c", Publication{Op: Set, Key: "1", Data: []byte(`1`)})
	for _, test := range []struct {
		name string
		p    Publication
		want error
	}{
		{"set without key", Publication{Op: Set, Data: []byte(`1`)}, ErrNoKey},
		{"delete without key", Publication{Op: Delete, Group: "g"}, ErrNoKey},
		{"operation", Publication{Op: Append + 1}, ErrOp},
		{"ttl", Publication{Op: Set, Key: "k", TTL: -1}, ErrTTL},
		{"bytes", Publication{Op: Set, Key: "2", Data: []byte(`"` + strings.Repeat("x", 40) + `"`)}, ErrStateTooLarge},
	} {
		if _, err := b.Publish("c", &test.p); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
	}
	publish(t, b, "c", Publication{Op: Set, Key: "2"})
	if _, err := b.Publish("c", &Publication{Op: Set, Key: "3"}); !errors.Is(err, ErrTooManyItems) {
		t.Errorf("third item: %v", err)
	}
	at := publish(t, b, "c", Publication{Op: Set, Key: "2", Data: []byte(`2`)})
	if at.Seq != 3 {
		t.Errorf("refused publications took a seq: %d", at.Seq)
	}

	publish(t, b, "d", Publication{Op: Send})
	if _, err := b.Publish("e", &Publication{Op: Send}); !errors.Is(err, ErrTooManyChannels) {
		t.Errorf("third channel: %v", err)
	}
	if _, _, err := b.DeleteGroup("none", "g"); !errors.Is(err, ErrNoChannel) {
		t.Errorf("delete group: %v", err)
	}
	if _, err := b.Join("c", JoinRequest{Again: true}, nil); !errors.Is(err, ErrNotJoined) {
		t.Errorf("join again: %v", err)
	}
}

func TestClosed(t *testing.T) {
	b := open(t, Config{})
	c, _ := join(t, b, "c", JoinRequest{})
	publish(t, b, "c", Publication{Op: Set, Key: "k", TTL: time.Hour})
	for range 2 {
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.Publish("c", &Publication{Op: Send}); !errors.Is(err, ErrClosed) {
		t.Errorf("publish: %v", err)
	}
	if _, err := b.Join("c", JoinRequest{}, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("join: %v", err)
	}
	if _, _, err := b.DeleteGroup("c", ""); !errors.Is(err, ErrClosed) {
		t.Errorf("delete group: %v", err)
	}
	c.Leave()
	c.Leave() // one too many does no harm
}

// The broker keeps nothing of a publication's memory.
func TestReusedMemory(t *testing.T) {
	b := open(t, Config{})
	data := []byte(`"data"`)
	publish(t, b, "c", Publication{Op: Set, Group: "g", Key: "k", Data: data, IdempotencyKey: "i"})
	copy(data, "xxxxxx")
	if got, _, ok := b.Item("c", "g", "k"); !ok || string(got) != `"data"` {
		t.Errorf("item %s", got)
	}
}

func TestDelete(t *testing.T) {
	b := open(t, Config{})
	first := publish(t, b, "c", Publication{Op: Set, Group: "g", Key: "k"})
	if at := publish(t, b, "c", Publication{Op: Delete, Group: "g", Key: "other"}); at != first {
		t.Errorf("absent key: %v after %v", at, first)
	}
	if at := publish(t, b, "c", Publication{Op: Delete, Key: "k"}); at != first {
		t.Errorf("absent group: %v after %v", at, first)
	}
	if at := publish(t, b, "c", Publication{Op: Delete, Group: "g", Key: "k"}); at.Seq != 2 {
		t.Errorf("present: %v", at)
	}
	if _, _, ok := b.Item("c", "g", "k"); ok {
		t.Error("still there")
	}
	if at := publish(t, b, "unknown", Publication{Op: Delete, Key: "k"}); at.Seq != 0 || at.Epoch == "" {
		t.Errorf("unknown channel: %v", at)
	}
	if _, ok := b.Read("unknown", nil); ok {
		t.Error("a delete made a channel that stays")
	}
}

func TestDeleteGroup(t *testing.T) {
	b := open(t, Config{})
	for i := range 3 {
		publish(t, b, "c", Publication{Op: Set, Group: "g", Key: fmt.Sprint(i)})
	}
	publish(t, b, "c", Publication{Op: Set, Key: "k", Data: []byte(`1`)})
	at, count, err := b.DeleteGroup("c", "g")
	if err != nil || count != 3 || at.Seq != 7 {
		t.Errorf("%v %d %v", at, count, err)
	}
	if at, count, err := b.DeleteGroup("c", "g"); err != nil || count != 0 || at.Seq != 7 {
		t.Errorf("again: %v %d %v", at, count, err)
	}
	r, _ := b.Read("c", nil)
	if got := string(r.State); got != `{"items":{"k":1}}` {
		t.Errorf("state %s", got)
	}
	if _, count, _ := b.DeleteGroup("c", ""); count != 1 {
		t.Errorf("default group: %d", count)
	}
}

func TestIdempotencyKeysAreBounded(t *testing.T) {
	b := open(t, Config{Policy: always(Policy{IdempotencyKeys: 3})})
	for i := range 100 {
		publish(t, b, "c", Publication{Op: Send, IdempotencyKey: fmt.Sprint(i)})
	}
	for i := 97; i < 100; i++ {
		if at := publish(t, b, "c", Publication{Op: Send, IdempotencyKey: fmt.Sprint(i)}); at.Seq != uint64(i+1) {
			t.Errorf("key %d: %d", i, at.Seq)
		}
	}
	if at := publish(t, b, "c", Publication{Op: Send, IdempotencyKey: "96"}); at.Seq != 101 {
		t.Errorf("forgotten key: %d", at.Seq)
	}
	c := b.lookup("c")
	if len(c.keys.seqs) != 3 || len(c.keys.order) > 32 {
		t.Errorf("%d keys, %d in order", len(c.keys.seqs), len(c.keys.order))
	}
	off := open(t, Config{Policy: always(Policy{Idempotency: -1})})
	for want := uint64(1); want < 3; want++ {
		if at := publish(t, off, "c", Publication{Op: Send, IdempotencyKey: "k"}); at.Seq != want {
			t.Errorf("off: %d, want %d", at.Seq, want)
		}
	}
}

func TestIdempotentRefusalIsNotRemembered(t *testing.T) {
	b := open(t, Config{Policy: always(Policy{Items: 1})})
	publish(t, b, "c", Publication{Op: Set, Key: "1"})
	again := Publication{Op: Set, Key: "2", IdempotencyKey: "i"}
	if _, err := b.Publish("c", &again); !errors.Is(err, ErrTooManyItems) {
		t.Fatal(err)
	}
	publish(t, b, "c", Publication{Op: Delete, Key: "1"})
	if at := publish(t, b, "c", again); at.Seq != 3 {
		t.Errorf("retry: %v", at)
	}
}

func TestLogBounds(t *testing.T) {
	for _, test := range []struct {
		name string
		p    Policy
		want int
	}{
		{"count", Policy{History: 5}, 5},
		{"bytes", Policy{HistoryBytes: 100}, 3}, // 31 bytes each
		{"none", Policy{History: -1}, 0},
		{"no bound on bytes", Policy{HistoryBytes: -1}, 20},
	} {
		b := open(t, Config{Policy: always(test.p)})
		join(t, b, "c", JoinRequest{})
		for i := range 20 {
			publish(t, b, "c", Publication{Op: Send, Data: []byte(fmt.Sprint(i % 10))})
		}
		changes, _, at, _ := b.History("c", 0, 0)
		log := decode[[]wire](t, changes)
		if len(log) != test.want || at.Seq != 20 {
			t.Errorf("%s: %d changes at %v", test.name, len(log), at)
		}
		for i, change := range log {
			if want := uint64(20 - len(log) + i + 1); change.Seq != want {
				t.Errorf("%s: seq %d, want %d", test.name, change.Seq, want)
			}
		}
	}
}

// What has left the ring is garbage, and an item does not keep its neighbours in the log.
func TestTrimmedChangesAreCollected(t *testing.T) {
	b := open(t, Config{Policy: always(Policy{History: 4})})
	var freed int
	done := make(chan struct{}, 64)
	for range 16 {
		publish(t, b, "c", Publication{Op: Send, Data: []byte(`"` + strings.Repeat("x", 20_000) + `"`)})
		c := b.lookup("c")
		runtime.AddCleanup(&c.log.at(c.log.size - 1).encoded[0], func(int) { done <- struct{}{} }, 0)
		publish(t, b, "c", Publication{Op: Set, Key: "k"})
	}
	for freed < 13 {
		runtime.GC()
		select {
		case <-done:
			freed++
		case <-time.After(5 * time.Second):
			t.Fatalf("%d of 16 freed", freed)
		}
	}
}

// Distinct policies are kept once for all channels, as long as they are few.
func TestPolicies(t *testing.T) {
	b := open(t, Config{Policy: func(channel string) Policy {
		return Policy{History: len(channel)}
	}})
	if one, two := b.policyOf("abc"), b.policyOf("xyz"); one != two || one.History != 3 {
		t.Errorf("%+v and %+v", one, two)
	}
	for n := range 200 {
		if p := b.policyOf(strings.Repeat("x", n+1)); p.History != n+1 || p.HistoryTTL != defaultHistoryTTL {
			t.Errorf("%d: %+v", n, p)
		}
	}
	if known := len(*b.policies.Load()); known != sharedPolicies {
		t.Errorf("%d policies kept", known)
	}
}

func TestOpString(t *testing.T) {
	for op, want := range map[Op]string{Set: "set", Delete: "delete", Send: "send", 7: "op(7)"} {
		if got := op.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
