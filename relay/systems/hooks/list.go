package hooks

import (
	"net/http"

	"github.com/valyala/fasthttp"

	"weir/relay/jsonbody"
)

// status is how a hook fares, as operators see it.
type status struct {
	Hook       string            `json:"hook"`
	Breaker    string            `json:"breaker"`    // closed or open
	Questions  map[string]uint64 `json:"questions"`  // by outcome
	Remembered uint64            `json:"remembered"` // questions that were not asked
	Stale      uint64            `json:"stale"`
	Answers    int               `json:"answers"` // that are remembered now
}

// handleList is GET /v1/hooks.
func (s *System) handleList(ctx *fasthttp.RequestCtx) error {
	list := make([]status, 0, len(questions))
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
			x.Answers = s.clients.size()
		case askSubscribe:
			x.Answers = s.decisions.size()
		}
		list = append(list, x)
	}
	return jsonbody.Write(ctx, http.StatusOK, map[string]any{"hooks": list, "underWay": len(s.slots), "parallel": cap(s.slots), "resumed": s.counts.resumed.Get()})
}
