package ingress

import (
	"net/netip"
	"testing"
)

func TestAddressKey(t *testing.T) {
	for in, want := range map[string]string{
		"203.0.113.7": "203.0.113.7", "::ffff:203.0.113.7": "203.0.113.7", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::",
		"2001:db8:1:2::": "2001:db8:1:2::", "2001:db8:1:3::1": "2001:db8:1:3::", "fe80::1%eth0": "fe80::", "::1": "::",
	} {
		if got := AddressKey(netip.MustParseAddr(in)); got.String() != want {
			t.Errorf("addressKey(%s) = %s, want %s", in, got, want)
		}
	}
	for _, bad := range []string{"x", "10.0.0.0/33", "10.0.0.0-10.0.0.9", "", "example.com"} {
		if _, err := parseNetworks([]string{bad}); err == nil {
			t.Errorf("network %q is accepted", bad)
		}
	}
}

// Some proxies write the client's port into X-Forwarded-For.
func TestHopAddress(t *testing.T) {
	for hop, want := range map[string]string{
		"203.0.113.1": "203.0.113.1", " 203.0.113.1:4711 ": "203.0.113.1", "2001:db8::1": "2001:db8::1", "[2001:db8::1]": "2001:db8::1",
		"[2001:db8::1]:4711": "2001:db8::1", "::ffff:203.0.113.1": "::ffff:203.0.113.1", "unknown": "", "203.0.113.1:": "", "203.0.113.1:70000": "", "_hidden": "", "": "",
	} {
		a, err := hopAddress(hop)
		if (err == nil) != (want != "") || err == nil && a.String() != want {
			t.Errorf("%q: %v %v, want %q", hop, a, err, want)
		}
	}
}
