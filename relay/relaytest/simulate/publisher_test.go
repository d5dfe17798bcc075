package simulate

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"weir/internal/memnet"
	"weir/relay/relaytest/ledger"
)

// attempts is how often a publisher tries to get an answer, answerTime how long it waits for one: its node may be paused, and again as soon as it goes on.
const (
	attempts   = 8
	answerTime = time.Minute
)

// backend is a client of the API with a connection that it keeps. It belongs to one goroutine.
type backend struct {
	w           *world
	nc          *memnet.Conn // nil: none
	br          *bufio.Reader
	incarnation int // of the relay at the other end
	server      *server
	turn        int // the node that is asked next, of a cluster
	fixed       bool
}

// connect makes sure that there is a connection.
func (b *backend) connect(ctx context.Context) (err error) {
	if b.nc == nil {
		b.server = b.w.nodes[b.turn%len(b.w.nodes)]
		if !b.fixed {
			b.turn++
		}
		if b.nc, b.incarnation, err = b.server.dial(ctx); err != nil {
			b.nc = nil
			return err
		}
		b.br = bufio.NewReader(b.nc)
	}
	return nil
}

// prefer has a node asked from now on; -1: one after the other.
func (b *backend) prefer(node int) {
	b.close()
	if b.fixed = node >= 0; b.fixed {
		b.turn = node
	}
}

func (b *backend) close() {
	if b.nc != nil {
		b.server.hangUp(b.nc)
		b.nc = nil
	}
}

func request(method, path, body string) []byte {
	return fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: simulated\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", method, path, apiKey, len(body), body)
}

// answer reads a response.
func (b *backend) answer() (status int, body []byte, err error) {
	_ = b.nc.SetReadDeadline(time.Now().Add(answerTime))
	resp, err := http.ReadResponse(b.br, nil)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err = io.ReadAll(resp.Body)
	if resp.Close {
		b.close()
	}
	return resp.StatusCode, body, err
}

// once makes a request. If it is not answered, the next one is another node's.
func (b *backend) once(ctx context.Context, req []byte) (status int, body []byte, err error) {
	if err = b.connect(ctx); err != nil {
		return 0, nil, err
	}
	if _, err = b.nc.Write(req); err == nil {
		status, body, err = b.answer()
	}
	if err != nil {
		b.close()
	}
	return status, body, err
}

// ask makes a request, again until it is answered.
func (b *backend) ask(ctx context.Context, method, path string) (status int, body []byte, err error) {
	for range attempts {
		if status, body, err = b.once(ctx, request(method, path, "")); err == nil {
			return status, body, nil
		}
		time.Sleep(time.Second)
	}
	return 0, nil, fmt.Errorf("%s %s: %w", method, path, err)
}

// publisher is a backend that publishes numbered stamps, one after the other.
type publisher struct {
	backend
	number uint32
	queue  chan step // bursts; closed at the end
	keys   int       // idempotency keys used
	last   map[string]position
	texts  map[string]int // by channel and key, where the publisher takes its own text to end
}

// fate is what happens to the first attempt of a publish.
type fate int

const (
	plain  fate = iota
	lost        // its answer does not arrive
	torn        // a part of it arrives
	double      // it is sent a second time all the same
)

func (p *publisher) run(ctx context.Context) {
	defer p.close()
	for s := range p.queue {
		r, grow := rand.New(rand.NewPCG(s.seed, 2)), rand.New(rand.NewPCG(s.seed, 5)) // grow is about appends: the rest is as it was without
		for range s.count {
			if s.lasts > 0 {
				time.Sleep(time.Duration(r.Int64N(int64(s.lasts))))
			}
			p.publish(ctx, s.channel, r, grow)
		}
	}
}

