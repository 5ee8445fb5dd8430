#!/bin/bash
# netcat against TreadMQ, the frames typed by hand: see ../doc.go for how it talks to the test.
set -u

patience=30 # seconds before a step that hangs gives up
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
	printf '%s: %s\n' "$step" "$*" >&2
	exit 1
}

# ask LINE: asks the test for something and waits until it is done.
ask() {
	local answer
	printf '%s\n' "$1"
	IFS= read -r answer || fail "the test gave up on: $1"
	[ "$answer" = "done" ] || fail "the test gave up on: $1"
}

# open [VERSION [HEADER...]]: connects and logs in. One connection at a time.
open() {
	local version=${1-1.2}
	shift || true
	connect
	send STOMP "accept-version:$version" host:localhost "login:$STOMP_LOGIN" "passcode:$STOMP_PASSCODE" "$@"
	receive CONNECTED
	has "version:$version"
}

connect() {
	rm -f "$work/in" "$work/out"
	mkfifo "$work/in" "$work/out"
	nc "$STOMP_HOST" "$STOMP_PORT" <"$work/in" >"$work/out" &
	nc=$!
	exec 3>"$work/in" 4<"$work/out"
}

# close: ends in order, which the broker does after the receipt.
close() {
	send DISCONNECT receipt:bye
	receive RECEIPT
	has receipt-id:bye
	ended
}

# ended: waits for the broker to end the connection. nc does not tell it that standard input has ended.
ended() {
	local rest
	exec 3>&-
	IFS= read -r -t "$patience" -d '' rest <&4
	if [ $? -ne 1 ] || [ -n "${rest//$'\n'/}" ]; then fail "the broker did not end the connection: $rest"; fi
	exec 4<&-
	wait "$nc"
}

# send COMMAND HEADER...: a frame whose body is the variable body.
body=
send() {
	local IFS=$'\n'
	printf '%s\n\n%s\0' "$*" "$body" >&3
	body=
}

