package nats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	client "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"weir/internal/mesh"
)

// stream is a stream of JetStream. What it has is asked of its leader alone, which says nothing before it has all that was acknowledged: others lag behind, for half a minute after they
// were stopped. A leader that was replaced and does not know it lags as well, and while there is none anybody answers who is asked what a stream is like.
type stream struct {
	node   *node
	name   string
	config jetstream.StreamConfig
}

const (
	expectedLast       = "Nats-Expected-Last-Sequence"
	expectedLastOfKey  = "Nats-Expected-Last-Subject-Sequence"
	expectedKey        = "Nats-Expected-Last-Subject-Sequence-Subject"
	batchID            = "Nats-Batch-Id"
	batchSequence      = "Nats-Batch-Sequence"
	batchCommit        = "Nats-Batch-Commit"
	codeStore          = 10077 // storing failed; the text says why
	codeResources      = 10023
	codeStorage        = 10047
	codeWrongLastOfKey = 10164
	overhead           = 4 << 10 // of a message that a server takes: subject and headers
)

func (n *node) stream(suffix string, subjects string, c jetstream.StreamConfig) *stream {
	c.Name = "WEIR_" + n.config.Name + "_" + suffix
	c.Subjects = []string{subjects}
	c.Storage, c.Replicas, c.Discard = jetstream.FileStorage, n.config.Replicas, jetstream.DiscardNew
	return &stream{node: n, name: c.Name, config: c}
}

// Make implements mesh.Log and mesh.Shelf.
func (s *stream) Make(ctx context.Context) error {
	if !s.node.conn.IsConnected() {
		return mesh.ErrAway
	}
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	_, err := s.node.js.CreateStream(ctx, s.config)
	if err != nil && !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		return fmt.Errorf("make the stream %s: %w", s.name, err)
	}
	return nil
}

// ask makes a request of the servers about the stream, once.
func (s *stream) ask(ctx context.Context, what string, request, answer any) error {
	if !s.node.conn.IsConnected() {
		return mesh.ErrAway
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	b, err := json.Marshal(request)
	if err != nil {
		return err
	}
	r, err := s.node.conn.RequestWithContext(ctx, "$JS.API.STREAM."+what+"."+s.name, b)
	if err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	var said struct{ Error *jetstream.APIError }
	if err := json.Unmarshal(r.Data, &said); err != nil {
		return fmt.Errorf("%s: response of the server: %w", s.name, err)
	}
	switch {
	case said.Error == nil:
		return json.Unmarshal(r.Data, answer)
	case said.Error.ErrorCode == jetstream.JSErrCodeStreamNotFound:
		return fmt.Errorf("%s: %w", s.name, mesh.ErrAbsent)
	case said.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound:
		return jetstream.ErrMsgNotFound
	}
	return fmt.Errorf("%s: %w", s.name, said.Error)
}

// bounds returns what the servers say to be the first message and the last. It may lag behind.
func (s *stream) bounds(ctx context.Context) (first, last uint64, err error) {
	var info struct {
		State struct {
			First uint64 `json:"first_seq"`
			Last  uint64 `json:"last_seq"`
		} `json:"state"`
	}
	if err := s.ask(ctx, "INFO", struct{}{}, &info); err != nil {
		return 0, 0, err
	}
	return max(info.State.First, 1), info.State.Last, nil
}

// wanted is a message that is asked for: by its number, the last one of a subject, or the first one from a number on of subjects.
type wanted struct {
	Number  uint64 `json:"seq,omitempty"`
	Subject string `json:"last_by_subj,omitempty"`
	Next    string `json:"next_by_subj,omitempty"`
}

// stored is a message that is there.
type stored struct {
	Subject string    `json:"subject"`
	Number  uint64    `json:"seq"`
	Time    time.Time `json:"time"`
	Data    []byte    `json:"data"`
}

// message asks the leader for a message. Error: jetstream.ErrMsgNotFound.
func (s *stream) message(ctx context.Context, w wanted) (*stored, error) {
	var got struct{ Message *stored }
	if err := s.ask(ctx, "MSG.GET", w, &got); err != nil {
		return nil, err
	}
	if got.Message == nil {
		return nil, fmt.Errorf("%s: the server returned no message", s.name)
	}
	return got.Message, nil
}

func (s *stream) purge(ctx context.Context, subject string, before uint64) error {
	var done struct{ Success bool }
	if err := s.ask(ctx, "PURGE", map[string]any{"filter": subject, "seq": before}, &done); err != nil {
		return fmt.Errorf("purge: %w", err)
	}
	if !done.Success {
		return fmt.Errorf("purge %s: the NATS server did not purge it", s.name)
	}
	return nil
}

// ack is what a stream says to a message.
type ack struct {
	Error *jetstream.APIError `json:"error"`
	Seq   uint64              `json:"seq"`
}

// publish has the stream take a message, once: a client that tried again by itself would hide what is not known.
func (s *stream) publish(ctx context.Context, m *client.Msg) (ack, error) {
	if !s.node.conn.IsConnected() {
		return ack{}, mesh.ErrAway
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r, err := s.node.conn.RequestMsgWithContext(ctx, m)
	if err != nil {
		return ack{}, fmt.Errorf("%s: %w", s.name, err)
	}
	var a ack
	if len(r.Data) == 0 { // of a batch that goes on
		return a, nil
	}
	if err := json.Unmarshal(r.Data, &a); err != nil {
		return ack{}, fmt.Errorf("%s: response of the server: %w", s.name, err)
	}
	if a.Error == nil {
		return a, nil
	}
	switch text := a.Error.Description; a.Error.ErrorCode {
	case jetstream.JSErrCodeStreamWrongLastSequence, codeWrongLastOfKey:
		a.Seq, _ = strconv.ParseUint(text[strings.LastIndexByte(text, ' ')+1:], 10, 64)
		return a, mesh.ErrConflict
	case codeResources, codeStorage:
		return ack{}, fmt.Errorf("%s: %w: %s", s.name, mesh.ErrFull, text)
	case codeStore:
		if strings.Contains(text, "maximum") {
			return ack{}, fmt.Errorf("%s: %w: %s", s.name, mesh.ErrFull, text)
		}
	}
	return ack{}, fmt.Errorf("%s: %w", s.name, a.Error)
}

// Limit implements mesh.Log and mesh.Shelf.
func (s *stream) Limit() int { return int(s.node.conn.MaxPayload()) - overhead }
