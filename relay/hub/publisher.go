package hub

import (
	"bytes"
	"errors"
	"strconv"
	"sync"

	"weir/broker"
	"weir/internal/wire"
	"weir/relay/jsonbody"
	"weir/relay/problem"
)

// Publication reports whether a Content-Type is that of one publication a line, and whether it is that of
// publications at all.
func Publication(kind []byte) (lines, ok bool) {
	kind, _, _ = bytes.Cut(kind, []byte(";"))
	var lower [40]byte // which is longer than any of them
	switch kind = bytes.TrimSpace(kind); string(Lowercase(lower[:], kind)) {
	case "application/x-ndjson", "application/ndjson", "application/jsonl":
		return true, true
	case "":
		return false, len(kind) == 0
	case "application/json", "application/x-www-form-urlencoded", "text/plain": // what curl -d says
		return false, true
	}
	return false, false
}

// Publisher publishes what one request of a backend holds. It remembers what the last publication was for:
// lines of one request are often of one channel.
type Publisher struct {
	command   wire.Command
	publisher broker.Publisher
	channel   string // aliases the request
	ns        *Namespace
	epoch     string
	head      []byte // of an answer with that epoch
	Out       []byte // the answer; the request's handler fills it
	waits     []lineWait
	// Traceparent is that of the request, for publications that have none of their own. It is looked at only while messages are traced.
	Traceparent []byte

	Lenient bool // members that are not known are passed over
	Brief   bool // of lines, only those that failed are answered, and then how many did not: AnswersErrors

	// Asked before what belongs to a durable channel is published; an error keeps it from that. nil: nobody.
	Durable func(publisher *broker.Publisher, c *wire.Command) error
}

// lineWait is a line that is not safe yet.
type lineWait struct {
	line    int
	at      int            // where its answer begins, or would; it is an empty line so far if the receipt knows no position
	receipt broker.Receipt // pending
}

// tally is how the lines of a brief request went.
type tally struct {
	accepted int
	line     int // the last one that was accepted, of those for one channel; 0: none
	position broker.Position
}

// accept counts a line; at is where its change stands.
func (t *tally) accept(line int, at broker.Position) {
	t.accepted++
	if line > t.line && at.Epoch != "" {
		t.line, t.position = line, at
	}
}

// AppendAccepted appends the last line of a brief answer, to whose end other members may be added.
func AppendAccepted(dst []byte, accepted int) []byte {
	return strconv.AppendInt(append(dst, `{"accepted":`...), int64(accepted), 10)
}

func (t *tally) append(dst []byte) []byte {
	dst = AppendAccepted(dst, t.accepted)
	if t.line > 0 {
		dst = wire.AppendPosition(append(dst, `,"position":`...), t.position.Epoch, t.position.Seq)
	}
	return append(dst, "}\n"...)
}

// AnswersErrors is the query of a request whose lines are answered only where they failed: see Publisher.Brief.
const AnswersErrors = "answers=errors"

// Brief reads the query parameter answers. Errors: it is something else than "all", "errors" or nothing.
func Brief(answers []byte) (bool, error) {
	switch string(answers) {
	case "", "all":
		return false, nil
	case "errors":
		return true, nil
	}
	return false, problem.BadField.With("answers must be all or errors")
}

// AppendLineFault appends the answer to a line that failed.
func AppendLineFault(dst []byte, line int, err error) []byte {
	dst = problem.Of(err).AppendBody(append(dst, '{'))
	return append(strconv.AppendInt(append(dst, `,"line":`...), int64(line), 10), "}\n"...)
}

// settle waits for the lines that are not safe yet, and puts errors in the place of the answers to those that do
// not get there, which a brief answer does not have. Of that the others are counted now.
func (p *Publisher) settle(out []byte, t *tally) []byte {
	var settled []byte // of out up to from
	from := 0
	for i := range p.waits {
		w := &p.waits[i]
		switch at, err := w.receipt.Settle(); {
		case err != nil:
			settled = AppendLineFault(append(settled, out[from:w.at]...), w.line, err)
			if from = w.at; !p.Brief {
				from += bytes.IndexByte(out[w.at:], '\n') + 1
			}
		case w.receipt.Position.Epoch == "" && !p.Brief:
			settled = append(p.answer(append(settled, out[from:w.at]...), at), '\n')
			from = w.at + 1
		default:
			t.accept(w.line, at)
		}
	}
	clear(p.waits)
	p.waits = p.waits[:0]
	if settled == nil {
		return out
	}
	return append(settled, out[from:]...)
}

