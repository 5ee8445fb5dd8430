// Package admin is the broker's console and its JSON API over HTTP: login,
// sessions, roles, pages and /api/v1. It knows the broker and nothing of
// configuration or of where its templates come from.
//
// # Who may do what
//
// Every route names one permission and every role has a set of them (access.go).
// Pages take a session that a login made, the API takes a session or HTTP Basic.
// A route without a permission is public; there are few: the login, the assets,
// the theme, /healthz and /readyz.
//
// # Promises
//
//  1. No GET changes anything, but that of /api/message, which receives as ActiveMQ's does;
//     a change comes from the same origin, or is refused.
//  2. What a name or a message holds never becomes markup or script: pages are
//     made by html/template, and the content security policy allows no inline code.
//  3. Sessions live on the server, are renewed at login, end by logout, by time
//     without a page being asked for, and by age. What a page's script asks for in
//     the background does not count.
//  4. Bodies of messages are shown to those who may see them only.
//  5. Each change leaves one line in the audit log: who, what, from where, result.
package admin
