// Package faults breaks the real binary on purpose and lets the checker of the load tester judge what its
// clients and backends were told: kills, restarts, stalled readers, exhausted descriptors and memory, full
// disks, networks that swallow packets, herds. `make faults` runs all of it, FAULTS_SHORT=1 a short form.
//
// The tests have the build tag faults. FAULTS_BINARY names the binary. They run one after the other: each loads
// the machine. Some need root, for a network namespace or a small file system, and say so if they are not.
package faults
