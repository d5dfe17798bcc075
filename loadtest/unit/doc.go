// Package unit measures what one small write to a TCP socket costs on this machine: the price that a relay pays for each
// connection that it writes to. It differs several times over between machines, and by the hour on shared ones. As the unit
// of other costs it makes figures of different days comparable.
//
// Measure writes Bytes to each of Sockets connections over loopback in turn, round after round, while another thread reads
// them as a client does. What counts is the processor time of the writing thread, the kernel's part for the receiving socket
// and for waking its reader included, as it is for a relay; time that others take from it is not. The two threads run on
// processors of their own where the system allows it. The figure is the median of several short runs.
//
// Both threads are ended, and what they opened is closed, when Measure returns. It is for Linux; elsewhere it returns an
// error.
package unit
