package notify

import (
	"context"
	"net/http"
	"time"

	"weir/internal/sign"
	"weir/relay/systems/internal/encode"
	"weir/relay/systems/internal/post"
)

// hook POSTs notifications to addresses of users, signed with the secret that the response to their registration had.
type hook struct {
	client *http.Client
}

// envelope is the body, as the Standard Webhooks specification has it.
type envelope struct {
	ID        string   `json:"id"`
	Type      string   `json:"type"`
	Timestamp string   `json:"timestamp"`
	Data      *payload `json:"data"`
}

func (h *hook) send(ctx context.Context, d *device, n *notification) outcome {
	body := encode.Line(&envelope{n.ID, "notification", moment(n.Timestamp), n.payload()})
	key, err := sign.ParseSecret(d.Secret)
	if err != nil {
		return outcome{verdict: refused, problem: "secret is not valid"}
	}
	now := time.Now()
	resp, err := post.Send(ctx, h.client, d.URL, post.Signed([][]byte{key}, n.ID, now, body), body, maxAnswer)
	if resp == nil {
		return silence(err)
	}
	o := judge(resp.Status, resp.Header, now)
	if resp.Status == http.StatusNotFound || resp.Status == http.StatusGone {
		o.verdict = gone
	}
	return o
}
