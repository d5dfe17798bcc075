package doctor

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// mostPatterns is how many patterns of a token are named.
const mostPatterns = 8

// maxLeeway is how much longer than it says a token may count (auth.leeway).
const maxLeeway = time.Minute

// claims are what the token says, as anybody may read it. Whether that counts is what the relay says.
type claims struct {
	Expires  float64             `json:"exp"` // seconds since 1970
	Channels map[string][]string `json:"channels"`
}

// read reads the claims of a token; nothing is there if it is none.
func read(token string) (c claims) {
	if parts := strings.Split(token, "."); len(parts) == 3 {
		if b, err := base64.RawURLEncoding.DecodeString(parts[1]); err == nil {
			_ = json.Unmarshal(b, &c) // the relay has taken it: what is not understood here is not told
		}
	}
	return c
}

// String is what the token may do, for people.
func (c claims) String() string {
	if len(c.Channels) == 0 {
		return "it names no channels"
	}
	var list []string
	for _, pattern := range slices.Sorted(maps.Keys(c.Channels)) {
		if len(list) == mostPatterns {
			list = append(list, fmt.Sprintf("%d more", len(c.Channels)-mostPatterns))
			break
		}
		list = append(list, pattern+" ("+strings.Join(c.Channels[pattern], ", ")+")")
	}
	return "it names " + strings.Join(list, ", ")
}

// token checks what the token is good for.
func token(ctx context.Context, x *examination) Finding {
	if x.connected == nil {
		return skipped("no client was let in")
	}
	who := x.connected.UserID
	if who == "" {
		who = "an anonymous client"
	}
	text := "it stands for " + who
	left := time.Duration(x.connected.ExpiresIn) * time.Millisecond
	said := read(x.Relay.Token)
	if left > 0 {
		text += ", for " + left.Round(time.Second).String()
		// What the token says and what the relay makes of it tell the relay's own time, whatever clock the proxy has.
		off := time.Since(time.UnixMilli(int64(said.Expires * 1000)).Add(-left))
		if said.Expires > 0 && (off < -maxSkew || off > maxSkew+maxLeeway) {
			return failed(fmt.Sprintf("%s: the relay's clock differs from the clock here by about %s", text, off.Round(time.Second)), "set the clocks (NTP)")
		}
	}
	if x.Relay.Token != "" {
		text += "; " + said.String()
	}
	if x.Channel == "" {
		return ok(text + "; --channel NAME tries whether it may subscribe to one")
	}
	c, _, err := x.open(ctx)
	if err != nil {
		return failed(err.Error(), "")
	}
	defer c.Close()
	if _, err := x.subscribe(ctx, c, nil); err != nil {
		return failed(text+", and may not subscribe to "+x.Channel+": "+err.Error(), "name the channel, or a pattern of it, in the claim channels, or open its namespace (namespaces.*.subscribe)")
	}
	return ok(text + ", and it may subscribe to " + x.Channel)
}
