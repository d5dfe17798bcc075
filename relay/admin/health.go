package admin

import (
	"github.com/valyala/fasthttp"
)

// handleReady is GET /readyz: whether a load balancer should send clients here. With ?durable it is also asked whether
// durable channels can be filled.
func (s *Server) handleReady(ctx *fasthttp.RequestCtx) {
	if why := s.notReady(); why != "" {
		text(ctx, fasthttp.StatusServiceUnavailable, why+"\n")
		return
	}
	trouble := s.diskTrouble()
	if trouble != "" && ctx.QueryArgs().Has("durable") {
		text(ctx, fasthttp.StatusServiceUnavailable, trouble)
		return
	}
	text(ctx, fasthttp.StatusOK, "ready\n"+trouble)
}

// notReady returns why a load balancer should send nobody here; "" if it should.
func (s *Server) notReady() string {
	switch {
	case s.sessions.Draining():
		return "draining"
	case s.gate.Trouble() != "":
		return s.gate.Trouble()
	case s.hub.Memory.Short():
		return "out of memory"
	case s.hub.Full():
		return "overloaded"
	case s.hub.Cluster != nil:
		return s.hub.Cluster.Trouble()
	}
	return ""
}

// diskTrouble returns what is wrong with the disk. The relay is ready all the same: live traffic goes on. Who asks for
// /readyz?durable wants to know whether durable channels can be filled, too.
func (s *Server) diskTrouble() string {
	switch d, _ := s.hub.StoreStats(); {
	case d.Failing != nil:
		what := "the disk fails, durable publications are refused: "
		if s.hub.Cluster != nil {
			what = "durable publications are refused: "
		}
		return what + d.Failing.Error() + "\n"
	case d.Broken != nil:
		return "the database cannot be written, durable publications will be refused: " + d.Broken.Error() + "\n"
	}
	return ""
}
