package api

import (
	"slices"
	"strings"

	"weir/relay/problem"

	"github.com/valyala/fasthttp"
)

// nearMiss is the route that somebody may have meant who asked for a path that is none: the same but for its case,
// slashes, a prefix such as /v1 or /api, or two letters. It is "" if there is none like it.
func nearMiss(method, path string, routes []string) string {
	const longest = 256
	if len(path) > longest {
		return ""
	}
	best, least := "", 3*100
	for _, asked := range spellings(path) {
		for _, route := range routes {
			verb, pattern, _ := strings.Cut(route, " ")
			n, filled := distance(asked, strings.Split(strings.Trim(pattern, "/"), "/"))
			n = 100*n + 2*strings.Count(pattern, "{") // of those as near, the one that says most
			if verb != method {
				n++
			}
			if n < least {
				best, least = verb+" "+filled, n
			}
		}
	}
	return best
}

// spellings are the segments of a path, and what they are with and without the usual prefixes.
func spellings(path string) [][]string {
	parts := slices.DeleteFunc(strings.Split(path, "/"), func(s string) bool { return s == "" })
	if len(parts) == 0 {
		return nil
	}
	list := [][]string{parts, append([]string{"v1"}, parts...)}
	for i, p := range parts[:min(2, len(parts))] {
		if p := strings.ToLower(p); p == "api" || len(p) == 2 && p[0] == 'v' {
			list = append(list, parts[i+1:], append([]string{"v1"}, parts[i+1:]...))
		}
	}
	return list
}

// distance is by how many letters the segments of a path differ from those of a route, whose parameters are filled in.
func distance(path, route []string) (n int, filled string) {
	if len(path) != len(route) || len(path) == 0 {
		return 3, ""
	}
	for i, r := range route {
		if strings.HasPrefix(r, "{") {
			filled += "/" + path[i]
			continue
		}
		d := edits(strings.ToLower(path[i]), r)
		if d >= len(r) { // nothing of it is left
			return 3, ""
		}
		n += d
		filled += "/" + r
	}
	return n, filled
}

// edits is how many letters are to be put in, left out or changed to make b of a; 3 if they are more than two.
func edits(a, b string) int {
	if d := len(a) - len(b); d > 2 || d < -2 {
		return 3
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return min(row[len(b)], 3)
}

// adminPaths are what the paths begin with that are asked of the wrong listener.
var adminPaths = []string{"metrics", "healthz", "readyz", "dashboard", "debug", "figures", "followers", "trace", "why", "traffic", "cluster"}

// notFound answers a request for what is not there.
func (s *Server) notFound(ctx *fasthttp.RequestCtx) {
	f := *problem.NotFound
	path := string(ctx.Path())
	if first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/"); slices.Contains(adminPaths, first) {
		f.Detail = path + " is on the admin listener"
	} else if route := nearMiss(string(ctx.Method()), path, s.Routes()); route != "" {
		f.Detail = "did you mean " + route + "?"
	}
	s.gate.Refuse(ctx, &f)
}
