package hooks

import (
	"cmp"
	"encoding/json"
	"errors"
	"net/http"

	"weir/relay/auth"
	"weir/relay/hub"
	"weir/relay/problem"
	"weir/relay/systems/internal/post"
)

// call is a question of a client.
type call struct {
	Method string          `json:"method"`
	Data   json.RawMessage `json:"data,omitempty"`
	client
}

// Call implements native.Caller. The body of a 2xx is the result. A 4xx is an error, whose code and message the client gets.
func (s *System) Call(id *auth.Identity, connection, method string, data []byte) (result []byte, err error) {
	h := s.hooks[askCall]
	err = s.ask(h, call{method, data, clientOf(id, connection)}, nil, func(r *post.Response) (err error) {
		switch {
		case r.Status == http.StatusNoContent || r.Status/100 == 2 && len(r.Body) == 0:
			return nil
		case r.Status/100 == 2:
			result, err = oneLine("the result", r.Body, maxAnswer)
			return err
		case r.Status/100 == 4:
			return refused(r)
		}
		return unexpected(r, "2xx or 4xx")
	})
	var no *refusal
	switch {
	case errors.As(err, &no):
		h.counts.outcomes[outcomeRefused].Inc()
		return nil, problem.New(no.status, cmp.Or(no.code, refusals[no.status], "refused"), cmp.Or(no.reason, "the backend refuses this call"), false)
	case err != nil:
		return nil, hub.ErrUnavailable
	}
	h.counts.outcomes[outcomeAllowed].Inc()
	if result == nil {
		return []byte("null"), nil
	}
	return result, nil
}

// refusals are the codes of refusals for which the backend has said none.
var refusals = map[int]string{
	http.StatusBadRequest: "bad_request", http.StatusUnauthorized: "unauthorized", http.StatusForbidden: "forbidden",
	http.StatusNotFound: "not_found", http.StatusConflict: "conflict", http.StatusUnprocessableEntity: "invalid",
}
