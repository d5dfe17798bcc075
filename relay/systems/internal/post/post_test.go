package post_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"weir/internal/sign"
	"weir/relay/systems/internal/post"
)

func TestSend(t *testing.T) {
	key, now := make([]byte, 32), time.Now()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if err := sign.Verify(key, r.Header.Get(sign.HeaderID), r.Header.Get(sign.HeaderTimestamp), r.Header.Get(sign.HeaderSignature), body, now); err != nil {
			t.Error(err)
		}
		if got := r.Header.Get("Content-Type"); r.Method != http.MethodPost || got != "application/json" {
			t.Errorf("%s of %s", r.Method, got)
		}
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, "a long response")
	}))
	defer srv.Close()
	body := []byte(`{"a":1}`)
	r, err := post.Send(t.Context(), srv.Client(), srv.URL, post.Signed([][]byte{key}, "msg_1", now, body), body, 6)
	if err != nil || r.Status != http.StatusTeapot || string(r.Body) != "a long" || r.Header.Get("Retry-After") != "7" {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := post.Send(t.Context(), srv.Client(), "http://[", http.Header{}, nil, 1); err != post.ErrURL {
		t.Error(err)
	}
	srv.Close()
	if r, err := post.Send(t.Context(), srv.Client(), srv.URL, http.Header{}, nil, 1); r != nil || err == nil {
		t.Errorf("%+v of a server that has ended", r)
	}
}
