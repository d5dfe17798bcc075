package pusher

import "testing"

// FuzzEvents hands what backends send to its reader: no panic, and each event has a channel and its data as a string.
func FuzzEvents(f *testing.F) {
	f.Add([]byte(`{"name":"n","channels":["a"],"data":1}`))
	f.Add([]byte(`{"event":"e","data":{"a":1}}`))
	f.Add([]byte(`{"name":"n","channel":"a","data":"x","socket_id":"1.2","info":"user_count"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		a := new(app)
		a.settings.Store(&settings{App: App{Limit: Limit{Payload: 1 << 30, Channels: 10}}})
		c := &call{app: a}
		if err := c.readEvent(data); err == nil && (len(c.channels) == 0 || c.events[0].data[0] != '"') {
			t.Fatalf("%s is no event", data)
		}
	})
}
