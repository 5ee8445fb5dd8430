// Package stomp is the STOMP front end of the broker: listeners, TLS, sessions. It turns frames into calls of the
// broker's core and deliveries into frames; what a header means is decided here, what happens to a message is not.
//
// # Two directions
//
// A connection has one goroutine that reads (session.go) and, while there is something to write, one that writes
// (output.go). An idle connection has no writer and no write buffer.
//
// The reader handles all frames that lie in its read buffer as one burst. SEND, ACK, NACK and COMMIT are gathered into
// one broker.Work, which is flushed before the reader would block. A flush opens a ticket: the receipts of its frames
// wait there until the broker says that the work is committed. Every other frame is carried out at once, after a
// flush, and its receipt queues behind the tickets that are open. So receipts leave in the order in which they were
// asked for; only a SEND that waits for room in a full destination is overtaken. One function writes RECEIPT.
//
// # Order towards the client
//
// The writer takes the control bytes (CONNECTED, RECEIPT, ERROR) first, then starts the subscriptions whose receipt is
// among them, then takes deliveries. So no MESSAGE comes before the RECEIPT of its SUBSCRIBE. A closed subscription
// delivers nothing any more, so none comes after the RECEIPT of its UNSUBSCRIBE.
//
// # Ends
//
// Every end is the same sequence (close.go): what was received is carried out, open tickets finish, unacknowledged
// messages go back, the last frame (ERROR, or the RECEIPT of DISCONNECT) is written, our side is shut, what the client
// still sends is read and thrown away for a moment so that it is not answered by a reset, and the socket is closed.
//
// # Bounds
//
// Open tickets, bytes in them, control bytes, parked SENDs, subscriptions, temporary destinations, connections in all
// and per address, frames (package frame) and everything else whose size comes from outside has a named limit; a
// writer that makes no progress within the write timeout loses its connection and nobody else notices.
package stomp
