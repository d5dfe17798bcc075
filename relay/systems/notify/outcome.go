package notify

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"weir/internal/retry"
	"weir/internal/safedial"
	"weir/relay/systems/internal/post"
)

// verdict is what a response means for the device.
type verdict int

const (
	delivered verdict = iota
	failed            // to be tried again
	refused           // this notification is not accepted: trying again changes nothing
	gone              // the device does not exist any more
	alarming          // the service does not accept the relay's key: the operator has to act
	verdicts          // how many there are
)

var verdictNames = [verdicts]string{delivered: "delivered", failed: "failed", refused: "refused", gone: "gone", alarming: "alarming"}

// outcome is what has come of an attempt.
type outcome struct {
	verdict verdict
	wait    time.Duration // that the receiver has asked for; 0: none
	problem string        // without addresses and tokens, for logs
	silent  bool          // no response at all: the host may be down
}

// transport reaches devices of a kind. Its methods may be called concurrently.
type transport interface {
	// send makes one attempt, which ctx bounds. It keeps nothing of its arguments and changes none.
	send(ctx context.Context, d *device, n *notification) outcome
}

// maxAnswer bounds what is read of a response, in bytes.
const maxAnswer = 16 << 10

// silence is the outcome of an exchange without a response.
func silence(err error) outcome {
	o := outcome{verdict: failed, silent: true, problem: safedial.Problem(err)}
	switch {
	case errors.Is(err, context.Canceled):
		o.silent = false
	case errors.Is(err, safedial.ErrAddress), errors.Is(err, safedial.ErrScheme), errors.Is(err, safedial.ErrRedirect), errors.Is(err, post.ErrURL):
		o.verdict, o.silent = refused, false
	}
	return o
}

// judge returns the outcome of a status that means the same everywhere. Others are refused.
func judge(code int, header http.Header, now time.Time) outcome {
	o := outcome{verdict: refused, problem: "it returned status " + strconv.Itoa(code)}
	switch {
	case code >= 200 && code < 300:
		o = outcome{verdict: delivered}
	case code == http.StatusRequestTimeout, code == http.StatusTooEarly, code == http.StatusTooManyRequests, code >= 500:
		o.verdict = failed
		o.wait = retry.After(header, now)
	}
	return o
}
