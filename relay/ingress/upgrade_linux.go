package ingress

import (
	"bufio"
	"bytes"
	"slices"

	"github.com/valyala/fasthttp"

	"weir/internal/rawsock"
	"weir/relay/httpcheck"
)

// upgrader serves WebSocket handshakes at an event loop: with the parser and the handler of the HTTP server, so that there is one
// judgement of a request, and without a goroutine and buffers for each. It belongs to the loop.
type upgrader struct {
	in     *bufio.Reader // of source; set once
	source bytes.Reader
	ctx    fasthttp.RequestCtx
	conn   loopConn
	answer bytes.Buffer
}

// upgradeStart begins what is served: the address ends there, or a query begins.
const upgradeStart = "GET /ws"

// upgradeHead is the head of a handshake that b begins with. What the HTTP server would answer before the head is whole is not
// eligible.
func upgradeHead(b []byte) ([]byte, form) {
	n := min(len(b), len(upgradeStart))
	switch {
	case string(b[:n]) != upgradeStart[:n]:
		return nil, notEligible
	case len(b) > n && b[n] != ' ' && b[n] != '?':
		return nil, notEligible
	}
	for at := 0; ; {
		end := bytes.IndexByte(b[at:], '\n')
		switch {
		case end < 0 && len(b) < httpcheck.MaxHeaderBytes:
			return nil, incomplete
		case end < 1 || b[at+end-1] != '\r' || at+end >= httpcheck.MaxHeaderBytes:
			return nil, notEligible
		case end == 1:
			return b[:at+2], complete
		}
		at += end + 1
	}
}

// upgrade serves the handshake that b begins with, and what comes behind it: complete. Otherwise nothing was done.
func (k *eventLoop) upgrade(g *Conn, b []byte) form {
	if k.gate.Handler == nil {
		return notEligible
	}
	head, how := upgradeHead(b)
	if how != complete {
		return how
	}
	u := &k.upgrader
	defer u.reset()
	u.source.Reset(head)
	u.in.Reset(&u.source)
	u.conn.Conn = g
	u.ctx.Init2(&u.conn, nil, false)
	h := &u.ctx.Request.Header
	if h.Read(u.in) != nil || !h.IsHTTP11() || h.ConnectionClose() || len(h.Peek("Content-Length"))+len(h.Peek("Transfer-Encoding"))+len(h.Peek("Expect")) > 0 {
		return notEligible
	}
	k.gate.Handler(&u.ctx)
	rest := b[len(head):]
	switch {
	case u.conn.elsewhere:
		return notEligible
	case u.conn.opener != nil:
		k.takeOver(g, rest)
	case u.refuse(g) && !u.ctx.Response.ConnectionClose():
		k.serve(g, rest)
	default:
		k.leave(g)
	}
	return complete
}

// reset forgets the request.
func (u *upgrader) reset() {
	u.source.Reset(nil)
	u.conn = loopConn{}
	u.ctx.Request.Reset()
	u.ctx.Response.Reset()
	u.ctx.ResetUserValues()
	u.ctx.Init2(nil, nil, false)
}

// refuse sends the handler's answer, whole. It returns false if that was not possible.
func (u *upgrader) refuse(g *Conn) bool {
	u.ctx.Response.Header.SetServer("weir")
	u.answer.Reset()
	if _, err := u.ctx.Response.WriteTo(&u.answer); err != nil {
		return false
	}
	n, err := rawsock.Send(g.state.fd, u.answer.Bytes()) // few are owed one: there is room for it
	return err == nil && n == u.answer.Len()
}

// takeOver gives a connection to who has asked for it, with what has been read behind its request.
func (k *eventLoop) takeOver(g *Conn, rest []byte) {
	opener := k.upgrader.conn.opener
	k.pauseReads(g)
	g.listener.reaper.remove(g)
	k.forget(g)
	g.state = nil
	defer k.gate.hub.Contain.End("upgrade", func() { _ = g.Close() })
	opener.Open(g, slices.Clone(rest))
}
