package config

import (
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// listeners checks where the relay listens.
func (k *Checks) listeners(c Config) {
	host, port, listens := k.address("listen", c.Listen)
	if c.Dev {
		k.development(c, listens && !isLoopback(host))
	}
	adminHost, adminPort, administers := k.address("admin", c.Admin)
	if c.AdminToken != "" {
		k.secret("admin_token", []byte(c.AdminToken), maxSecret)
	} else if administers && !isLoopback(adminHost) {
		k.Add("admin", "%s is not a loopback address: metrics and profiles would be open to everybody, "+
			"so expected an address such as 127.0.0.1:9090, or an admin_token", Quote(c.Admin))
	}
	if listens && administers && port == adminPort && port != 0 && (host == adminHost || isAny(host)) {
		k.Add("admin", "%s is the port of the public listener: expected another", Quote(c.Admin))
	}
	if (c.TLS.Cert == "") != (c.TLS.Key == "") {
		k.Add("tls", "expected both cert and key, or neither")
	}
}

// addresses checks whom the relay believes and which pages may open connections.
func (k *Checks) addresses(c Config) {
	for i, origin := range c.Origins {
		k.origin(Element("origins", i), origin)
	}
	for i, proxy := range c.TrustedProxies {
		if _, err := netip.ParseAddr(proxy); err == nil {
			continue
		}
		if prefix, err := netip.ParsePrefix(proxy); err != nil {
			k.Add(Element("trusted_proxies", i), "%s is not a network: expected a CIDR such as 10.0.0.0/8, or an address", Quote(proxy))
		} else if prefix != prefix.Masked() {
			k.Add(Element("trusted_proxies", i), "%s has address bits beyond its length: did you mean %v?", Quote(proxy), prefix.Masked())
		}
	}
}

func (k *Checks) address(key, address string) (host string, port int, ok bool) {
	host, service, err := net.SplitHostPort(address)
	if err == nil {
		port, err = strconv.Atoi(service)
	}
	if err != nil || port < 0 || port > 65535 || strings.ContainsAny(host, " /@?#") {
		k.Add(key, "%s is not an address to listen on: expected host:port, such as 127.0.0.1:8080 or :8080", Quote(address))
		return "", 0, false
	}
	return host, port, true
}

// isLoopback goes by what is written: no name but localhost is looked up, since an answer may change.
func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.Unmap().IsLoopback()
}

func isAny(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "" || err == nil && addr.Unmap().IsUnspecified()
}

// standardPorts are left out of the Origin header by browsers.
var standardPorts = map[string]string{"http": "80", "https": "443"}

func (k *Checks) origin(key, origin string) {
	u, err := url.Parse(origin)
	switch {
	case err != nil, u.Scheme == "", u.Hostname() == "", strings.Contains(origin, "*"):
		k.Add(key, "%s is not an origin: expected scheme://host[:port], such as https://app.example.com, one for each host", Quote(origin))
	case u.User != nil, u.Path != "", strings.ContainsAny(origin, "?#"):
		k.Add(key, "%s is more than an origin: expected %s", Quote(origin), Quote(strings.ToLower(u.Scheme+"://"+u.Host)))
	case origin != strings.ToLower(origin):
		k.Add(key, "%s has capitals, which browsers do not send: expected %s", Quote(origin), Quote(strings.ToLower(origin)))
	case strings.Trim(u.Host, hostBytes) != "" || !validPort(u):
		k.Add(key, "%s is not an origin: expected a host of ASCII letters, digits, dots and dashes (xn-- for others), and a port from 1 to 65535", Quote(origin))
	case u.Port() != "" && u.Port() == standardPorts[u.Scheme]:
		k.Add(key, "%s names the standard port, which browsers leave out: expected %s", Quote(origin), Quote(strings.TrimSuffix(origin, ":"+u.Port())))
	}
}

const hostBytes = "abcdefghijklmnopqrstuvwxyz0123456789.-_:[]"

func validPort(u *url.URL) bool {
	if u.Port() == "" {
		return !strings.HasSuffix(u.Host, ":")
	}
	n, err := strconv.Atoi(u.Port())
	return err == nil && n > 0 && n <= 65535
}
