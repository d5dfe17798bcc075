// Package handover is what goes from the owner of a partition to the next one: its channels, in pieces, and what has come of them.
package handover
