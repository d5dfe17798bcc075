package webhook

import (
	"crypto/sha256"
	"encoding/hex"
)

// maxBody bounds the bytes of a request with several events. One event may be larger.
const maxBody = 256 << 10

// pack makes one body of several events, and an id for exactly these: a receiver that knows the id has seen all of them.
func pack(list []*event) (id string, body []byte) {
	sum := sha256.New()
	body = append(body, '[')
	for i, e := range list {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(body, e.body...)
		sum.Write([]byte(e.id))
	}
	return "msg_" + hex.EncodeToString(sum.Sum(nil)[:16]), append(body, ']')
}
