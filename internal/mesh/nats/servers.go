package nats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	client "github.com/nats-io/nats.go"
)

// Server is what a server says of how it keeps what it has taken.
type Server struct {
	Name     string
	Off      bool          // it keeps nothing: JetStream is off
	Always   bool          // on disk before it is acknowledged
	Interval time.Duration // otherwise: after that at the latest
}

// ErrNoSystem is why servers say nothing of themselves.
var ErrNoSystem = errors.New("no response: expected a user of their system account")

// othersLimit is how long after an answer another one is waited for.
const othersLimit = time.Second

// Servers asks all servers of a cluster of servers, as a user of their system account. Errors: ErrNoSystem; they are not reached.
func Servers(ctx context.Context, c Config) (list []Server, err error) {
	secured, err := c.secured()
	if err != nil {
		return nil, err
	}
	conn, err := client.Connect(strings.Join(c.Servers, ","), append(secured, client.Name("weir cluster check"), client.Timeout(patience))...)
	if err != nil {
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	defer conn.Close()
	inbox := conn.NewInbox()
	answers, err := conn.SubscribeSync(inbox)
	if err == nil {
		err = conn.PublishRequest("$SYS.REQ.SERVER.PING.JSZ", inbox, nil)
	}
	if err != nil {
		return nil, fmt.Errorf("ask the NATS servers: %w", err)
	}
	for {
		within, cancel := context.WithTimeout(ctx, othersLimit)
		m, err := answers.NextMsgWithContext(within)
		cancel()
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil && len(list) > 0: // these were all
			return list, nil
		case err != nil, len(m.Data) == 0: // nobody is there who hears it
			return nil, ErrNoSystem
		}
		var said struct {
			Server struct{ Name string }
			Data   struct {
				Disabled bool
				Config   struct {
					Always   bool          `json:"sync_always"`
					Interval time.Duration `json:"sync_interval"`
				}
			}
		}
		if err := json.Unmarshal(m.Data, &said); err != nil {
			return nil, fmt.Errorf("response of a NATS server: %w", err)
		}
		list = append(list, Server{Name: said.Server.Name, Off: said.Data.Disabled, Always: said.Data.Config.Always, Interval: said.Data.Config.Interval})
	}
}
