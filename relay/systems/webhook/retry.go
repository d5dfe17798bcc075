package webhook

import (
	"net/http"
	"time"
)

// The bounds of the pauses between two attempts at one event, which double.
const (
	firstBackoff   = time.Second
	longestBackoff = 5 * time.Minute
)

// verdict is what a response means for the event.
type verdict int

const (
	delivered verdict = iota
	failed            // to be tried again
	refused           // the receiver does not want this event
	gone              // the receiver wants no events at all
)

// judge returns what a status means.
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
