// Package record is what a load test leaves behind: raw results, before anything is concluded from
// them. Reports are pure functions of a Record, so that a run can be judged again, compared and plotted
// without repeating it. A Record is plain data without locks; a Meter fills histograms and belongs to
// the one loop that records into it.
//
// The file form is gzipped JSON, one object a line: the header first, then a line for each interval,
// connection and stream, then the end. A file that was cut off is refused, and so is one of
// a later version.
package record