// publishers are used again: their buffers are.
var publishers = sync.Pool{New: func() any { return new(Publisher) }}

// Publisher is for one request. It is to be released.
func (h *Hub) Publisher() *Publisher {
	p := publishers.Get().(*Publisher)
	p.publisher = h.Broker.Publisher()
	return p
}

// Release gives the publisher back. It keeps nothing of the request.
func (p *Publisher) Release() {
	*p = Publisher{head: p.head[:0], Out: p.Out[:0], waits: p.waits[:0]}
	if cap(p.Out) <= 1<<17 && cap(p.waits) <= 1<<12 {
		publishers.Put(p)
	}
}

// Publish makes one publication, waits until it is as safe as is asked for, and appends the answer. It may write to
// body, which is to stay as it is then.
func (p *Publisher) Publish(h *Hub, dst, body []byte) ([]byte, error) {
	dst, receipt, err := p.Submit(h, dst, body)
	if errors.Is(err, ErrMany) {
		a, err := p.many(h)
		if err != nil {
			return dst, err
		}
		return append(dst, a.JSON()...), nil
	}
	if err == nil && receipt.Wait != nil {
		var at broker.Position
		if at, err = receipt.Settle(); err == nil && receipt.Position.Epoch == "" {
			dst = p.answer(dst, at)
		}
	}
	return dst, err
}

// Submit is publish that leaves the waiting for the ticket to the caller, and what is for several channels: ErrMany. Where only the
// receipt's Wait knows the position, nothing is appended.
func (p *Publisher) Submit(h *Hub, dst, body []byte) ([]byte, broker.Receipt, error) {
	receipt, err := p.submit(h, body, false)
	if err == nil && receipt.Position.Epoch != "" {
		dst = p.answer(dst, receipt.Position)
	}
	return dst, receipt, err
}

// answer appends the answer to a publication that stands at a position.
func (p *Publisher) answer(dst []byte, at broker.Position) []byte {
	if at.Epoch != p.epoch {
		p.epoch = at.Epoch
		p.head = append(append(append(p.head[:0], `{"position":{"epoch":"`...), at.Epoch...), `","seq":`...)
	}
	return append(strconv.AppendUint(append(dst, p.head...), at.Seq, 10), `}}`...)
}

// submit is Submit without the answer. oneLine says that the body has no line breaks.
func (p *Publisher) submit(h *Hub, body []byte, oneLine bool) (broker.Receipt, error) {
	c := &p.command
	var err error
	if oneLine {
		err = c.ParseLine(body)
	} else {
		err = c.Parse(body)
	}
	if err != nil {
		return broker.Receipt{}, err
	}
	if !p.Lenient && !c.Within(wire.Publication) {
		return broker.Receipt{}, jsonbody.Unknown(wire.Beyond(body, wire.Publication))
	}
	if h.Tracing != nil && c.Traceparent == "" {
		c.Traceparent = string(p.Traceparent)
	}
	if c.Channels != nil {
		return broker.Receipt{}, ErrMany
	}
	if p.ns == nil || c.Channel != p.channel {
		if !wire.ValidChannel(c.Channel) {
			return broker.Receipt{}, problem.BadChannel
		}
		if p.ns == nil || wire.Namespace(c.Channel) != wire.Namespace(p.channel) {
			p.ns = h.Namespaces.Of(c.Channel)
		}
		p.channel = c.Channel
	}
	if p.Durable != nil && (p.ns.Log.Durable || h.Elsewhere(c.Channel)) {
		if err := p.Durable(&p.publisher, c); err != nil {
			return broker.Receipt{}, err
		}
	}
	return h.Submit(&p.publisher, p.ns, c, "")
}

