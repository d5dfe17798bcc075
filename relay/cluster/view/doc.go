// Package view is what a cluster is seen as: by people, by programs that look after it, and by those that measure it.
package view
