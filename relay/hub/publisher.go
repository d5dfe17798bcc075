package hub

import (
	"bytes"
	"errors"
	"slices"
	"strconv"
	"sync"

	"weir/broker"
	"weir/internal/wire"
	"weir/relay/jsonbody"
	"weir/relay/problem"
)

// Publication says whether a Content-Type is that of one publication a line, and whether it is that of
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
	Lenient   bool // members that are not known are passed over

	// Asked before what belongs to a durable channel is published; an error keeps it from that. nil: nobody.
	Durable func(publisher *broker.Publisher, c *wire.Command) error
}

// lineWait is a line that is not safe yet.
type lineWait struct {
	line int
	at   int // where its answer begins
	wait func() (broker.Position, error)
}

func appendLineFault(dst []byte, line int, err error) []byte {
	dst = problem.Of(err).AppendBody(append(dst, '{'))
	return append(strconv.AppendInt(append(dst, `,"line":`...), int64(line), 10), "}\n"...)
}

// settle waits for the lines that are not safe yet, and puts errors in the place of the answers to those that do
// not get there.
func (p *Publisher) settle(out []byte) []byte {
	var settled []byte // of out up to from
	from := 0
	for _, w := range p.waits {
		if _, err := w.wait(); err != nil {
			settled = appendLineFault(append(settled, out[from:w.at]...), w.line, err)
			from = w.at + bytes.IndexByte(out[w.at:], '\n') + 1
		}
	}
	clear(p.waits)
	p.waits = p.waits[:0]
	if from == 0 {
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
		return p.many(h, dst)
	}
	if err == nil && receipt.Wait != nil {
		_, err = receipt.Wait()
	}
	return dst, err
}

// Submit is publish that leaves the waiting for the ticket to the caller, and what is for several channels: ErrMany.
func (p *Publisher) Submit(h *Hub, dst, body []byte) ([]byte, broker.Receipt, error) {
	c := &p.command
	if err := c.Parse(body); err != nil {
		return dst, broker.Receipt{}, err
	}
	if !p.Lenient && !c.Within(wire.Publication) {
		return dst, broker.Receipt{}, jsonbody.Unknown(wire.Beyond(body, wire.Publication))
	}
	if c.Channels != nil {
		return dst, broker.Receipt{}, ErrMany
	}
	if p.ns == nil || c.Channel != p.channel {
		if !wire.ValidChannel(c.Channel) {
			return dst, broker.Receipt{}, problem.BadChannel
		}
		p.channel, p.ns = c.Channel, h.Namespaces.Of(c.Channel)
	}
	if p.Durable != nil && p.ns.Log.Durable {
		if err := p.Durable(&p.publisher, c); err != nil {
			return dst, broker.Receipt{}, err
		}
	}
	receipt, err := h.Submit(&p.publisher, p.ns, c, "")
	if err != nil {
		return dst, broker.Receipt{}, err
	}
	at := receipt.Position
	if at.Epoch != p.epoch {
		p.epoch = at.Epoch
		p.head = append(append(append(p.head[:0], `{"position":{"epoch":"`...), at.Epoch...), `","seq":`...)
	}
	return append(strconv.AppendUint(append(dst, p.head...), at.Seq, 10), `}}`...), receipt, nil
}

// Lines publishes NDJSON: each line is a publication of its own and gets a line of its own in answer, in
// order, whether it succeeded or not. Those that are to be safe on disk are waited for together.
func (p *Publisher) Lines(h *Hub, body []byte) {
	out := p.Out
	for n := 1; len(body) > 0; n++ {
		var line []byte
		if i := bytes.IndexByte(body, '\n'); i >= 0 {
			line, body = body[:i], body[i+1:]
		} else {
			line, body = body, nil
		}
		if len(line) == 0 || line[0] != '{' && len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		answered, receipt, err := p.Submit(h, out, line)
		if errors.Is(err, ErrMany) {
			answered, err = p.many(h, out)
		}
		if err != nil {
			out = appendLineFault(out, n, err)
		} else {
			if receipt.Wait != nil {
				p.waits = append(p.waits, lineWait{n, len(out), receipt.Wait})
			}
			out = append(answered, '\n')
		}
	}
	out = p.settle(out)
	p.Out = out
}

// many makes the publication that p.command holds in each of its channels, one after the other, waits until all of
// that is as safe as is asked for, and appends the answer.
func (p *Publisher) many(h *Hub, dst []byte) ([]byte, error) {
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
		return dst, problem.BadField.With("channels must be a list of names")
	case c.Channel != "":
		return dst, problem.BadField.With("either channel or channels is needed, not both")
	}
	if err := CheckMany("channels", channels); err != nil {
		return dst, err
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
		if failed[i] == nil && t.Wait != nil {
			t.Position, failed[i] = t.Wait()
		}
		var members []byte
		if failed[i] == nil {
			members = wire.AppendPosition([]byte(`"position":`), t.Position.Epoch, t.Position.Seq)
		}
		a.Add(channels[i], members, failed[i])
	}
	return slices.Concat(dst, a.JSON()), nil
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
