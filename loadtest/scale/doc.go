// Package scale works out what a machine should do with weir, from what was measured on one core: Costs are
// the measured figures, Machine.Limit says how far a Load can grow before processor, memory or network card
// end it, and Storm plays through what happens when everybody reconnects at once. Write prints the tables of
// docs/scale.md; a test keeps that page equal to what it prints, and its -update flag writes them anew.
//
// It refuses nothing and checks nothing: it is arithmetic for that page, and all of it is test code. There is no
// I/O, no clock and no goroutine in it; its random numbers are the same every time.
package scale
