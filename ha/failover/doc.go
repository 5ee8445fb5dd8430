// Package failover is a STOMP 1.1/1.2 client that survives the loss of its
// broker. It takes ActiveMQ's failover: addresses and options, connects to one
// broker of the list, and when that connection ends it connects to the next by
// itself: subscriptions are resumed, messages the broker has not confirmed are
// sent again in their old order, and the program hears of it through
// [Options.OnInterrupted] and [Options.OnResumed].
//
//	u, err := failover.ParseURL("failover:(tcp://a:61613,tcp://b:61613)?initialReconnectDelay=100")
//	c, err := failover.Dial(ctx, u, failover.Options{Login: "app", Passcode: "..."})
//	err = c.Send(ctx, "/queue/orders", "text/plain", []byte("hello"))
//
// # What is promised
//
//   - [Conn.Send] returns nil only after the broker's RECEIPT. A message
//     without RECEIPT is sent again after a reconnect, with the same headers and
//     before anything newer; a message with RECEIPT is never sent again.
//   - A message whose RECEIPT was lost may therefore be stored twice. With
//     [Options.DedupID] every message carries an x-dedup-id header (unless the
//     program set its own) by which the broker recognises the second one and
//     leaves it out.
//   - What was received in ack mode client or client-individual and not
//     acknowledged when the connection ended comes again. Such messages still
//     buffered here are thrown away, and acknowledging one already handed to
//     the program gives [ErrStale] without touching the new connection.
//   - A transaction ends with its connection: [Tx.Commit] then gives
//     [ErrInterrupted] (nothing was done, repeat it) or [ErrInDoubt] (COMMIT
//     was written, its RECEIPT was not seen).
//   - A broker's ERROR that names a receipt fails that operation and it is not
//     repeated, unless its x-code says that another broker may take it. An
//     ERROR without receipt-id counts against the oldest operation without
//     RECEIPT, which fails after three of them.
//   - A refused login is not repeated for ever: when a round over all addresses
//     brought no connection and at least one broker refused the login,
//     [ErrLogin] is the result. Addresses that only fail to answer do not count.
//
// A plain address (tcp://, stomp://, stomp+ssl://, host:port) means one attempt
// and no reconnect, as in ActiveMQ; wrap it in failover:(...) to have both.
//
// # Limits
//
// Unconfirmed messages are bounded by [Options.Window] and
// [Options.WindowBytes]; Send and SendAsync wait when they are reached.
// Received, not yet fetched messages are bounded by [Options.BufferMessages]
// and [Options.BufferBytes]; reading from the socket then pauses, so that TCP
// slows the broker down. While a RECEIPT is awaited reading goes on up to four
// times that bound, so that a program that sends from its receive loop is not
// held up by its own backlog; beyond it the wait for the RECEIPT lasts until
// messages are fetched or the caller's context ends.
//
// # Why not stomp.Conn
//
// The package stands on go-stomp's frames, headers, frame writer, ack modes
// and heart-beat parser, but runs the connection itself, because stomp.Conn
// (v3.1.5) holds its close mutex while Send waits for a RECEIPT, so that one
// unconfirmed message at a time is possible and nothing can be acknowledged
// meanwhile; delivers to subscriptions from the loop that also writes, so that
// one full channel stops receipts, writes and heart-beats; drops a SUBSCRIBE
// with a reply-to header; sends heart-beats at the server's number without the
// maximum that STOMP 1.2 "Heart-beating" prescribes; and does not say which
// frames were written when the connection ended. Its frame reader is not used because it
// allocates whatever content-length says, up to 4 GiB, and reads lines of any
// length. CONNECT is written here since go-stomp escapes it, against STOMP 1.2
// "Value Encoding".
package failover
