package calls

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"

	"weir/internal/contain"
	"weir/relay/cluster/link"
	"weir/relay/problem"
)

// Handler answers a call of another process. It may block. It may keep the body.
type Handler func(body []byte) ([]byte, error)

// Workers work calls off, each in a goroutine that ends with its call. Work may be called concurrently.
type Workers struct {
	Handlers map[string]Handler // by kind; not changed after the first call
	hook     contain.Hook
	done     *sync.WaitGroup // of the goroutines

	slots chan struct{} // one for each call that is worked on
}

// New returns workers for so many calls at a time that know no kind yet.
func New(most int, hook contain.Hook, done *sync.WaitGroup) *Workers {
	return &Workers{Handlers: make(map[string]Handler), hook: hook, done: done, slots: make(chan struct{}, most)}
}

// Work has the call that a record holds worked on, and answer called with what comes of it, at once if it is of an unknown kind or there is no slot. Before its
// handler await is called with the key that the call is for, "" for none; its error is the answer.
func (w *Workers) Work(r *link.Reader, await func(key string) error, answer func(body []byte, err error)) {
	kind, body, key := r.Text(), bytes.Clone(r.Bytes()), ""
	if len(r.Rest) > 0 { // versions before this do not say whose it is
		key = strings.Clone(r.Text())
	}
	h := w.Handlers[kind]
	switch {
	case r.Err != nil:
		return
	case h == nil:
		answer(nil, fmt.Errorf("unknown call %q: run the same version of weir on all nodes", kind))
		return
	}
	select {
	case w.slots <- struct{}{}:
	default:
		answer(nil, problem.Overloaded)
		return
	}
	var out []byte
	err := errors.New("internal error") // of a panic
	w.hook.Go(w.done, "cluster call", func() {
		defer func() {
			<-w.slots
			answer(out, err)
		}()
		if away := await(key); away != nil {
			err = away
			return
		}
		out, err = h(body)
	}, nil)
}
