package ingress

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"

	"github.com/valyala/fasthttp"
)

// addresses counts connections by client address.
type addresses struct {
	mu   sync.Mutex
	open map[netip.Addr]int // guarded by mu
}

// Take counts one more for an address, or returns false if it has as many as limit allows.
func (a *addresses) Take(addr netip.Addr, limit int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.open == nil {
		a.open = make(map[netip.Addr]int)
	}
	if a.open[addr] >= limit {
		return false
	}
	a.open[addr]++
	return true
}

// Give counts one less.
func (a *addresses) Give(addr netip.Addr) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.open[addr]--; a.open[addr] <= 0 {
		delete(a.open, addr)
	}
}

// Counted is how many addresses have connections that count.
func (g *Gate) Counted() int {
	g.Addresses.mu.Lock()
	defer g.Addresses.mu.Unlock()
	return len(g.Addresses.open)
}

// peerAddress is the address of a peer.
func peerAddress(a net.Addr) netip.Addr {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}

func portOf(a net.Addr) uint16 {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.AddrPort().Port()
	}
	return 0
}

// Peer is the address at the other end of a request's connection.
func Peer(ctx *fasthttp.RequestCtx) netip.Addr {
	if g := ConnOf(ctx.Conn()); g != nil {
		return g.peer.Addr()
	}
	return peerAddress(ctx.RemoteAddr())
}

// AddressKey is the address that limits count: an IPv4 address, or the /64 of an IPv6 address, which is
// what one customer usually has.
func AddressKey(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}

// parseNetworks reads networks and single addresses.
func parseNetworks(list []string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, s := range list {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			a, aerr := netip.ParseAddr(s)
			if aerr != nil {
				return nil, fmt.Errorf("trusted proxy %q is not a network such as 10.0.0.0/8: %w", s, err)
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		out = append(out, p.Masked())
	}
	return out, nil
}

// Trusted reports whether an address is a proxy that is believed about the clients that it forwards.
func (g *Gate) Trusted(a netip.Addr) bool {
	for _, p := range g.proxies {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// hopAddress reads an entry of X-Forwarded-For: an address, which some proxies write with the client's port.
func hopAddress(s string) (netip.Addr, error) {
	s = strings.TrimSpace(s)
	if withPort, err := netip.ParseAddrPort(s); err == nil {
		return withPort.Addr(), nil
	}
	if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		s = s[1 : len(s)-1]
	}
	return netip.ParseAddr(s)
}

// ClientAddress is where a request came from: the peer, or what trusted proxies say, which is the
// right-most address of X-Forwarded-For that is not itself a trusted proxy. What stands left of it the
// client may have written.
func (g *Gate) ClientAddress(ctx *fasthttp.RequestCtx) netip.Addr {
	peer := Peer(ctx)
	if !g.Trusted(peer) {
		return peer
	}
	var hops []string
	for _, line := range ctx.Request.Header.PeekAll("X-Forwarded-For") {
		hops = append(hops, strings.Split(string(line), ",")...)
	}
	for i := len(hops) - 1; i >= 0; i-- {
		a, err := hopAddress(hops[i])
		if err != nil {
			break
		}
		if a = a.Unmap(); !g.Trusted(a) {
			return a
		}
		peer = a
	}
	return peer
}
