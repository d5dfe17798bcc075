package relay

import "net/http"

// adminRoute is a system's route of the admin listener.
type adminRoute struct {
	pattern string
	handler http.Handler
}
