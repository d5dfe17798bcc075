// Package replay makes a load test of recorded traffic. A Recording is what weir record has kept of a relay: of each
// second how many were connected and how many of them were slow, and of each channel, which has no name but a hash,
// its subscribers, who joined, and the sizes of what was published. It knows neither data nor users.
package replay
