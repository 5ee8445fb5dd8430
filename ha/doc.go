// Package ha makes a member of a replicated group: it runs the protocol of
// ha/replica against a real store, real connections and a coordination service.
//
// [New] opens the member's store and its replication port, [Node.Run] takes part in the
// group until its context ends. While the member is master it holds a *local.Store that a
// [Service] serves to clients; while it follows, its store is a copy that nobody else uses.
//
// The goroutines: one owns the core and never waits for anything else (node.go); one
// works on the store (journal.go), one applies what is committed (apply.go), one talks with the
// coordination service (session.go), two serve each link (link.go). DESIGN.md tells why.
package ha
