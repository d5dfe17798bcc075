// Package collab is documents that several people edit at once.
package collab
