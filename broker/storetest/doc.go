// Package storetest holds stores of channels against a model of what they keep: see [Model].
package storetest
