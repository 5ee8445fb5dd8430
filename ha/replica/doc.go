// Package replica is the protocol by which the nodes of a group elect a master and
// agree on what is committed, as a pure state machine: [Core.Step] takes an [Event] and
// returns the [Action] values to carry out. It does no I/O, reads no clock, starts no
// goroutine, and the bytes of the log never pass through it, only positions.
//
// What it promises and why is in ha/DESIGN.md. A shell around it runs one goroutine
// that owns the Core, gives it events one at a time, calls Step with a Tick when
// [Core.Deadline] comes, and has three helpers: one for the log and meta, which works off
// actions in order and answers each; one for the coordination service, likewise; and
// one per link.
//
// What the shell owes:
//
//   - Answers of the log come in the order of the actions. A follower's AppendData refers
//     to the bytes of the Data frame that was given in the same Step.
//   - Fence, TruncateLog and Lead take effect after what was given before. Fence, and
//     StopServing, stop the broker's own appends at once.
//   - On the master it reports each write with Appended before it streams it, and each
//     sync with Synced.
//   - After Commit it brings the index up to min(Commit, synced), at once while the node is not
//     serving, later in batches, and says Applied when that is durable.
//   - Views of one session never go back in time. The node's own mark is read after a sync with
//     the service. After Suspended comes a view as soon as a server is heard again.
//   - Change, Reclaim and Publish are answered once; what is not certain is Unknown.
//   - When the log has no room it keeps trying and says DiskSpace{Full: false} when there is some.
//   - A start after an unclean end under another boot of the machine sets Meta.Suspect when
//     [SyncMode.Volatile]. After a failed sync it notes Meta.Suspect itself if no mark could be left.
//   - It closes a link whose frames fail their checksum, their limits or the handshake.
package replica
