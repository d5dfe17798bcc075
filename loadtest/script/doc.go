// Package script has users work off the steps of a scenario's script: each user is a goroutine with a connection of its
// own, which reads while it waits and sleeps, and one over which it publishes where that is HTTP.
//
// Crew starts the users and bounds them; a user ends with its run, at a failure or when the Crew is stopped, and none
// outlives Wait. What they have seen is added to the Crew under its mutex, once a step and once a delivery.
package script
