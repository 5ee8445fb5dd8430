// Package apifuzz lets schemathesis make requests of the API's description and look at
// what a real broker answers. See the Makefile's target api-fuzz.
package apifuzz
