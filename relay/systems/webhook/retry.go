package webhook

import (
	"net/http"
	"time"
)

// Of two attempts at one event, the later waits up to twice as long as the one before.
const (
	firstBackoff   = time.Second
	longestBackoff = 5 * time.Minute
)

// verdict is what an answer means for the event.
type verdict int

const (
	delivered verdict = iota
	failed            // to be tried again
	refused           // the event is what the receiver does not want: trying again changes nothing
	gone              // the receiver wants no events at all
)

// judge says what a status means.
func judge(status int) verdict {
	switch {
	case status >= 200 && status < 300:
		return delivered
	case status == http.StatusGone:
		return gone
	case status == http.StatusBadRequest, status == http.StatusRequestEntityTooLarge,
		status == http.StatusUnsupportedMediaType, status == http.StatusUnprocessableEntity:
		return refused
	}
	return failed
}
