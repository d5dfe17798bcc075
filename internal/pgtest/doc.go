// Package pgtest runs a PostgreSQL server of its own for a test: one that may be killed. It is for Unix.
package pgtest
