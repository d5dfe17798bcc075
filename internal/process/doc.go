// Package process reads what the operating system knows of this process: the processor time it has used and how many files
// it may open. Each function has a file for each family of systems, and says so where a system does not know.
package process
