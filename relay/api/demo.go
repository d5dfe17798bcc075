package api

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/valyala/fasthttp"

	"weir/internal/wire"
	"weir/relay/auth"
	"weir/relay/jsonbody"
	"weir/relay/problem"
	"weir/relay/web"
)

// handleDemo serves the demos, which there are in development mode only. On loopback everybody may be whom they like there.
func (s *Server) handleDemo(ctx *fasthttp.RequestCtx) {
	name, _ := ctx.UserValue("name").(string)
	switch {
	case name == "token":
		if s.hub.Config.DevLocal() {
			s.handleDemoToken(ctx)
		} else { // strangers reach it: only who has the key may be whom he likes
			s.withKey(s.handleDemoToken)(ctx)
		}
	case name == "":
		Page(ctx, s.demoPage("index"))
	case strings.Contains(name, ".") && web.File("demo/"+name) != nil:
		Asset(ctx, "demo/"+name)
		ctx.Response.Header.Set("Content-Security-Policy", pagePolicy) // a worker has one of its own
	case web.File("demo/"+name+".html") != nil:
		Page(ctx, s.demoPage(name))
	default:
		s.gate.Refuse(ctx, problem.NotFound)
	}
}

// demoPage is a page of the demos. It says of each system that it shows, or lists a demo of, if that is off.
func (s *Server) demoPage(name string) string {
	const notice = `<p hidden data-system="`
	parts := strings.Split(string(web.File("demo/"+name+".html")), notice)
	page := parts[0]
	for _, rest := range parts[1:] {
		if system, _, _ := strings.Cut(rest, `"`); slices.Contains(s.hub.Config.Systems, system) {
			page += notice + rest
		} else {
			page += `<p data-system="` + rest
		}
	}
	return page
}

// handleDemoToken is GET /demo/token?user=ann&name=Ann&ttl=60, with at most an hour in seconds: what a backend that knows its users would answer.
func (s *Server) handleDemoToken(ctx *fasthttp.RequestCtx) {
	args := ctx.QueryArgs()
	user, name := string(args.Peek("user")), string(args.Peek("name"))
	if user == "" || !wire.ValidChannel(wire.UserChannel(user)) {
		s.gate.Fail(ctx, problem.BadField.With("user is missing or too long"))
		return
	}
	channels := map[string][]string{"*": {"*"}}
	for _, system := range s.hub.Config.Known {
		for _, namespace := range system.Personal {
			channels[namespace+wire.UserChannel(user)[len(wire.UserNamespace):]] = []string{"subscribe", "history"} // ":ann"
		}
	}
	life := time.Hour
	if seconds := args.GetUintOrZero("ttl"); seconds > 0 {
		life = min(life, time.Duration(seconds)*time.Second)
	}
	secret, _ := s.hub.Config.DevKeys()
	token, err := auth.Mint(secret, "", auth.Claims{
		Sub: user, Name: name, Roles: []string{auth.RoleAdmin}, TTL: life,
		Channels: channels,
	})
	if err == nil {
		err = jsonbody.Write(ctx, http.StatusOK, map[string]string{"token": token})
	}
	if err != nil {
		s.gate.Fail(ctx, problem.BadField.With("user, name or channels are not valid in a token"))
		return
	}
	ctx.Response.Header.Set("Cache-Control", "no-store")
}

// maxFault is how long a fault that the demos ask for can last, in ms.
const maxFault = 60_000

// handleDemoHold is POST /demo/hold?connection=ID&ms=5000: nothing is written to a connection for a while, as if its client read nothing.
func (s *Server) handleDemoHold(ctx *fasthttp.RequestCtx) {
	ms := ctx.QueryArgs().GetUintOrZero("ms")
	one := s.sessions.Session(string(ctx.QueryArgs().Peek("connection")))
	switch {
	case one == nil:
		s.gate.Fail(ctx, problem.NotFound.With("there is no such connection"))
	case ms < 1 || ms > maxFault:
		s.gate.Fail(ctx, problem.BadField.With("ms must be 1 to 60000"))
	default:
		one.Conn().Cork()
		s.hub.Contain.After(time.Duration(ms)*time.Millisecond, "hold of a connection", one.Conn().Uncork, one.Conn().Abort)
		jsonbody.Answer(ctx, []byte("{}"))
	}
}

// handleDemoDisk is POST /demo/disk?full=5000: the disk of durable channels is full for so many ms.
func (s *Server) handleDemoDisk(ctx *fasthttp.RequestCtx) {
	ms := ctx.QueryArgs().GetUintOrZero("full")
	switch {
	case s.hub.DevDisk == nil:
		s.gate.Fail(ctx, problem.NotFound.With("this relay keeps nothing on disk: start it with --data DIR"))
	case ms < 1 || ms > maxFault:
		s.gate.Fail(ctx, problem.BadField.With("full must be 1 to 60000, in ms"))
	default:
		s.hub.DevDisk.Fill(time.Duration(ms) * time.Millisecond)
		jsonbody.Answer(ctx, []byte("{}"))
	}
}

// guestToken is a token of a user who does not exist, for the page of development mode.
func (s *Server) guestToken() string {
	id := "guest-" + ulid.Make().String()[20:]
	secret, _ := s.hub.Config.DevKeys()
	token, err := auth.Mint(secret, "", auth.Claims{Sub: id, Name: "Guest " + id[6:], TTL: 24 * time.Hour})
	if err != nil {
		return ""
	}
	return token
}
