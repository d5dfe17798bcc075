// Package jsonbody reads and writes the JSON bodies of requests.
//
// [Read] decodes strictly: one object, names as they are spelled, no member twice, none that is not known below /v1
// (unless the backend asks for leniency). What is wrong is named in an error of package problem. What is decoded shares
// no memory with the request. Nothing here has state.
package jsonbody
