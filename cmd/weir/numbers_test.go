package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestNumbersOfThePages holds numbers that pages name against the constants behind them.
func TestNumbersOfThePages(t *testing.T) {
	var source strings.Builder
	for _, dir := range []string{"../../relay", "../../broker", "../../pool", "../../batch", "."} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Name() == "node_modules" {
				return filepath.SkipDir
			}
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			b, err := os.ReadFile(path)
			source.Write(b)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct{ page, says, constant, is string }{
		{"ARCHITECTURE.md", "not ended after 5 more seconds are aborted, and waited for at most another 5", "drainPatience", "5 * time.Second"},
		{"ARCHITECTURE.md", "not happened 2 minutes after the signal", "shutdownLimit", "2 * time.Minute"},
		{"ARCHITECTURE.md", "carried out for two seconds more", "asideGrace", "2 * time.Second"},
		{"ARCHITECTURE.md", "memory 30 s after its last use", "idleTime", "30 * time.Second"},
		{"ARCHITECTURE.md", "at most 512 KiB", "defaultResumeBytes", "512 << 10"},
		{"ARCHITECTURE.md", "64 KiB or 512 messages", "earlyBytes", "64 << 10"},
		{"ARCHITECTURE.md", "64 KiB or 512 messages", "earlyMessages", "512"},
		{"protocol.md", "for 5 seconds after the last one broke", "presenceGrace", "5 * time.Second"},
	} {
		b, err := os.ReadFile(filepath.Join("../../docs", tt.page))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(strings.Join(strings.Fields(string(b)), " "), tt.says) {
			t.Errorf("%s does not say %q", tt.page, tt.says)
		}
		if !regexp.MustCompile(`\b` + tt.constant + `\s+= ` + regexp.QuoteMeta(tt.is) + `\b`).MatchString(source.String()) {
			t.Errorf("%s says %q, and %s is not %s", tt.page, tt.says, tt.constant, tt.is)
		}
	}
}
