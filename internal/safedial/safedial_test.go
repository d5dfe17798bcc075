package safedial

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPublic(t *testing.T) {
	for _, tt := range []struct {
		addr string
		want bool
	}{
		{"8.8.8.8", true}, {"1.1.1.1", true}, {"172.15.255.255", true}, {"172.32.0.0", true},
		{"100.63.255.255", true}, {"100.128.0.0", true}, {"223.255.255.255", true},
		{"2606:4700:4700::1111", true}, {"2a00:1450:4001::1", true}, {"2001:4860:4860::8888", true},
		{"64:ff9b::808:808", true},

		{"127.0.0.1", false}, {"127.255.255.254", false}, {"0.0.0.0", false}, {"0.1.2.3", false},
		{"10.0.0.1", false}, {"172.16.0.1", false}, {"172.31.255.255", false}, {"192.168.1.1", false},
		{"169.254.169.254", false}, {"100.64.0.1", false}, {"100.127.255.255", false},
		{"192.0.0.1", false}, {"192.0.2.1", false}, {"198.18.0.1", false}, {"198.19.255.255", false},
		{"198.51.100.1", false}, {"203.0.113.1", false}, {"224.0.0.1", false}, {"239.255.255.255", false},
		{"240.0.0.1", false}, {"255.255.255.255", false},

		{"::", false}, {"::1", false}, {"fe80::1", false}, {"fe80::1%lo", false}, {"fec0::1", false},
		{"fc00::1", false}, {"fd12:3456::1", false}, {"ff02::1", false}, {"2001:db8::1", false},
		{"3fff::1", false}, {"2002:7f00:1::", false}, {"2001::1", false}, {"100::1", false},
		{"2606:4700::1%eth0", false},
		{"::ffff:127.0.0.1", false}, {"::ffff:10.0.0.1", false}, {"::ffff:8.8.8.8", false}, {"::127.0.0.1", false},
		{"64:ff9b::7f00:1", false}, {"64:ff9b::a9fe:a9fe", false}, {"64:ff9b:1::808:808", false},
	} {
		if got := Public(netip.MustParseAddr(tt.addr)); got != tt.want {
			t.Errorf("Public(%s) = %v, want %v", tt.addr, got, tt.want)
		}
	}
	if Public(netip.Addr{}) {
		t.Error("Public of no address = true")
	}
}

func TestControl(t *testing.T) {
	for _, tt := range []struct {
		network, address string
		ok               bool
	}{
		{"tcp4", "8.8.8.8:443", true},
		{"tcp6", "[2606:4700:4700::1111]:443", true},
		{"tcp4", "127.0.0.1:443", false},
		{"tcp6", "[::1]:443", false},
		{"tcp6", "[::ffff:8.8.8.8]:443", false},
		{"tcp6", "[fe80::1%eth0]:443", false},
		{"udp4", "8.8.8.8:53", false},
		{"unix", "/run/x.sock", false},
		{"tcp", "example.com:443", false}, // never a name: the dialer has resolved it
		{"tcp", "", false},
	} {
		err := control(tt.network, tt.address, nil)
		if (err == nil) != tt.ok || (err != nil && !errors.Is(err, ErrAddress)) {
			t.Errorf("control(%s, %s) = %v, want ok %v", tt.network, tt.address, err, tt.ok)
		}
	}
}

// A name, an address and a public name that answers with a private address are all refused before
// the server sees a connection.
func TestClientRefusesPrivateAddresses(t *testing.T) {
	var hits atomic.Int32
	srv := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	defer srv.Close()
	port := srv.URL[strings.LastIndexByte(srv.URL, ':')+1:]

	client := Client(5 * time.Second)
	defer client.CloseIdleConnections()
	rebound := newClient(5*time.Second, &net.Dialer{Control: control, Resolver: fakeResolver(t, [4]byte{127, 0, 0, 1})}, true)
	defer rebound.CloseIdleConnections()

	for _, tt := range []struct {
		client *http.Client
		url    string
	}{
		{client, "https://127.0.0.1:" + port},
		{client, "https://localhost:" + port},
		{client, "https://[::ffff:127.0.0.1]:" + port},
		{client, "https://2130706433:" + port},
		{rebound, "https://rebind.example.com:" + port},
	} {
		resp, err := tt.client.Get(tt.url)
		if err == nil {
			_ = resp.Body.Close()
			t.Errorf("GET %s: answered %s", tt.url, resp.Status)
		} else if !errors.Is(err, ErrAddress) && !strings.Contains(tt.url, "2130706433") {
			t.Errorf("GET %s: %v, want ErrAddress", tt.url, err)
		}
	}
	if n := hits.Load(); n != 0 {
		t.Errorf("the server saw %d requests", n)
	}
}

