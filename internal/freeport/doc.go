// Package freeport finds ports for processes that tests start.
package freeport
