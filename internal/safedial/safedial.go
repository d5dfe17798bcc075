// Package safedial makes outgoing connections to addresses that others chose: webhooks, key sets,
// push endpoints. It exists so that such an address cannot be used to reach what only this machine
// can reach (server-side request forgery).
//
// The check is made on the IP address that is about to be dialled, after DNS, by control: a name
// that resolves to a public address when it is looked at and to a private one when it is used gains
// nothing. Only globally routable unicast addresses pass; loopback, private, shared (CGNAT),
// link-local, multicast, unspecified, documentation and benchmark networks, IPv4 inside IPv6, 6to4,
// Teredo and every zone are refused with [ErrAddress]. [Client] adds what an HTTP request needs
// besides: https only ([ErrScheme]), no redirects ([ErrRedirect]), no proxy from the environment, and
// a time limit for the whole exchange. The size of an answer is for the caller to bound.
//
// The package has no state and no goroutines of its own; a Client keeps idle connections until
// CloseIdleConnections is called or 90 seconds have passed.
package safedial

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"syscall"
)

// The reasons for a refusal; compare with errors.Is.
var (
	ErrAddress  = errors.New("address is not a public one")
	ErrScheme   = errors.New("scheme is not https")
	ErrRedirect = errors.New("redirect refused")
)

// control is for [net.Dialer.Control]: it refuses, with ErrAddress, every address that is not public.
// The dialer calls it once for each address it tries, after resolving the name and before connecting.
func control(network, address string, _ syscall.RawConn) (err error) {
	defer func() { // the goroutine is one of net/http's: nothing else would contain a panic
		if v := recover(); v != nil {
			err = fmt.Errorf("dial %s: %w: %v", address, ErrAddress, v)
		}
	}()
	switch network {
	case "tcp", "tcp4", "tcp6":
	default:
		return fmt.Errorf("dial %s %s: %w: only TCP is dialled", network, address, ErrAddress)
	}
	a, err := netip.ParseAddrPort(address)
	if err != nil || !Public(a.Addr()) {
		return fmt.Errorf("dial %s: %w", address, ErrAddress)
	}
	return nil
}

// controlLocal is control that lets loopback pass, too.
func controlLocal(network, address string, c syscall.RawConn) error {
	if a, err := netip.ParseAddrPort(address); err == nil && a.Addr().IsLoopback() && strings.HasPrefix(network, "tcp") {
		return nil
	}
	return control(network, address, c)
}

// Public reports whether addr is a unicast address that is reachable from the whole Internet.
func Public(addr netip.Addr) bool {
	if addr.Zone() != "" {
		return false
	}
	if addr.Is4() {
		return !within(addr, special4)
	}
	if nat64.Contains(addr) { // how a network with IPv6 alone reaches public IPv4
		b := addr.As16()
		return Public(netip.AddrFrom4([4]byte(b[12:])))
	}
	return global6.Contains(addr) && !within(addr, special6)
}

func within(addr netip.Addr, nets []netip.Prefix) bool {
	for _, n := range nets {
		if n.Contains(addr) {
			return true
		}
	}
	return false
}

// From the IANA registries of special-purpose addresses. Set once and never written.
var (
	special4 = prefixes(
		"0.0.0.0/8",       // this network, unspecified
		"10.0.0.0/8",      // private
		"100.64.0.0/10",   // shared by carriers (CGNAT)
		"127.0.0.0/8",     // loopback
		"169.254.0.0/16",  // link-local, metadata services of clouds
		"172.16.0.0/12",   // private
		"192.0.0.0/24",    // protocol assignments
		"192.0.2.0/24",    // documentation
		"192.88.99.0/24",  // 6to4 relays
		"192.168.0.0/16",  // private
		"198.18.0.0/15",   // benchmarks
		"198.51.100.0/24", // documentation
		"203.0.113.0/24",  // documentation
		"224.0.0.0/4",     // multicast
		"240.0.0.0/4",     // reserved, broadcast
	)
	// Everything outside global6 is refused: ::, ::1, mapped and compatible IPv4, unique local,
	// link-local, site-local, multicast, the local NAT64 prefix.
	global6  = netip.MustParsePrefix("2000::/3")
	nat64    = netip.MustParsePrefix("64:ff9b::/96")
	special6 = prefixes(
		"2001::/23",     // protocol assignments, Teredo (IPv4 inside)
		"2001:db8::/32", // documentation
		"2002::/16",     // 6to4 (IPv4 inside)
		"3fff::/20",     // documentation
	)
)

func prefixes(list ...string) []netip.Prefix {
	nets := make([]netip.Prefix, len(list))
	for i, s := range list {
		nets[i] = netip.MustParsePrefix(s)
	}
	return nets
}
