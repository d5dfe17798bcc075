// Package relaytest starts relays for the tests of their systems, on loopback listeners, and drives them from
// outside: over HTTP and with a WebSocket client of others. Everything ends with the test.
package relaytest