# receive COMMAND: the next frame, heart-beats before it dropped.
receive() {
	IFS= read -r -t "$patience" -d '' frame <&4 || fail "no $1 came, but: ${frame-}"
	while [ "${frame#$'\n'}" != "$frame" ]; do frame=${frame#$'\n'}; done
	[ "${frame%%$'\n'*}" = "$1" ] || fail "no $1 came, but: $frame"
}

# header NAME: a header's value of the last frame.
header() { printf '%s' "$frame" | sed -n "/^\$/q; s/^$1://p" | head -n 1; }

# has LINE: the last frame must have a line.
has() { printf '%s\n' "$frame" | grep -qxF -- "$1" || fail "no line $1 in: $frame"; }

lacks() { ! printf '%s\n' "$frame" | grep -q "^$1:" || fail "header $1 in: $frame"; }

# receipted COMMAND HEADER...: a frame and its receipt.
receipted() {
	send "$@" receipt:r
	receive RECEIPT
	has receipt-id:r
}

# put QUEUE BODY [HEADER...]
put() {
	body=$2
	local dest=$1
	shift 2
	receipted SEND "destination:/queue/$dest" "$@"
}

subscribe() { receipted SUBSCRIBE id:1 "destination:/queue/$1" "ack:${2-auto}"; }

# message BODY [redelivered]
message() {
	receive MESSAGE
	has "$1"
	if [ "${2-}" = redelivered ]; then has redelivered:true; else lacks redelivered; fi
}

three() {
	local word
	for word in one two three; do put "$1" "$word"; done
	subscribe "$1" "$2"
	acks=()
	for word in one two three; do
		message "$word"
		acks+=("$(header ack)")
	done
}

login() {
	open
	has "heart-beat:0,0"
	close
}

login-refused() {
	connect
	send CONNECT accept-version:1.2 host:localhost "login:$STOMP_LOGIN" passcode:wrong
	receive ERROR
	ended
}

send-receipt() {
	open
	put nc.send hello
	close
	ask 'count nc.send 1'
}

subscribe-auto() {
	open
	subscribe nc.send
	message hello
	has destination:/queue/nc.send
	has subscription:1
	close
	ask 'count nc.send 0'
}

ack-client() {
	open
	three nc.client client
	receipted ACK "id:${acks[1]}"
	close
	ask 'count nc.client 1'
}

redelivery() {
	open
	subscribe nc.client client
	message three redelivered
	receipted ACK "id:$(header ack)"
	close
	ask 'count nc.client 0'
}

ack-individual() {
	open 1.1 # where it takes the message-id and the subscription
	three nc.individual client-individual
	lacks ack
	receipted ACK subscription:1 "message-id:$(header message-id)" # three
	close
	ask 'count nc.individual 2'
	open
	subscribe nc.individual client-individual
	local word
	for word in one two; do
		message "$word" redelivered
		send ACK "id:$(header ack)"
	done
	close
	ask 'count nc.individual 0'
}

nack() {
	open
	put nc.nack again
	subscribe nc.nack client-individual
	message again
	receipted NACK "id:$(header ack)"
	message again redelivered
	has JMSXDeliveryCount:2
	receipted NACK "id:$(header ack)" requeue:false
	close
	ask 'count nc.nack 0'
	ask 'count ActiveMQ.DLQ 1'
}

# transact: consumes one message and sends two in the transaction t.
transact() {
	open
	put nc.tx.in work
	subscribe nc.tx.in client-individual
	message work
	ack=$(header ack)
	send BEGIN transaction:t
	put nc.tx.out 'result 1' transaction:t
	put nc.tx.out 'result 2' transaction:t
	receipted ACK "id:$ack" transaction:t
}

transaction-commit() {
	transact
	ask 'count nc.tx.out 0'
	ask 'count nc.tx.in 1'
	receipted COMMIT transaction:t
	close
	ask 'count nc.tx.out 2'
	ask 'count nc.tx.in 0'
}

transaction-abort() {
	transact
	receipted ABORT transaction:t
	ask 'count nc.tx.out 2'
	ask 'count nc.tx.in 1'
	receipted ACK "id:$ack"
	close
	ask 'count nc.tx.in 0'
}

# A body with NULs, in one go, and looked at as hexadecimal digits.
binary() {
	{
		printf 'CONNECT\nlogin:%s\npasscode:%s\n\n\0' "$STOMP_LOGIN" "$STOMP_PASSCODE"
		printf 'SEND\ndestination:/queue/nc.binary\ncontent-length:7\n\na\0b\0\377\n\0\0'
		printf 'SUBSCRIBE\nid:1\ndestination:/queue/nc.binary\n\n\0'
	} >"$work/talk"
	connect
	cat "$work/talk" >&3
	# Everything up to the NUL of CONNECTED, then the MESSAGE byte by byte.
	receive CONNECTED
	receive MESSAGE # up to the first NUL within its body
	has content-length:7
	[ "${frame##*$'\n'}" = a ] || fail "the body begins otherwise: $frame"
	local rest
	rest=$(timeout "$patience" head -c 6 <&4 | od -An -tx1 | tr -d ' \n')
	[ "$rest" = 6200ff0a0000 ] || fail "the body goes on with $rest"
	send DISCONNECT receipt:bye
	receive RECEIPT
	ended
}

utf8() {
	open
	put nc.ütf8 'Wörld 🌍' 'schlüssel:Grüße\c 日本\\n 🎉\nnext line\rand\\c' 'a\cb: x '
	subscribe nc.ütf8
	message 'Wörld 🌍'
	has 'schlüssel:Grüße\c 日本\\n 🎉\nnext line\rand\\c'
	has 'a\cb: x '
	has destination:/queue/nc.ütf8
	close
}

topic() {
	open
	receipted SUBSCRIBE id:1 'destination:/topic/nc.news.*'
	receipted SUBSCRIBE id:2 'destination:/topic/nc.news.>'
	body=extra
	send SEND destination:/topic/nc.news.today
	receive MESSAGE
	has extra
	receive MESSAGE
	has extra
	close
}

# The broker's heart-beats are line ends. It gives up on a client that promised some and is silent, and says so.
heart-beat() {
	open 1.2 heart-beat:0,1000
	local line beats=0
	while [ $beats -lt 4 ]; do # over the idle pause
		IFS= read -r -t 3 line <&4 || fail 'a heart-beat is missing'
		[ -z "$line" ] || fail "not a heart-beat: $line"
		beats=$((beats + 1))
	done
	close
	open 1.2 heart-beat:500,0
	receive ERROR
	has x-code:timeout
	ended
}

# What is silent without a promise may stay.
silence() {
	open 1.2 heart-beat:0,0
	local line
	IFS= read -r -t 1 line <&4 # the line end behind CONNECTED
	IFS= read -r -t 5 line <&4
	[ $? -gt 128 ] || fail "something came in the pause: $line"
	put nc.silence hello
	close
	ask 'count nc.silence 1'
}

# As telnet sends it: every line, and the end of the frame, with CR LF.
crlf() {
	connect
	printf 'CONNECT\r\naccept-version:1.2\r\nlogin:%s\r\npasscode:%s\r\n\r\n\0\r\n' "$STOMP_LOGIN" "$STOMP_PASSCODE" >&3
	receive CONNECTED
	printf 'SEND\r\ndestination:/queue/nc.crlf\r\nreceipt:r\r\n\r\nhello\0\r\n' >&3
	receive RECEIPT
	has receipt-id:r
	close
	ask 'count nc.crlf 1'
}

reconnect() {
	open
	put nc.restart "$1"
	subscribe nc.restart client-individual
	message "$1"
	ask "restart $1"
	if [ "$1" = term ]; then
		receive ERROR
		has x-code:closing
	fi
	ended
	open
	subscribe nc.restart client-individual
	message "$1" redelivered
	receipted ACK "id:$(header ack)"
	close
	ask 'count nc.restart 0'
}

reconnect-term() { reconnect term; }
reconnect-kill() { reconnect kill; }

for step in login login-refused send-receipt subscribe-auto ack-client redelivery ack-individual nack \
	transaction-commit transaction-abort binary utf8 topic heart-beat silence crlf reconnect-term reconnect-kill; do
	$step
	printf 'ok %s\n' "$step"
done
printf 'done\n'
