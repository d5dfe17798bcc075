package notify

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
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
	body := encode(&envelope{n.ID, "notification", moment(n.Timestamp), &payload{n.ID, n.Title, n.Body, n.Data, n.Priority, n.Tag, n.Timestamp, false}})
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.URL, bytes.NewReader(body))
	if err != nil {
		return outcome{verdict: refused, problem: "url is not an address"}
	}
	now := time.Now()
	signature, err := sign(d.Secret, n.ID, now, body)
	if err != nil {
		return outcome{verdict: refused, problem: "secret is not valid"}
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "weir")
	req.Header.Set(standardwebhooks.HeaderWebhookID, n.ID)
	req.Header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(now.Unix(), 10))
	req.Header.Set(standardwebhooks.HeaderWebhookSignature, signature)
	resp, err := h.client.Do(req)
	if err != nil {
		return silence(err)
	}
	_ = readAnswer(resp)
	switch resp.StatusCode {
	case http.StatusNotFound, http.StatusGone:
		return outcome{verdict: gone, problem: fmt.Sprint("it answered ", resp.StatusCode)}
	}
	return judge(resp, now)
}

func sign(secret, id string, now time.Time, body []byte) (string, error) {
	w, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		return "", err
	}
	return w.Sign(id, now, body)
}
