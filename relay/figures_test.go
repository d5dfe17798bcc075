package relay

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"testing"
)

// recorded is what the dashboard is told of figures.
type recorded struct {
	From   int64
	Series map[string][]*float64
}

// The dashboard's figures need no system, and looking at them is not counted.
func TestFiguresWithoutSystems(t *testing.T) {
	t.Parallel()
	g := open(t)
	c := g.client("u1")
	c.subscribe("room:1", "")
	var delivered, published float64
	last := int64(0)
	for delivered == 0 { // until a second is over
		g.publish(`{"channel":"room:1","data":1}`)
		c.hear()
		published++
		resp, err := http.Get("http://" + g.admin + "/figures?after=" + strconv.FormatInt(last, 10))
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		var x struct {
			recorded
			Relay struct {
				Version, Revision, Data string
				Started, Now            int64
				Systems                 []string
			}
		}
		if err := json.Unmarshal(b, &x); err != nil || x.Relay.Started == 0 || x.Relay.Now < x.Relay.Started || len(x.Relay.Systems) != 0 || x.Relay.Version == "" {
			t.Fatalf("%v: %s", err, b)
		}
		for i, v := range x.Series["delivered"] {
			delivered += *v
			last = x.From + int64(i)
		}
	}
	if delivered > published {
		t.Errorf("delivered %v", delivered)
	}
}
