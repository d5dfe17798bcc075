package broker

import (
	"encoding/json"
	"errors"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func textPublication(data string) Publication {
	return Publication{Op: Append, Group: "answers", Key: "a7", Data: []byte(data)}
}

func itemOf(t testing.TB, b *Broker, channel string) string {
	t.Helper()
	data, _, ok := b.Item(channel, "answers", "a7")
	if !ok {
		return ""
	}
	return string(data)
}

func TestAppend(t *testing.T) {
	b := open(t, Config{Policy: always(Policy{ItemBytes: 40})})
	for i, step := range []struct {
		p    Publication
		want string // the item
		err  error
	}{
		{textPublication(`"Hello"`), `"Hello"`, nil},
		{textPublication(`" wörld"`), `"Hello wörld"`, nil},
		{textPublication(`""`), `"Hello wörld"`, nil},
		{textPublication(`"\n\"\u00e9"`), `"Hello wörld\n\"\u00e9"`, nil},
		{textPublication(`5`), `"Hello wörld\n\"\u00e9"`, ErrText},
		{textPublication(`["x"]`), `"Hello wörld\n\"\u00e9"`, ErrText},
		{textPublication(``), `"Hello wörld\n\"\u00e9"`, ErrText},
		{Publication{Op: Append, Data: []byte(`"x"`)}, `"Hello wörld\n\"\u00e9"`, ErrNoKey},
		{textPublication(`"0123456789012345678"`), `"Hello wörld\n\"\u00e9"`, ErrItemTooLarge},
		{textPublication(`"0123456789012345"`), `"Hello wörld\n\"\u00e90123456789012345"`, nil},
		{textPublication(`"x"`), `"Hello wörld\n\"\u00e90123456789012345"`, ErrItemTooLarge},
		{Publication{Op: Set, Group: "answers", Key: "a7", Data: []byte(`{"text":"x"}`)}, `{"text":"x"}`, nil},
		{textPublication(`"x"`), `{"text":"x"}`, ErrNotText},
		{Publication{Op: Set, Group: "answers", Key: "a7"}, `null`, nil},
		{textPublication(`"x"`), `null`, ErrNotText},
		{Publication{Op: Delete, Group: "answers", Key: "a7"}, ``, nil},
		{textPublication(`""`), `""`, nil},
		{Publication{Op: Set, Group: "answers", Key: "a7", Data: []byte(`"set"`)}, `"set"`, nil},
		{textPublication(`"tled"`), `"settled"`, nil},
	} {
		if _, err := b.Publish("c", &step.p); !errors.Is(err, step.err) {
			t.Fatalf("step %d: %v, want %v", i, err, step.err)
		}
		if got := itemOf(t, b, "c"); got != step.want {
			t.Fatalf("step %d: %s, want %s", i, got, step.want)
		}
		if want := `{"answers":{"a7":` + step.want + `}}`; step.want != "" {
			if r, _ := b.Read("c", nil); string(r.State) != want {
				t.Fatalf("step %d: %s, want %s", i, r.State, want)
			}
		}
	}
}

// An offset counts code points, whichever way they are written. A half of a surrogate pair counts as one, and so does the pair that it becomes.
func TestAppendAtAnOffset(t *testing.T) {
	b := open(t, Config{})
	at := func(data string, offset uint64) Publication {
		p := textPublication(data)
		p.HasOffset, p.Offset = true, offset
		return p
	}
	for i, step := range []struct {
		p    Publication
		want uint64 // of the OffsetError
		err  error
	}{
		{p: at(`"aé"`, 1), want: 0, err: &OffsetError{}},
		{p: at(`"aé"`, 0)},
		{p: at(`"aé"`, 0), want: 2, err: &OffsetError{}},
		{p: at(`"\u00e9\n\/"`, 2)},
		{p: at(`"😀\ud83d\ude00"`, 5)},
		{p: at(`"x"`, 9), want: 7, err: &OffsetError{}},
		{p: at(`"x\ud83d"`, 7)},
		{p: at(`"\ude00"`, 9), err: ErrHalf},
		{p: textPublication(`"\ude00"`)},
		{p: at(`"y"`, 10), want: 9, err: &OffsetError{}},
		{p: at(`"y"`, 9)},
		{p: at(`"\ud83d\ud83d\\ud83d"`, 10)},
		{p: textPublication(`"\ude00"`)}, // what is before is a backslash and five letters
		{p: at(`"z"`, 19)},
	} {
		_, err := b.Publish("c", &step.p)
		var wrong *OffsetError
		switch {
		case errors.As(step.err, &wrong):
			if !errors.As(err, &wrong) || wrong.Want != step.want {
				t.Fatalf("step %d: %v, want that %d is right", i, err, step.want)
			}
		case !errors.Is(err, step.err):
			t.Fatalf("step %d: %v, want %v", i, err, step.err)
		}
	}
	want := `"aé\u00e9\n\/😀\ud83d\ude00x\ud83d\ude00y\ud83d\ud83d\\ud83d\ude00z"`
	if got := itemOf(t, b, "c"); got != want {
		t.Fatalf("%s, want %s", got, want)
	}
}

// A reader that decodes each change by itself never has half a character for good.
func TestSurrogatesCutBetweenAppends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _ := New(Config{Subscriber: newRecorder})
		defer b.Close()
		var seen reader
		c, err := b.Join("c", JoinRequest{}, func(s Subscriber, _ Reply) { s.(*recorder).add(&seen) })
		if err != nil {
			t.Fatal(err)
		}
		defer c.Leave()
		first := textPublication(`"a\ud83d"`)
		first.TTL = 10 * time.Second
		publish(t, b, "c", first)
		time.Sleep(4 * time.Second)
		publish(t, b, "c", textPublication(`"\ude00b"`))
		publish(t, b, "c", textPublication(`"c"`))
		text := ""
		for _, encoded := range seen.heard() {
			change := decode[wire](t, encoded)
			var data string
			if err := json.Unmarshal(change.Data, &data); err != nil {
				t.Fatal(err)
			}
			if change.Op == "set" {
				text = ""
			}
			text += data
		}
		if text != "a😀bc" {
			t.Errorf("a reader has %q", text)
		}
		time.Sleep(7 * time.Second)
		if got := itemOf(t, b, "c"); got != "" {
			t.Errorf("the item outlives its time: %s", got)
		}
	})
}

func TestAppendAndTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _ := New(Config{})
		defer b.Close()
		p := textPublication(`"a"`)
		p.TTL = 3 * time.Second
		publish(t, b, "c", p)
		time.Sleep(2 * time.Second)
		publish(t, b, "c", textPublication(`"b"`)) // as before
		time.Sleep(2 * time.Second)
		if got := itemOf(t, b, "c"); got != "" {
			t.Errorf("an append without a time to live has taken it away: %s", got)
		}
		publish(t, b, "c", p)
		time.Sleep(2 * time.Second)
		publish(t, b, "c", p) // begins anew
		time.Sleep(2 * time.Second)
		if got := itemOf(t, b, "c"); got != `"aa"` {
			t.Errorf("an append has not renewed the time to live: %s", got)
		}
	})
}

func TestAppendOnce(t *testing.T) {
	b := open(t, Config{})
	p := textPublication(`"a"`)
	p.IdempotencyKey, p.HasOffset = "k", true
	first := publish(t, b, "c", p)
	publish(t, b, "c", textPublication(`"b"`))
	if again := publish(t, b, "c", p); again != first || itemOf(t, b, "c") != `"ab"` {
		t.Errorf("again %v after %v: %s", again, first, itemOf(t, b, "c"))
	}
}

// Bounds of a channel hold for what appends grow.
func TestAppendWithinTheState(t *testing.T) {
	b := open(t, Config{Policy: always(Policy{Items: 1, StateBytes: 30})})
	publish(t, b, "c", textPublication(`"0123456789"`)) // and 9 for the names
	for _, x := range []struct {
		key, data string
		err       error
	}{{"other", `"x"`, ErrTooManyItems}, {"a7", `"0123456789"`, ErrStateTooLarge}, {"a7", `"012345678"`, nil}} {
		p := textPublication(x.data)
		p.Key = x.key
		if _, err := b.Publish("c", &p); !errors.Is(err, x.err) {
			t.Errorf("%s %s: %v, want %v", x.key, x.data, err, x.err)
		}
	}
	before := b.Stats()
	b.Clear("c")
	if after := b.Stats(); before.Bytes == 0 || after.Bytes != 0 || after.Items != 0 {
		t.Errorf("%+v, after it was cleared %+v", before, after)
	}
}

// What was read of a text stays as it is while the text grows.
func TestWhatWasReadOfATextStays(t *testing.T) {
	b := open(t, Config{Subscriber: newRecorder})
	var seen reader
	c, err := b.Join("c", JoinRequest{}, func(s Subscriber, _ Reply) { s.(*recorder).add(&seen) })
	if err != nil {
		t.Fatal(err)
	}
	defer c.Leave()
	var texts []string
	text := ""
	for range 300 {
		publish(t, b, "c", textPublication(`"abc"`))
		text += "abc"
		texts = append(texts, text)
	}
	for i, got := range seen.texts {
		if string(got) != `"`+texts[i] {
			t.Fatalf("after %d appends %s", i+1, got)
		}
	}
}

// An append to a long text costs what it appends, and a larger buffer now and then.
func TestAppendCostsAnIncrement(t *testing.T) {
	b := open(t, Config{})
	publish(t, b, "c", textPublication(`"`+strings.Repeat("x", 1<<20)+`"`))
	p := textPublication(`"abcde"`)
	publish(t, b, "c", p)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 10_000 {
		publish(t, b, "c", p)
	}
	runtime.ReadMemStats(&after)
	if n := (after.TotalAlloc - before.TotalAlloc) / 10_000; n > 1000 {
		t.Errorf("%d bytes allocated an append", n)
	}
}
