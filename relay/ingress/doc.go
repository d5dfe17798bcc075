// Package ingress is the way into the relay: it accepts the connections of the public listener and serves what backends send
// most.
//
// [New] makes the [Gate] of a hub, [Gate.Start] opens it and [Gate.Stop] closes it. Behind the listener stands an acceptor with
// an event loop for each processor: a connection that has nothing to say costs neither a goroutine nor buffers, and
// publications in the one form that backends send are answered there. So are WebSocket handshakes at /ws, by the HTTP server's
// own parser and handler ([Gate.Handler]), unless something has to be waited for ([Elsewhere]). With the first request that is anything else a
// connection goes on, through a [Handoff], to the HTTP server, with every byte that has come of it, and stays there. With
// TLS, and on systems without epoll, the HTTP server takes all connections.
//
// # What it refuses
//
// Connections beyond the caps, before anything is read from them; requests that two HTTP implementations might read
// differently (package httpcheck); foreign origins; requests that take too long: what was taken up by then is answered, and what was not is
// not carried out, since the idle reaper and who serves a connection exchange its phase. [Gate.Refuse] and [Gate.Fail] alone write what a
// refusal looks like, and the log says at most once a second why credentials are refused.
//
// # Goroutines
//
// The acceptor, one goroutine for each event loop, and one ack waiter for each loop where there is a disk: it waits for what
// is to be safe before it is acknowledged. They end with Stop. The idle reaper and the certificate watch end with the
// context of Start.
//
// # Locks
//
// An event loop's mu guards its table of connections, an ack waiter's mu its lists, the reaper's mu the ring of those that
// speak HTTP, and the mu of the addresses their counts. All are leaves; nothing is sent, published or closed under them.
//
// # What happens when it is full
//
// Beyond the caps a connection gets 429 or 503 and is closed. A connection may wait for 64 publications or 16 KiB of
// answers, an event loop for 16 k of them; then nothing more is read until some are safe, and the kernel slows the sender
// down. What an event loop cannot hand to the HTTP server waits in the handoff's queue, which holds up that loop.
package ingress
