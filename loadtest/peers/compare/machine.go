package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
)

// machine is what this was measured on, a name and a value each.
func machine(p places) [][2]string {
	rows := [][2]string{
		{"processor", fmt.Sprintf("%s, %d cores", firstMatch("/proc/cpuinfo", `(?m)^model name\s*: (.*)$`), runtime.NumCPU())},
		{"memory", memorySize()},
		{"kernel", strings.TrimSpace(readFile("/proc/sys/kernel/osrelease"))},
		{"system", firstMatch("/etc/os-release", `(?m)^PRETTY_NAME="(.*)"$`)},
	}
	if load := strings.Fields(readFile("/proc/loadavg")); len(load) > 0 {
		rows = append(rows, [2]string{"load before the first run", load[0]})
	}
	// the last line that each says, on whichever of its outputs
	for _, v := range [][]string{
		{"Go", "go", "version"},
		{"one small write", p.bin + "/weir", "bench", "unit"},
		{"weir", p.bin + "/weir", "version"},
		{"nginx", "/usr/sbin/nginx", "-v"},
		{"nchan", "dpkg-query", "-W", "-f", "${Version}", "libnginx-mod-nchan"},
		{"Node.js", "node", "--version"},
	} {
		out, err := exec.Command(v[1], v[2:]...).CombinedOutput()
		if err == nil {
			lines := strings.Split(strings.TrimSpace(string(out)), "\n")
			rows = append(rows, [2]string{v[0], strings.TrimPrefix(lines[len(lines)-1], "nginx version: ")})
		}
	}
	for _, m := range [][2]string{{"centrifuge", "github.com/centrifugal/centrifuge"}, {"gws", "github.com/lxzan/gws"}} {
		rows = append(rows, [2]string{m[0], firstMatch(p.root+"/loadtest/peers/"+m[0]+"/go.mod", regexp.QuoteMeta(m[1])+` (v\S+)`)})
	}
	var pkg struct {
		Dependencies map[string]string `json:"dependencies"`
	}
	if json.Unmarshal([]byte(readFile(p.root+"/loadtest/peers/ws/package.json")), &pkg) == nil {
		rows = append(rows, [2]string{"ws", pkg.Dependencies["ws"]})
	}
	return rows
}

// readFile is a file's content; empty when there is none.
func readFile(name string) string {
	b, _ := os.ReadFile(name) // what is not known is left out
	return string(b)
}

func firstMatch(file, pattern string) string {
	if m := regexp.MustCompile(pattern).FindStringSubmatch(readFile(file)); m != nil {
		return strings.TrimSpace(m[1])
	}
	return "unknown"
}

func memorySize() string {
	var kb float64
	if _, err := fmt.Sscanf(firstMatch("/proc/meminfo", `(?m)^MemTotal:\s*(\d+)`), "%f", &kb); err != nil {
		return "unknown"
	}
	return fmt.Sprintf("%.1f GiB", kb/1024/1024)
}
