package auth

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

const (
	oldKey   = "weir-old-key-0123456789"
	freshKey = "weir-new-key-0123456789"
)

func TestLookup(t *testing.T) {
	k := must(NewKeys(APIConfig{Keys: []APIKey{
		{Name: "shop", Secret: oldKey},
		{Name: "shop", Secret: freshKey}, // while the first is being replaced
		{Name: "billing", File: writeFile(t, "billing-key-in-a-file-1\n")},
		{Name: "long", Secret: strings.Repeat("k", maxAPIKey)},
	}}))
	for _, tt := range []struct{ key, name string }{
		{oldKey, "shop"},
		{freshKey, "shop"},
		{"billing-key-in-a-file-1", "billing"},
		{strings.Repeat("k", maxAPIKey), "long"},
		{"", ""},
		{"billing-key-in-a-file-1\n", ""},
		{oldKey[:len(oldKey)-1], ""},
		{oldKey + "x", ""},
		{oldKey + "\x00", ""},
		{strings.ToUpper(oldKey), ""},
		{"x" + oldKey[1:], ""},
		{strings.Repeat("k", maxAPIKey-1), ""},
		{strings.Repeat("k", maxAPIKey+1), ""},
		{strings.Repeat("k", 1<<20), ""},
		{"shop", ""},
	} {
		name, ok := k.lookup([]byte(tt.key))
		if name != tt.name || ok != (tt.name != "") {
			t.Errorf("Lookup(%.30q) = %q, %v; want %q", tt.key, name, ok, tt.name)
		}
	}
	key, wrong := []byte(freshKey), []byte(freshKey+"x")
	if allocs := testing.AllocsPerRun(100, func() { k.lookup(key); k.lookup(wrong) }); allocs != 0 {
		t.Errorf("Lookup allocates %v times", allocs)
	}
}

func TestKeysReload(t *testing.T) {
	k := must(NewKeys(APIConfig{Keys: []APIKey{{Name: "a", Secret: oldKey}}}))
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for range 1000 {
				if _, ok := k.lookup([]byte(oldKey)); !ok {
					t.Error("a key that is in both lists is refused")
					return
				}
			}
		})
	}
	for range 100 {
		if err := k.Reload(APIConfig{Keys: []APIKey{{Name: "b", Secret: freshKey}, {Name: "a", Secret: oldKey}}}); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	if err := k.Reload(APIConfig{Keys: []APIKey{{Name: "b", Secret: "short"}}}); err == nil {
		t.Error("a short key is accepted")
	}
	if name, _ := k.lookup([]byte(oldKey)); name != "a" {
		t.Error("a reload that failed changed the list")
	}
	if err := k.Reload(APIConfig{}); err != nil {
		t.Fatal(err)
	}
	if _, ok := k.lookup([]byte(oldKey)); ok {
		t.Error("a key that was taken off the list is accepted")
	}
}

func TestAPIKeysThatAreRefused(t *testing.T) {
	many := APIConfig{}
	for i := range maxAPIKeys + 1 {
		many.Keys = append(many.Keys, APIKey{Name: "a", Secret: fmt.Sprintf("hunter2-hunter2-%04d", i)})
	}
	for name, cfg := range map[string]APIConfig{
		"no name":        {Keys: []APIKey{{Secret: "hunter2-hunter2-hunter2"}}},
		"long name":      {Keys: []APIKey{{Name: strings.Repeat("n", 65), Secret: "hunter2-hunter2-hunter2"}}},
		"name with CR":   {Keys: []APIKey{{Name: "a\rb", Secret: "hunter2-hunter2-hunter2"}}},
		"name with :":    {Keys: []APIKey{{Name: "a:b", Secret: "hunter2-hunter2-hunter2"}}},
		"nothing":        {Keys: []APIKey{{Name: "a"}}},
		"both":           {Keys: []APIKey{{Name: "a", Secret: "hunter2-hunter2-hunter2", File: "x"}}},
		"short":          {Keys: []APIKey{{Name: "a", Secret: "hunter2-hunter"}}},
		"long":           {Keys: []APIKey{{Name: "a", Secret: strings.Repeat("hunter2", 40)}}},
		"spaces":         {Keys: []APIKey{{Name: "a", Secret: "hunter2 hunter2 hunter2"}}},
		"line break":     {Keys: []APIKey{{Name: "a", Secret: "hunter2-hunter2-hunter2\n"}}},
		"not ASCII":      {Keys: []APIKey{{Name: "a", Secret: "hunter2-hunter2-hünter2"}}},
		"one key twice":  {Keys: []APIKey{{Name: "a", Secret: "hunter2-hunter2-hunter2"}, {Name: "b", Secret: "hunter2-hunter2-hunter2"}}},
		"missing file":   {Keys: []APIKey{{Name: "a", File: "/nonexistent/key"}}},
		"empty file":     {Keys: []APIKey{{Name: "a", File: writeFile(t, "\n")}}},
		"empty file dev": {Dev: true, Keys: []APIKey{{Name: "a", File: writeFile(t, "\n")}}},
		"too many":       many,
	} {
		if _, err := NewKeys(cfg); err == nil {
			t.Errorf("%s: accepted", name)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error shows the key: %v", name, err)
		}
	}
	k, err := NewKeys(APIConfig{Dev: true, Keys: []APIKey{{Name: "dev", Secret: "dev"}}})
	if err != nil {
		t.Fatal(err)
	}
	if name, ok := k.lookup([]byte("dev")); name != "dev" || !ok {
		t.Error("the key of development mode is refused")
	}
}