// publish publishes one change, until it is answered.
func (p *publisher) publish(ctx context.Context, channel int, r, grow *rand.Rand) {
	name := p.w.channelName(channel)
	stamp := p.w.ledger.Next(uint32(channel), p.number, time.Since(p.w.story.start).Nanoseconds())
	op := []string{"set", "set", "set", "send", "send", "delete"}[r.IntN(6)]
	group, key := "", "k"+strconv.Itoa(r.IntN(5))
	if op == "send" && grow.IntN(2) == 0 { // put behind a text of its own, or one that is everybody's, which are never set and end by themselves
		op, key = "append", []string{"everybody", fmt.Sprint("t", p.number)}[grow.IntN(2)]
	}
	if r.IntN(4) == 0 {
		group = `,"group":"g"`
	}
	members := `,"op":"` + op + `"` + group + `,"key":"` + key + `"`
	var data []byte
	if op != "delete" {
		data = stamp.Append(nil, 64+r.IntN(1+r.IntN(1500)))
		if op == "append" {
			data = strconv.AppendQuote(nil, string(data))
		}
		members += `,"data":` + string(data)
	}
	text, offset := name+" "+group+" "+key, op == "append" && grow.IntN(2) == 0
	if offset {
		members += `,"offset":` + strconv.Itoa(p.texts[text])
	}
	if op == "append" && grow.IntN(5) == 0 {
		members += `,"ttl":` + strconv.Itoa(1+grow.IntN(60_000))
	}
	if op == "set" && r.IntN(5) == 0 {
		members += `,"ttl":` + strconv.Itoa(1+r.IntN(20_000))
	}
	p.keys++
	ack := true // what is answered is kept
	if p.w.durable(channel) && r.IntN(6) == 0 {
		ack = false
		members += `,"ack":"memory"`
	}
	body := fmt.Sprintf(`{"channel":"%s","idempotencyKey":"%d-%d"%s}`, name, p.number, p.keys, members)
	life := p.w.lives(channel)
	f := []fate{plain, lost, torn, double}[max(0, r.IntN(40)-36)]
	delay, cutAt, keep := time.Duration(r.IntN(50))*time.Millisecond, r.IntN(len(body)), r.IntN(200)
	if p.w.options.Defect == Forget && p.number == 1 && p.keys%defectAt == 0 && !p.w.conflated(channel) {
		p.w.ledger.Acked(stamp, ledger.Position{Epoch: p.last[name].Epoch, Seq: p.last[name].Seq + 1})
		return
	}
	at, err := p.try(ctx, f, request("POST", "/v1/publish", body), channel, delay, cutAt, keep)
	var elsewhere *offsetError
	switch {
	case errors.As(err, &elsewhere):
		if elsewhere.right == p.texts[text] {
			p.w.story.problem("publisher-%d: refused at %d of %s, where it says that the text ends", p.number, elsewhere.right, text)
		}
		p.texts[text] = elsewhere.right
	case err == nil && offset:
		p.texts[text] += len(data) - 2 - bytes.Count(data, []byte(`\`)) // of which each escape is one code point
	}
	switch {
	case errors.Is(err, errRefused):
		p.w.ledger.Refused(stamp)
	case err != nil:
		p.w.story.tell("publisher-%d: %d in %s is given up: %v", p.number, stamp.Number, name, err)
	case op != "delete" && !p.w.conflated(channel) && ack:
		p.w.ledger.Acked(stamp, ledger.Position(at))
		if p.w.durable(channel) && life == p.w.lives(channel) {
			p.w.promises.add(channel, promise{at.Seq, life, data})
		}
	}
	if err == nil {
		p.w.owners.acked(p.w, channel, at.Epoch, life)
		p.last[name] = at
		p.w.published.Add(1)
	}
}

// offsetError is what an append gets whose text does not end where the publisher takes it to end.
type offsetError struct{ right int }

// Error implements error.
func (e *offsetError) Error() string { return fmt.Sprint("the text ends at ", e.right) }

// Is says that nothing has come of it.
func (e *offsetError) Is(err error) bool { return err == errRefused }

// errRefused is what a publish gets that the relay did not accept, errForgotten what one does whose relay is
// gone, and with it the idempotency keys: to try again there might publish it twice. errStorage is a disk's that
// fails: the change may be there, or come later.
var (
	errRefused   = errors.New("refused")
	errStorage   = errors.New("not stored yet")
	errForgotten = errors.New("tried at a relay that is gone")
)

// try sends a publish until it is answered.
func (p *publisher) try(ctx context.Context, f fate, req []byte, channel int, delay time.Duration, cutAt, keep int) (at position, err error) {
	incarnation, lives := 0, p.w.lives(channel)
	for i := range attempts {
		if i > 0 {
			time.Sleep(time.Duration(i*i) * 50 * time.Millisecond)
			p.w.retried.Add(1)
		}
		if err = p.connect(ctx); err != nil {
			continue
		}
		if incarnation == 0 {
			incarnation = p.incarnation
		}
		// On disk keys outlive the relay, for five minutes by the clock that it starts with.
		kept := p.w.clustered() || p.w.durable(channel) && p.server.agree(incarnation, p.incarnation)
		if incarnation != p.incarnation && !kept || lives != p.w.lives(channel) {
			return at, errForgotten
		}
		b := req
		if f == torn && i == 0 {
			b = req[:len(req)-1-cutAt]
		}
		_, err = p.nc.Write(b)
		if f == lost && i == 0 || f == torn && i == 0 {
			time.Sleep(delay)
			p.nc.Cut(keep)
		}
		if err == nil {
			at, err = p.position()
		}
		if errors.Is(err, errRefused) && i > 0 {
			return at, errors.New("refused after an attempt without an answer") // it may be there
		}
		if err == nil && f == double && i == 0 {
			at = p.twice(req, at, channel, lives)
		}
		if err == nil || errors.Is(err, errRefused) {
			return at, err
		}
		if !errors.Is(err, errStorage) || p.w.clustered() {
			p.close()
		}
	}
	return at, err
}

// twice publishes again what was answered, which must get the same answer, unless the channel is deleted meanwhile
// with its keys. It answers the last position.
func (p *publisher) twice(req []byte, at position, channel, lives int) position {
	if p.nc == nil || lives != p.w.lives(channel) {
		return at
	}
	if _, err := p.nc.Write(req); err != nil {
		return at
	}
	again, err := p.position()
	// Taken over in between it goes on in another epoch, from there; of a channel in memory it may have been lost with the one before, and be made again.
	forked := p.w.clustered() && again.Epoch != at.Epoch && (again.Seq == at.Seq || !p.w.durable(channel))
	if err == nil && again != at && !forked && lives == p.w.lives(channel) {
		p.w.story.problem("publisher-%d: the same idempotency key was answered %v and %v", p.number, at, again)
	}
	if err != nil {
		p.close()
		return at
	}
	return again
}

// position reads the answer to a publish.
func (p *publisher) position() (position, error) {
	status, body, err := p.answer()
	if err != nil {
		var timeout interface{ Timeout() bool }
		if errors.As(err, &timeout) && timeout.Timeout() {
			p.w.story.problem("publisher-%d: no answer within %v", p.number, answerTime)
		}
		return position{}, err
	}
	var m struct {
		Position position `json:"position"`
		Code     string   `json:"code"`
		Offset   int      `json:"offset"`
	}
	if err := json.Unmarshal(body, &m); err != nil {
		p.w.story.problem("publisher-%d: %d %q: %v", p.number, status, body, err)
	}
	if status == http.StatusServiceUnavailable && (m.Code == "storage" || p.w.clustered()) {
		return position{}, errStorage
	}
	if status == http.StatusServiceUnavailable {
		return position{}, fmt.Errorf("%w: %s", errRefused, m.Code)
	}
	switch m.Code {
	case "wrong_offset":
		return position{}, &offsetError{m.Offset}
	case "too_large": // what an append would make of the text
		return position{}, errRefused
	}
	if status != http.StatusOK || m.Position.Epoch == "" {
		p.w.story.problem("publisher-%d: %d %s", p.number, status, body)
		return position{}, errRefused
	}
	return m.Position, nil
}