// NextLine cuts the first line of NDJSON that is not blank from body, and returns it with its number; nil if there is none. n is the number of the line
// before.
func NextLine(body *[]byte, n int) (line []byte, number int) {
	for rest := *body; len(rest) > 0; {
		n++
		if i := bytes.IndexByte(rest, '\n'); i >= 0 {
			line, rest = rest[:i], rest[i+1:]
		} else {
			line, rest = rest, nil
		}
		if len(line) > 0 && (line[0] == '{' || len(bytes.TrimSpace(line)) > 0) {
			*body = rest
			return line, n
		}
	}
	return nil, n
}

// Lines publishes NDJSON: each line is a publication of its own and gets a line of its own in answer, in
// order, whether it succeeded or not. Those that are to be safe on disk are waited for together. See Brief.
func (p *Publisher) Lines(h *Hub, body []byte) {
	out := p.Out
	var t tally
	oneLine := bytes.IndexByte(body, '\r') < 0 // then no line has a break in it
	for line, n := NextLine(&body, 0); line != nil; line, n = NextLine(&body, n) {
		receipt, err := p.submit(h, line, oneLine)
		switch {
		case errors.Is(err, ErrMany):
			out = p.manyLine(h, out, n, &t)
			continue
		case err != nil:
			out = AppendLineFault(out, n, err)
			continue
		case receipt.Wait != nil:
			p.waits = append(p.waits, lineWait{n, len(out), receipt})
		default:
			t.accept(n, receipt.Position)
		}
		switch {
		case p.Brief:
		case receipt.Position.Epoch == "": // settle puts the answer in
			out = append(out, '\n')
		default:
			out = append(p.answer(out, receipt.Position), '\n')
		}
	}
	out = p.settle(out, &t)
	if p.Brief {
		out = t.append(out)
	}
	p.Out = out
}

// manyLine publishes the line that p.command holds, which is for several channels, and appends the answer. In a brief one
// it stands if one of them failed.
func (p *Publisher) manyLine(h *Hub, out []byte, line int, t *tally) []byte {
	answers, err := p.many(h)
	switch {
	case err != nil:
		return AppendLineFault(out, line, err)
	case !p.Brief:
		return append(append(out, answers.JSON()...), '\n')
	case answers.failed == 0:
		t.accept(line, broker.Position{})
		return out
	}
	out = append(out, bytes.TrimSuffix(answers.JSON(), []byte("}"))...)
	return append(strconv.AppendInt(append(out, `,"line":`...), int64(line), 10), "}\n"...)
}

// many makes the publication that p.command holds in each of its channels, one after the other, waits until all of
// that is as safe as is asked for, and returns the answer.
func (p *Publisher) many(h *Hub) (*Answers, error) {
	c := &p.command
	var channels []string
	err := wire.Elements(c.Channels, func(v []byte) error {
		name, err := wire.Text(v)
		if err == nil {
			channels = append(channels, name)
		}
		return err
	})
	switch {
	case err != nil:
		return nil, problem.BadField.With("channels must be a list of names")
	case c.Channel != "":
		return nil, problem.BadField.With("either channel or channels is required, not both")
	}
	if err := CheckMany("channels", channels); err != nil {
		return nil, err
	}
	tickets, failed := make([]broker.Receipt, len(channels)), make([]error, len(channels))
	for i, channel := range channels {
		if !wire.ValidChannel(channel) {
			failed[i] = problem.BadChannel
			continue
		}
		c.Channel = channel
		tickets[i], failed[i] = h.Submit(&p.publisher, h.Namespaces.Of(channel), c, "")
	}
	p.channel, p.ns = "", nil
	a := NewAnswers("channel")
	for i, t := range tickets {
		if failed[i] == nil {
			t.Position, failed[i] = t.Settle()
		}
		var members []byte
		if failed[i] == nil {
			members = wire.AppendPosition([]byte(`"position":`), t.Position.Epoch, t.Position.Seq)
		}
		a.Add(channels[i], members, failed[i])
	}
	return a, nil
}

// Lowercase is name in lower case, in dst; nothing if it does not fit.
func Lowercase(dst, name []byte) []byte {
	if len(name) > len(dst) {
		return nil
	}
	for i, c := range name {
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		dst[i] = c
	}
	return dst[:len(name)]
}
