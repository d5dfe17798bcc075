package ingress

import (
	"net"

	"github.com/valyala/fasthttp"
)

// loopConn is a connection while a request of it is served at an event loop, by the handler of the HTTP server. Nothing may wait
// there.
type loopConn struct {
	*Conn
	opener    Opener // set by TakeOver
	elsewhere bool   // set by Elsewhere
}

// Opener opens what the connection of a request becomes.
type Opener interface {
	// Open is given the connection, and what has been received beyond the request.
	Open(nc net.Conn, rest []byte)
}

// NetConn is the connection behind it.
func (l *loopConn) NetConn() net.Conn { return l.Conn }

// atLoop is the connection of a request that is served at an event loop, or nil.
func atLoop(ctx *fasthttp.RequestCtx) *loopConn {
	l, _ := ctx.Conn().(*loopConn)
	return l
}

// AtLoop reports whether a request is served at an event loop: nothing may wait.
func AtLoop(ctx *fasthttp.RequestCtx) bool { return atLoop(ctx) != nil }

// Elsewhere has the HTTP server serve a request from its beginning, since something would have to wait. It returns false if it
// does so already. The handler returns then, and has done nothing yet.
func Elsewhere(ctx *fasthttp.RequestCtx) bool {
	l := atLoop(ctx)
	if l != nil {
		l.elsewhere = true
	}
	return l != nil
}

// TakeOver takes the connection of a request over that is served at an event loop: o opens it when the handler has returned. It
// returns false for one that the HTTP server serves.
func TakeOver(ctx *fasthttp.RequestCtx, o Opener) bool {
	l := atLoop(ctx)
	if l != nil {
		l.opener = o
	}
	return l != nil
}

// Gone reports whether a request gets no answer of its handler: its connection was taken over, or is served elsewhere.
func Gone(ctx *fasthttp.RequestCtx) bool {
	l := atLoop(ctx)
	return l != nil && (l.elsewhere || l.opener != nil)
}
