// Package web holds the files that the relay serves: the page for trying it out, the client for browsers, the demos,
// the dashboard and the OpenAPI document. They are embedded in the binary, and do not change. Other packages serve them and say to whom.
package web
