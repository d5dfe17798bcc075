package loader

import (
	"cmp"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"weir/relay/config"
)

var keyInCell = regexp.MustCompile("`([a-z_.\\[\\]]+)`")

// TestReference holds the tables of docs/configuration.md against the tags: each key is there, with its default and its range.
func TestReference(t *testing.T) {
	page, err := os.ReadFile("../../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	type row struct{ byDefault, bounds string }
	rows := make(map[string]row)
	section := ""
	for line := range strings.Lines(string(page)) {
		if title, ok := strings.CutPrefix(line, "## "); ok {
			section = strings.TrimSpace(title)
		}
		cells := strings.Split(line, "|")
		if len(cells) != 6 {
			continue
		}
		last := ""
		for _, m := range keyInCell.FindAllStringSubmatch(cells[1], -1) {
			key := m[1]
			if strings.HasPrefix(key, ".") { // `notify.apns.key_id`, `.team_id`
				key = last[:strings.LastIndexByte(last, '.')] + key
			}
			if last = key; section == "Namespaces" {
				key = "namespaces.NAME." + key
			}
			rows[key] = row{strings.Trim(cells[2], " `"), strings.TrimSpace(cells[3])}
		}
	}
	config.WalkKeys(systems(), func(path string, f config.Field) {
		r, ok := rows[path]
		delete(rows, path)
		if !ok {
			t.Errorf("the page does not name %s", path)
			return
		}
		if want := f.Tag.Get("default"); want != "" && r.byDefault != want {
			t.Errorf("%s: the page says that the default is %q, it is %q", path, r.byDefault, want)
		}
		if want := f.Tag.Get("oneof"); want != "" {
			words := strings.FieldsFunc(r.bounds, func(c rune) bool { return strings.ContainsRune("`, ", c) })
			if !slices.Equal(words, strings.Fields(want)) {
				t.Errorf("%s: the page lists %q, it may be %q", path, words, want)
			}
		}
		least, most, ok := strings.Cut(f.Tag.Get("range"), "..")
		said := strings.NewReplacer("366 days", "8784h", "28 days", "672h", "60s", "1m").Replace(cmp.Or(r.bounds, "from 0"))
		said, _, _ = strings.Cut(said, ",")
		lowest := reflect.New(f.Value.Type()).Elem()
		if lowest.Kind() == reflect.Pointer {
			lowest = reflect.New(lowest.Type().Elem()).Elem()
		}
		if may := []string{least + " to " + most}; ok {
			if most == "100000000" {
				may = append(may, "from "+least)
			}
			if least == config.Format(lowest) || least == "1B" {
				may = append(may, "to "+most)
			}
			if path == "namespaces.NAME.limits.message" { // which the limit of the relay bounds
				may = append(may, "at most that")
			}
			if !slices.Contains(may, said) {
				t.Errorf("%s: the page says %q, the range is %s", path, r.bounds, may)
			}
		}
	})
	for key := range rows {
		t.Errorf("the page names %s, which there is not", key)
	}
}
