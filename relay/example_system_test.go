package relay_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/valyala/fasthttp"

	"weir/broker"
	"weir/relay"
	"weir/relay/auth"
	"weir/relay/config"
	"weir/relay/problem"
)

// pollModule is what a program lists.
func pollModule() relay.Module {
	return relay.Module{
		System:  config.System{Name: "poll", Section: func() config.Section { return new(pollConfig) }, Namespaces: []string{"poll", "ballot"}},
		New:     func() relay.System { return new(polls) },
		Metrics: []relay.Metric{{Name: "poll_votes_total", Type: relay.Counter, Help: "Votes that were counted."}},
	}
}

// pollConfig is the section "poll" of the configuration.
type pollConfig struct {
	Options int `yaml:"options" default:"10" range:"2..100"` // of one poll
}

func (*pollConfig) Key() string { return "poll" }

// polls counts votes. "poll:{poll}" holds an item for each option, its count; "ballot:{poll}" one for each user who has voted.
type polls struct {
	host  relay.Host
	votes *metrics.Counter
	mu    sync.Mutex // orders the votes
}

func (*polls) Name() string { return "poll" }
func (*polls) Close()       {}

func (p *polls) Start(host relay.Host) error {
	p.host, p.votes = host, host.Metrics().NewCounter("poll_votes_total")
	host.Backend(http.MethodPost, "/v1/polls/{poll}", p.open)
	host.User(http.MethodPost, "/polls/{poll}/{option}", p.vote)
	return errors.Join(
		host.Reserve("poll", config.Namespace{Subscribe: config.Authenticated}),
		host.Reserve("ballot", config.Namespace{Presence: new(bool), Limit: config.Bounds{Items: 1 << 20}}))
}

// open is POST /v1/polls/{poll} with the options, such as ["tea","coffee"].
func (p *polls) open(ctx *fasthttp.RequestCtx) error {
	var options []string
	if err := json.Unmarshal(ctx.PostBody(), &options); err != nil || len(options) < 2 || len(options) > config.Of[pollConfig](p.host.Config()).Options {
		return problem.New(http.StatusBadRequest, "bad_request", "expected a list of options, not too many", false)
	}
	for _, option := range options {
		if _, err := p.host.Publish("poll:"+ctx.UserValue("poll").(string), &broker.Publication{Op: broker.Set, Key: option, Data: []byte("0")}); err != nil {
			return err
		}
	}
	return nil
}

// vote is POST /polls/{poll}/{option}.
func (p *polls) vote(ctx *fasthttp.RequestCtx, id *auth.Identity) error {
	poll, option := ctx.UserValue("poll").(string), ctx.UserValue("option").(string)
	p.mu.Lock()
	defer p.mu.Unlock()
	count, _, known := p.host.Broker().Item("poll:"+poll, "", option)
	if !known {
		return problem.NotFound
	}
	if _, _, voted := p.host.Broker().Item("ballot:"+poll, "", id.User); voted {
		return problem.New(http.StatusConflict, "voted", "you have voted already", false)
	}
	if _, err := p.host.Publish("ballot:"+poll, &broker.Publication{Op: broker.Set, Key: id.User}); err != nil {
		return err
	}
	p.votes.Inc()
	n, _ := strconv.Atoi(string(count))
	_, err := p.host.Publish("poll:"+poll, &broker.Publication{Op: broker.Set, Key: option, Data: strconv.AppendInt(nil, int64(n+1), 10)})
	return err
}

// A complete system: a poll whose counts everybody sees while others vote. docs/writing-a-system.md explains it.
func Example_system() {
	poll := pollModule()
	r, err := relay.New(config.Config{Dev: true, Listen: "127.0.0.1:0", Admin: "127.0.0.1:0", Known: []config.System{poll.System}},
		slog.New(slog.DiscardHandler), poll.New())
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error)
	go func() { served <- r.Serve(ctx) }() // ends when stop is called
	<-r.Ready()
	public, _ := r.Addrs()

	ask := func(bearer, method, path, body string) string {
		req, _ := http.NewRequest(method, "http://"+public.String()+path, bytes.NewReader([]byte(body)))
		req.Header.Set("Authorization", "Bearer "+bearer)
		req.Close = true
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err.Error()
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		var answer struct {
			Code  string
			State struct{ Items map[string]int }
		}
		_ = json.Unmarshal(b, &answer)
		return fmt.Sprintf("%d %q %v", resp.StatusCode, answer.Code, answer.State.Items)
	}
	token := func(user string) string {
		token, _ := auth.Mint(auth.DevSecret, "", auth.Claims{Sub: user, TTL: time.Minute})
		return token
	}
	fmt.Println(ask(config.DevKey, "POST", "/v1/polls/drinks", `["tea","coffee"]`))
	fmt.Println(ask(token("ann"), "POST", "/polls/drinks/tea", ""))
	fmt.Println(ask(token("bob"), "POST", "/polls/drinks/tea", ""))
	fmt.Println(ask(token("bob"), "POST", "/polls/drinks/coffee", ""))
	fmt.Println(ask(token("cem"), "POST", "/polls/drinks/juice", ""))
	fmt.Println(ask(config.DevKey, "GET", "/v1/channels/poll:drinks", ""))

	stop()
	fmt.Println(<-served)
	// Output:
	// 200 "" map[]
	// 200 "" map[]
	// 200 "" map[]
	// 409 "voted" map[]
	// 404 "not_found" map[]
	// 200 "" map[coffee:0 tea:2]
	// <nil>
}
