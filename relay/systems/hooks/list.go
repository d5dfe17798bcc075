package hooks

import (
	"net/http"

	"github.com/valyala/fasthttp"

	"weir/relay/jsonbody"
)

// status is how a hook fares, as operators see it.
type status struct {
	Hook       string            `json:"hook"`
	Breaker    string            `json:"breaker"`    // closed or open; of several nodes open, if one's is
	Questions  map[string]uint64 `json:"questions"`  // by outcome
	Remembered uint64            `json:"remembered"` // questions that were not asked
	Stale      uint64            `json:"stale"`
	Answers    int               `json:"answers"` // that are remembered now
}

// statusOfAll is GET /v1/hooks.
type statusOfAll struct {
	Hooks    []status `json:"hooks"`
	UnderWay int      `json:"underWay"`
	Parallel int      `json:"parallel"` // of all nodes together
	Resumed  uint64   `json:"resumed"`
	Nodes    int      `json:"nodes,omitempty"`  // that this is of; 0: there is no cluster
	Silent   []string `json:"silent,omitempty"` // nodes that have not said
}

// add adds what another node says. Both are asked the same questions.
func (all *statusOfAll) add(other *statusOfAll) {
	all.UnderWay, all.Parallel, all.Resumed = all.UnderWay+other.UnderWay, all.Parallel+other.Parallel, all.Resumed+other.Resumed
	for i := range all.Hooks {
		a := &all.Hooks[i]
		for _, b := range other.Hooks {
			if b.Hook != a.Hook {
				continue
			}
			if b.Breaker == "open" {
				a.Breaker = b.Breaker
			}
			a.Remembered, a.Stale, a.Answers = a.Remembered+b.Remembered, a.Stale+b.Stale, a.Answers+b.Answers
			for outcome, count := range b.Questions {
				a.Questions[outcome] += count
			}
		}
	}
}

// handleList is GET /v1/hooks.
func (s *System) handleList(ctx *fasthttp.RequestCtx) error {
	all := s.status()
	if s.nodes != nil {
		all = s.nodes.statuses(all)
	}
	return jsonbody.Write(ctx, http.StatusOK, all)
}

// status is how the hooks of this node fare.
func (s *System) status() statusOfAll {
	all := statusOfAll{Hooks: make([]status, 0, len(questions)), UnderWay: len(s.slots), Parallel: cap(s.slots), Resumed: s.counts.resumed.Get()}
	for _, question := range questions {
		h := s.hooks[question]
		if h == nil {
			continue
		}
		x := status{Hook: question, Breaker: "closed", Questions: make(map[string]uint64), Remembered: h.counts.remembered.Get(), Stale: h.counts.stale.Get()}
		if h.breaker.Broken() {
			x.Breaker = "open"
		}
		for outcome, count := range h.counts.outcomes {
			x.Questions[outcome] = count.Get()
		}
		switch question {
		case askConnect:
			x.Answers = s.clients.Len()
		case askSubscribe:
			x.Answers = s.decisions.Len()
		}
		all.Hooks = append(all.Hooks, x)
	}
	return all
}