func TestClientRefusesOtherSchemes(t *testing.T) {
	client := Client(time.Second)
	resp, err := client.Post("http://example.com/", "text/plain", strings.NewReader("x"))
	if err == nil {
		_ = resp.Body.Close()
	}
	if !errors.Is(err, ErrScheme) {
		t.Errorf("http request: %v, want ErrScheme", err)
	}
}

func TestRedirectsAreRefused(t *testing.T) {
	var hits atomic.Int32
	mux := http.NewServeMux()
	mux.Handle("/302", http.RedirectHandler("/target", http.StatusFound))
	mux.Handle("/307", http.RedirectHandler("/target", http.StatusTemporaryRedirect))
	mux.HandleFunc("/target", func(http.ResponseWriter, *http.Request) { hits.Add(1) })
	srv := httptest.NewServer(mux)
	defer srv.Close()
	client := Insecure(5 * time.Second)
	defer client.CloseIdleConnections()
	for _, path := range []string{"/302", "/307"} {
		resp, err := client.Get(srv.URL + path)
		if err == nil {
			_ = resp.Body.Close()
		}
		if !errors.Is(err, ErrRedirect) {
			t.Errorf("GET %s: %v, want ErrRedirect", path, err)
		}
	}
	if hits.Load() != 0 {
		t.Error("a redirect was followed")
	}
	resp, err := client.Get(srv.URL + "/target")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
}

func TestTimeout(t *testing.T) {
	release := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer srv.Close()
	defer close(release)
	client := Insecure(20 * time.Millisecond)
	defer client.CloseIdleConnections()
	resp, err := client.Get(srv.URL)
	if err == nil {
		_ = resp.Body.Close()
	}
	var timeout net.Error
	if !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("GET of a silent server: %v, want a timeout", err)
	}
}

func TestNoTimeoutMeansFiveSeconds(t *testing.T) {
	if got := Client(0).Timeout; got != 5*time.Second {
		t.Errorf("timeout = %v, want 5s", got)
	}
}

// fakeResolver answers every question for an IPv4 address with ip, and every other with nothing.
func fakeResolver(t *testing.T, ip [4]byte) *net.Resolver {
	pc, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { _ = pc.Close(); <-done })
	go func() { // stopped by closing pc, waited for by the cleanup
		defer close(done)
		buf := make([]byte, 512)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			end := 12
			for end < n && buf[end] != 0 { // the labels of the one question
				end += int(buf[end]) + 1
			}
			end += 5 // the root label, type and class
			if end > n {
				continue
			}
			answer := append([]byte(nil), buf[:end]...)
			answer[2], answer[3] = 0x81, 0x80                 // a response, recursion available, no error
			copy(answer[6:12], []byte{0, 0, 0, 0, 0, 0})      // no answers, authorities or additionals yet
			if binary.BigEndian.Uint16(buf[end-4:end]) == 1 { // type A
				answer[7] = 1
				answer = append(answer, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4)
				answer = append(answer, ip[:]...)
			}
			_, _ = pc.WriteTo(answer, from)
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp4", pc.LocalAddr().String())
	}}
}

// Development may call this machine, and nothing else that is private.
func TestLocal(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer srv.Close()
	client := For(time.Second, false, true)
	defer client.CloseIdleConnections()
	resp, err := client.Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	for _, addr := range []string{"10.0.0.1:80", "169.254.169.254:80", "[::ffff:10.0.0.1]:80", "0.0.0.0:80", "example.com:80"} {
		if err := controlLocal("tcp", addr, nil); !errors.Is(err, ErrAddress) {
			t.Errorf("%s: %v", addr, err)
		}
	}
	if err := controlLocal("udp", "127.0.0.1:53", nil); !errors.Is(err, ErrAddress) {
		t.Error(err)
	}
	for _, addr := range []string{"127.0.0.1:80", "[::1]:80", "8.8.8.8:443"} {
		if err := controlLocal("tcp", addr, nil); err != nil {
			t.Errorf("%s: %v", addr, err)
		}
	}
}
