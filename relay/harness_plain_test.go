package relay

import "fmt"

// plainRequest is a publication with header lines of its own, each with its end.
func plainRequest(lines, body string) string {
	return fmt.Sprintf("POST /v1/publish HTTP/1.1\r\nHost: relay\r\nAuthorization: Bearer %s\r\n%sContent-Length: %d\r\n\r\n%s", apiKey, lines, len(body), body)
}
