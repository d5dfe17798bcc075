package notify

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"weir/internal/retry"
	"weir/internal/safedial"
)

// verdict is what an answer means for the device.
type verdict int

const (
	delivered verdict = iota
	failed            // to be tried again
	refused           // this notification is not wanted: trying again changes nothing
	gone              // the device is no more
	alarming          // the service does not accept us: the operator's concern, not the device's
	verdicts          // how many there are
)

var verdictNames = [verdicts]string{delivered: "delivered", failed: "failed", refused: "refused", gone: "gone", alarming: "alarming"}

// outcome is what came of an attempt.
type outcome struct {
	verdict verdict
	wait    time.Duration // that the receiver has asked for; 0: none
	problem string        // without addresses and tokens, for logs
	silent  bool          // no answer at all: the host may be down
}

// sender reaches devices of a kind. Its methods may be called concurrently.
type sender interface {
	// send makes one attempt, which ctx bounds. It keeps nothing of its arguments and changes none.
	send(ctx context.Context, d *device, n *notification) outcome
}

// mostAnswer bounds what is read of an answer.
const mostAnswer = 16 << 10

// answer reads a response to its end, or as much of it as is wanted, and closes it.
func answer(resp *http.Response) []byte {
	defer func() { _ = resp.Body.Close() }()
	b, _ := io.ReadAll(io.LimitReader(resp.Body, mostAnswer))
	return b
}

// silence is the outcome of an exchange without an answer.
func silence(err error) outcome {
	o := outcome{verdict: failed, silent: true, problem: safedial.Problem(err)}
	switch {
	case errors.Is(err, context.Canceled):
		o.silent = false
	case errors.Is(err, safedial.ErrAddress), errors.Is(err, safedial.ErrScheme), errors.Is(err, safedial.ErrRedirect):
		o.verdict, o.silent = refused, false
	}
	return o
}

// judge says what a status means that has the same meaning everywhere. Others are refused.
func judge(resp *http.Response, now time.Time) outcome {
	o := outcome{verdict: refused, problem: "it answered " + strconv.Itoa(resp.StatusCode)}
	switch code := resp.StatusCode; {
	case code >= 200 && code < 300:
		o = outcome{verdict: delivered}
	case code == http.StatusRequestTimeout, code == http.StatusTooEarly, code == http.StatusTooManyRequests, code >= 500:
		o.verdict = failed
		o.wait = retry.After(resp.Header, now)
	}
	return o
}
