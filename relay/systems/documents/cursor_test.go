package documents

import (
	"errors"
	"fmt"
	"regexp"
	"testing"
	"time"

	"weir/relay/config"
	"weir/relay/systems/documents/content"
	"weir/relay/systems/documents/text"
)

// onlooker is an broadcaster that writes down what it is told of cursors.
type onlooker struct {
	followers
	seen []string
}

func (*onlooker) applied(*content.Entry, *editor) error { return nil }
func (*onlooker) full() bool                            { return false }
func (o *onlooker) moved(c *cursor, version uint64, gone bool) {
	line := fmt.Sprintf("%s %d@%d", c.editor.connection, c.position, version)
	if c.selection != nil {
		line += fmt.Sprint(*c.selection)
	}
	if gone {
		line += " gone"
	}
	o.seen = append(o.seen, line)
}

func (o *onlooker) take() []string {
	seen := o.seen
	o.seen = nil
	return seen
}

func TestCursors(t *testing.T) {
	now := time.Unix(1e9, 0)
	s := openDocuments(t, func() time.Time { return now }, func(c *config.Config) { config.Of[Config](c).Cursors = 2 })
	d, err := s.get("d1")
	if err != nil {
		t.Fatal(err)
	}
	o := new(onlooker)
	d.broadcasters = []broadcaster{o}
	locked := func(f func() error) error {
		d.mu.Lock()
		defer d.mu.Unlock()
		if err := d.load(content.Text); err != nil {
			t.Fatal(err)
		}
		return f()
	}
	change := func(by *editor, base uint64, op string) {
		t.Helper()
		parsed, err := text.Parse([]byte(op))
		if err != nil {
			t.Fatal(err)
		}
		if err := locked(func() error {
			_, _, err := d.edit(&edit{base: base, op: parsed, by: by}, nil)
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	want := func(lines ...string) {
		t.Helper()
		if got := o.take(); fmt.Sprint(got) != fmt.Sprint(lines) {
			t.Fatalf("%v, want %v", got, lines)
		}
	}
	at := func(ed *editor) string {
		for _, c := range d.cursors {
			if c.editor == ed {
				return fmt.Sprint(c.position, c.selection)
			}
		}
		return "none"
	}
	// Two tabs of one user, and another user.
	a, b, c := &editor{connection: "a", user: "u1"}, &editor{connection: "b", user: "u1"}, &editor{connection: "c", user: "u2"}
	for _, ed := range []*editor{a, b, c} {
		_ = locked(func() error { d.addEditor(ed); return nil })
	}
	change(nil, 0, `["hello world"]`)
	put := func(ed *editor, version uint64, position int, selection *text.Selection) error {
		return locked(func() error { return d.setCursor(ed, version, position, selection) })
	}
	if err := errors.Join(put(a, 1, 3, nil), put(b, 1, 6, &text.Selection{Start: 6, End: 11})); err != nil {
		t.Fatal(err)
	}
	want("a 3@1", "b 6@1{6 11}")
	if err := put(c, 1, 0, nil); !errors.Is(err, errCursors) {
		t.Fatal(err)
	}
	// The author's stands behind its edit; those of others move; nobody is told.
	change(a, 1, `[3,"lll"]`)
	want()
	if at(a) != "6 <nil>" || at(b) != "9 &{9 14}" {
		t.Fatal(at(a), at(b))
	}
	// One that was seen at an earlier version is moved over what came since.
	if err := put(a, 1, 11, &text.Selection{Start: 4, End: 11}); err != nil {
		t.Fatal(err)
	}
	want("a 14@2{7 14}")
	change(nil, 2, `[2,{"d":12}]`)
	if at(a) != "2 &{2 2}" || at(b) != "2 &{2 2}" {
		t.Fatal(at(a), at(b))
	}
	for _, position := range []int{-1, 3} {
		if err := put(a, 3, position, nil); err == nil {
			t.Fatal("a cursor outside of the text")
		}
	}
	if err := put(a, 4, 0, nil); !errors.Is(err, errAhead) {
		t.Fatal(err)
	}
	// A cursor that is not renewed goes after 30 s, and one whose editor goes at once.
	now = now.Add(cursorLife - time.Second)
	s.sweep()
	want()
	if err := put(b, 3, 1, nil); err != nil {
		t.Fatal(err)
	}
	want("b 1@3")
	now = now.Add(time.Second)
	s.sweep()
	want("a 2@3{2 2} gone")
	if err := put(c, 3, 0, nil); err != nil { // there is room again
		t.Fatal(err)
	}
	want("c 0@3")
	d.removeEditor(c)
	want("c 0@3 gone")
	d.removeEditor(a)
	want()
	if len(d.cursors) != 1 || len(d.editors) != 1 {
		t.Fatal(d.cursors, d.editors)
	}
}

// The colour of a user is always the same, and dark enough for a label on white: a contrast of 3 or more.
func TestColors(t *testing.T) {
	pattern := regexp.MustCompile(`^#[0-9a-f]{6}$`)
	different := make(map[string]bool)
	for i := range 1000 {
		c := content.Color(fmt.Sprint("user", i))
		if !pattern.MatchString(c) || c != content.Color(fmt.Sprint("user", i)) {
			t.Fatal(c)
		}
		different[c] = true
	}
	if len(different) < 200 {
		t.Fatal(len(different), "colours")
	}
}
