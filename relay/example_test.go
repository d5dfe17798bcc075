package relay_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"weir/relay"
	"weir/relay/config"
)

// A relay in development mode, a publication of a backend, and what the channel then holds.
func Example() {
	r, err := relay.New(config.Config{Dev: true, Listen: "127.0.0.1:0", Admin: "127.0.0.1:0"}, slog.New(slog.DiscardHandler))
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error)
	go func() { served <- r.Serve(ctx) }() // ends when stop is called
	<-r.Ready()
	public, _ := r.Addrs()

	ask := func(method, path, body string) (answer struct {
		Position struct{ Seq int }
		State    json.RawMessage
	}) {
		req, _ := http.NewRequest(method, "http://"+public.String()+path, strings.NewReader(body))
		req.Header.Set("Authorization", "Bearer "+config.DevKey)
		req.Close = true
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			fmt.Println(err)
			return
		}
		defer resp.Body.Close()
		if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
			fmt.Println(err)
		}
		return answer
	}
	at := ask("POST", "/v1/publish", `{"channel":"scores:1","key":"home","data":3}`)
	fmt.Println("seq", at.Position.Seq)
	fmt.Printf("%s\n", ask("GET", "/v1/channels/scores:1", "").State)

	stop() // what was accepted is delivered first
	fmt.Println(<-served)
	// Output:
	// seq 1
	// {"items":{"home":3}}
	// <nil>
}
