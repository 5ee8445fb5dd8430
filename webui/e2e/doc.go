// Package e2e tests the console in a real Chromium, and STOMP over WebSocket from a page in it. It is a module of its own, so
// that what drives the browser is no dependency of the broker.
//
// The tests need Chromium as chromium, chromium-browser, google-chrome or what the
// environment's CHROMIUM names, and fail without it. With SCREENSHOTS set to a
// folder they leave pictures of the pages there.
package e2e
