package remotewrite_test

import (
	"bufio"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir/loadtest/remotewrite"
)

// startPrometheus runs the real one, and returns where it is.
func startPrometheus(t *testing.T) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listen := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(config, []byte("global: {scrape_interval: 1h}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := exec.Command("prometheus", "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+listen, "--web.enable-remote-write-receiver")
	errs, err := p.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal("prometheus, which make setup installs: ", err)
	}
	read := make(chan struct{})
	t.Cleanup(func() {
		_ = p.Process.Kill()
		<-read
		_ = p.Wait()
	})
	for lines := bufio.NewScanner(errs); lines.Scan(); {
		if strings.Contains(lines.Text(), "Server is ready to receive web requests") {
			go func() { // ends with the process
				defer close(read)
				for lines.Scan() { //nolint:revive // its pipe must not fill up
				}
			}()
			return "http://" + listen
		}
	}
	close(read)
	t.Fatal("prometheus does not start")
	return ""
}

// Prometheus itself takes what is sent, and has it.
func TestPrometheusTakesIt(t *testing.T) {
	address := startPrometheus(t)
	const n = 2500 // more than one request
	began := time.Now().Add(-n * 100 * time.Millisecond).Truncate(time.Millisecond)
	list := []remotewrite.Series{
		{Name: "weir_bench_deliveries_per_second", Labels: map[string]string{"target": "weir", "Zone": "ä\"quoted\"", "scenario": "fanout"}},
		{Name: "weir_bench_p99_seconds", Labels: map[string]string{"target": "weir"}},
	}
	for i := range n {
		at := began.Add(time.Duration(i) * 100 * time.Millisecond)
		list[0].Samples = append(list[0].Samples, remotewrite.Sample{At: at, Value: float64(i)})
		if i < 100 {
			list[1].Samples = append(list[1].Samples, remotewrite.Sample{At: at, Value: .25})
		}
	}
	if err := remotewrite.Send(t.Context(), address+"/api/v1/write", list); err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for query, want := range map[string]string{
		`sum(count_over_time(weir_bench_deliveries_per_second{target="weir",scenario="fanout",Zone="ä\"quoted\""}[1h]))`: "2500",
		`sum(sum_over_time(weir_bench_deliveries_per_second[1h]))`:                                                       "3123750",
		`sum(max_over_time(weir_bench_p99_seconds[1h]))`:                                                                 "0.25",
	} {
		resp, err := client.Get(address + "/api/v1/query?query=" + url.QueryEscape(query))
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			Data struct{ Result []struct{ Value [2]any } }
		}
		err = json.NewDecoder(resp.Body).Decode(&got)
		_ = resp.Body.Close()
		if err != nil || len(got.Data.Result) != 1 || got.Data.Result[0].Value[1] != want {
			t.Errorf("%s: %v %+v, expected %s", query, err, got, want)
		}
	}
	if err := remotewrite.Send(t.Context(), address+"/api/v1/nothing", list); err == nil || !strings.Contains(err.Error(), "returned status 404") {
		t.Error(err)
	}
}

func TestReceiversThatRefuse(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		http.Error(w, "not you, "+user+password, http.StatusUnauthorized)
	}))
	defer s.Close()
	list := []remotewrite.Series{{Name: "x", Samples: []remotewrite.Sample{{At: time.Now(), Value: 1}}}}
	err := remotewrite.Send(t.Context(), strings.Replace(s.URL, "http://", "http://me:secret@", 1), list)
	if err == nil || !strings.Contains(err.Error(), "returned status 401: not you, mesecret") || strings.Contains(err.Error(), "me:secret@") {
		t.Error(err)
	}
	if err := remotewrite.Send(t.Context(), "nowhere", list); err == nil {
		t.Error("an address that is none")
	}
}
