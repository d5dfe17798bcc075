// Package process reads what the operating system knows of this process: the processor time it has used and how many files
// it may open. Each function has a file for each family of systems, and its comment states what is not known there.
package process
