"""stomp.py against TreadMQ: see ../doc.go for how it talks to the test.

There is no step for TLS: stomp.py reads and writes one SSL object from two
threads, which hangs now and then, with any server, before Python 3.13.
"""

import json
import os
import queue
import sys
import threading
import time
import xml.etree.ElementTree

import stomp

HOST = (os.environ["STOMP_HOST"], int(os.environ["STOMP_PORT"]))
LOGIN = os.environ["STOMP_LOGIN"]
PASSCODE = os.environ["STOMP_PASSCODE"]
PATIENCE = 30  # seconds before a test that hangs gives up

steps = []


def step(name):
    """Registers a function as a step."""

    def register(run):
        steps.append((name, run))
        return run

    return register


def ask(line):
    """Asks the test for something and waits until it is done."""
    print(line, flush=True)
    if sys.stdin.readline() != "done\n":
        raise AssertionError("the test gave up on: " + line)


def equal(got, want, what):
    if got != want:
        raise AssertionError("%s is %r, not %r" % (what, got, want))


class Inbox(stomp.ConnectionListener):
    """Puts what comes in where a step can wait for it."""

    def __init__(self):
        self.messages = queue.Queue()
        self.receipts = queue.Queue()
        self.errors = queue.Queue()
        self.gone = threading.Event()
        self.beats = 0
        self.late = False
        self.connected = None

    def on_connected(self, frame):
        self.connected = frame

    def on_message(self, frame):
        self.messages.put(frame)

    def on_receipt(self, frame):
        self.receipts.put(frame.headers["receipt-id"])

    def on_error(self, frame):
        self.errors.put(frame)

    def on_disconnected(self):
        self.gone.set()

    def on_heartbeat(self):
        self.beats += 1

    def on_heartbeat_timeout(self):
        self.late = True

    def message(self):
        return self.messages.get(timeout=PATIENCE)

    def receipt(self, name):
        equal(self.receipts.get(timeout=PATIENCE), name, "receipt")


class Session:
    """A connection of one version with its inbox; a context that ends in order."""

    def __init__(self, kind=stomp.Connection12, passcode=PASSCODE, headers=None, **options):
        self.inbox = Inbox()
        self.conn = kind([HOST], **options)
        self.conn.set_listener("inbox", self.inbox)
        self.conn.connect(LOGIN, passcode, wait=True, headers=headers or {})

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        if self.conn.is_connected():
            self.conn.disconnect(receipt="bye")
        if not self.inbox.gone.wait(PATIENCE):
            raise AssertionError("the connection did not end")

    def send(self, dest, body, **headers):
        """Sends and waits for the receipt."""
        headers["receipt"] = "send-" + str(time.monotonic_ns())
        self.conn.send(dest, body, headers=headers)
        self.inbox.receipt(headers["receipt"])

    def subscribe(self, dest, ack="auto", id="1", **headers):
        self.conn.subscribe(dest, id=id, ack=ack, headers=dict(headers, receipt="sub-" + id))
        self.inbox.receipt("sub-" + id)

    def ack(self, frame, **options):
        self.conn.ack(frame.headers["ack"], receipt="ack", **options)
        self.inbox.receipt("ack")


@step("login")
def login():
    with Session() as s:
        equal(s.inbox.connected.headers["version"], "1.2", "version")


@step("login-refused")
def login_refused():
    try:
        Session(passcode="wrong")
    except stomp.exception.ConnectFailedException:
        return
    raise AssertionError("a wrong passcode was accepted")


@step("send-receipt")
def send_receipt():
    with Session() as s:
        s.send("/queue/py.send", "hello")
    ask("count py.send 1")


@step("subscribe-auto")
def subscribe_auto():
    with Session() as s:
        s.subscribe("/queue/py.send")
        m = s.inbox.message()
        equal(m.body, "hello", "body")
        equal(m.headers["destination"], "/queue/py.send", "destination")
        equal(m.headers["subscription"], "1", "subscription")
        equal("redelivered" in m.headers, False, "redelivered")
    ask("count py.send 0")


def three(s, dest):
    """Sends three messages and returns them as delivered."""
    for body in ("one", "two", "three"):
        s.send(dest, body)
    got = [s.inbox.message() for _ in range(3)]
    equal([m.body for m in got], ["one", "two", "three"], "order")
    return got


@step("ack-client")
def ack_client():
    with Session() as s:
        s.subscribe("/queue/py.client", ack="client")
        s.ack(three(s, "/queue/py.client")[1])
    ask("count py.client 1")


@step("redelivery")
def redelivery():
    with Session() as s:
        s.subscribe("/queue/py.client", ack="client")
        m = s.inbox.message()
        equal(m.body, "three", "body")
        equal(m.headers.get("redelivered"), "true", "redelivered")
        equal(m.headers.get("JMSXDeliveryCount"), "2", "delivery count")
        s.ack(m)
    ask("count py.client 0")


@step("ack-individual")
def ack_individual():
    with Session() as s:
        s.subscribe("/queue/py.individual", ack="client-individual")
        s.ack(three(s, "/queue/py.individual")[1])
    ask("count py.individual 2")
    with Session() as s:
        s.subscribe("/queue/py.individual", ack="client-individual")
        for body in ("one", "three"):
            m = s.inbox.message()
            equal((m.body, m.headers.get("redelivered")), (body, "true"), "redelivered message")
            s.ack(m)
    ask("count py.individual 0")


@step("nack")
def nack():
    with Session() as s:
        s.subscribe("/queue/py.nack", ack="client-individual")
        s.send("/queue/py.nack", "again")
        first = s.inbox.message()
        s.conn.nack(first.headers["ack"], receipt="nack")
        s.inbox.receipt("nack")
        second = s.inbox.message()
        equal(second.headers["message-id"], first.headers["message-id"], "message-id")
        equal(second.headers.get("redelivered"), "true", "redelivered")
        equal(second.headers.get("JMSXDeliveryCount"), "2", "delivery count")
        s.conn.nack(second.headers["ack"], receipt="nack", requeue="false")
        s.inbox.receipt("nack")
    ask("count py.nack 0")
    ask("count ActiveMQ.DLQ 1")


@step("transaction-commit")
def commit():
    with Session() as s:
        s.send("/queue/py.tx.in", "work")
        s.subscribe("/queue/py.tx.in", ack="client-individual")
        m = s.inbox.message()
        tx = s.conn.begin()
        s.conn.send("/queue/py.tx.out", "result 1", transaction=tx)
        s.conn.send("/queue/py.tx.out", "result 2", transaction=tx)
        s.ack(m, transaction=tx)
        ask("count py.tx.out 0")
        ask("count py.tx.in 1")
        s.conn.commit(tx, receipt="commit")
        s.inbox.receipt("commit")
    ask("count py.tx.out 2")
    ask("count py.tx.in 0")


@step("transaction-abort")
def abort():
    with Session() as s:
        s.send("/queue/py.tx.in", "work")
        s.subscribe("/queue/py.tx.in", ack="client-individual")
        m = s.inbox.message()
        tx = s.conn.begin()
        s.conn.send("/queue/py.tx.out", "never", transaction=tx)
        s.ack(m, transaction=tx)
        s.conn.abort(tx, receipt="abort")
        s.inbox.receipt("abort")
        ask("count py.tx.out 2")
        ask("count py.tx.in 1")
        s.ack(m)  # its id is good again
    ask("count py.tx.in 0")


@step("binary")
def binary():
    body = bytes(range(256)) * 40 + b"\x00\x00"
    with Session(auto_decode=False) as s:
        s.subscribe("/queue/py.binary")
        s.send("/queue/py.binary", body)
        m = s.inbox.message()
        equal(m.body, body, "body")
        equal(m.headers["content-length"], str(len(body)), "content-length")


@step("utf8")
def utf8():
    value = "Grüße: 日本\\n 🎉\nnext line\rand\\c"
    with Session() as s:
        s.subscribe("/queue/py.ütf8")
        s.send("/queue/py.ütf8", "Wörld 🌍", schlüssel=value, empty="", spaces="  two  ")
        m = s.inbox.message()
        equal(m.body, "Wörld 🌍", "body")
        equal(m.headers["schlüssel"], value, "header")
        equal(m.headers["empty"], "", "empty header")
        equal(m.headers["spaces"], "  two  ", "spaces around a value")
        equal(m.headers["destination"], "/queue/py.ütf8", "destination")


@step("topic")
def topic():
    with Session() as one, Session() as two:
        one.subscribe("/topic/py.news.*")
        two.subscribe("/topic/py.news.>")
        one.send("/topic/py.news.today", "read all about it")
        for s in (one, two):
            m = s.inbox.message()
            equal((m.body, m.headers["destination"]), ("read all about it", "/topic/py.news.today"), "message")


@step("heart-beat")
def heart_beat():
    with Session(heartbeats=(1000, 1000)) as s:
        s.subscribe("/queue/py.beat")
        time.sleep(5)  # the idle pause; without our beats the broker would have ended it after 4 s
        equal(s.inbox.late, False, "heart-beat missed")
        if s.inbox.beats < 3:
            raise AssertionError("the broker sent %d heart-beats in 5 s" % s.inbox.beats)
        s.send("/queue/py.beat", "still here")
        equal(s.inbox.message().body, "still here", "body")


def reconnect(how):
    with Session() as s:
        s.subscribe("/queue/py.restart", ack="client-individual")
        s.send("/queue/py.restart", how)
        s.inbox.message()
        ask("restart " + how)
        if not s.inbox.gone.wait(PATIENCE):
            raise AssertionError("the client did not notice")
    with Session() as s:
        s.subscribe("/queue/py.restart", ack="client-individual")
        m = s.inbox.message()
        equal((m.body, m.headers.get("redelivered")), (how, "true"), "redelivered message")
        s.ack(m)
    ask("count py.restart 0")


@step("reconnect-term")
def reconnect_term():
    reconnect("term")


@step("reconnect-kill")
def reconnect_kill():
    reconnect("kill")


@step("versions")
def versions():
    with Session(stomp.Connection11) as s:
        equal(s.inbox.connected.headers["version"], "1.1", "version")
        s.subscribe("/queue/py.versions", ack="client-individual")
        s.send("/queue/py.versions", "v1.1", key="a:b\\c\nd")
        m = s.inbox.message()
        equal(m.headers["key"], "a:b\\c\nd", "header")
        equal("ack" in m.headers, False, "header ack in 1.1")
        s.conn.ack(m.headers["message-id"], "1", receipt="ack")
        s.inbox.receipt("ack")
    with Session(stomp.Connection10) as s:
        s.subscribe("/queue/py.versions", ack="client")
        s.send("/queue/py.versions", "v1.0", key="a:b")
        m = s.inbox.message()
        equal((m.body, m.headers["key"]), ("v1.0", "a:b"), "message")
        s.conn.ack(m.headers["message-id"], receipt="ack")
        s.inbox.receipt("ack")
    ask("count py.versions 0")


@step("error-frame")
def error_frame():
    """stomp.py does not close after an ERROR: the broker must."""
    s = Session()
    s.conn.subscribe("/queue/py.error", id="1", ack="sometimes", headers={"receipt": "bad"})
    e = s.inbox.errors.get(timeout=PATIENCE)
    equal(e.headers["receipt-id"], "bad", "receipt-id")
    if not e.headers["message"] or "sometimes" not in e.body:
        raise AssertionError("the ERROR does not say what is wrong: %r %r" % (e.headers, e.body))
    if not s.inbox.gone.wait(PATIENCE):
        raise AssertionError("the broker did not close after an ERROR")


@step("content-length")
def content_length():
    """Text and bytes are told apart by it, so it comes back as it went in."""
    for auto in (True, False):
        with Session(auto_content_length=auto) as s:
            s.subscribe("/queue/py.length")
            s.send("/queue/py.length", "äöü")
            m = s.inbox.message()
            equal(m.body, "äöü", "body")
            equal("content-length" in m.headers, auto, "content-length")


def amq(**options):
    """Headers of SUBSCRIBE in ActiveMQ's spelling."""
    return {"activemq." + name: str(value) for name, value in options.items()}


def bodies(s, n):
    return [s.inbox.message().body for _ in range(n)]


def nothing_else(s, what):
    """A message of the session's own comes next, and not something else."""
    s.subscribe("/queue/py.barrier." + what, id="barrier")
    s.send("/queue/py.barrier." + what, "barrier")
    equal(s.inbox.message().body, "barrier", "next message of " + what)
    s.conn.unsubscribe(id="barrier")


@step("amq-prefetch")
def amq_prefetch():
    with Session() as one, Session() as two:
        for s in (one, two):
            s.subscribe("/queue/py.prefetch", ack="client-individual", **amq(prefetchSize=1, dispatchAsync="true"))
        for body in ("a", "b", "c"):
            one.send("/queue/py.prefetch", body)
        first, second = one.inbox.message(), two.inbox.message()
        equal({first.body, second.body}, {"a", "b"}, "first messages")
        two.ack(second)
        third = two.inbox.message()
        equal(third.body, "c", "third message")
        two.ack(third)
        one.ack(first)
    ask("count py.prefetch 0")


@step("amq-priority")
def amq_priority():
    with Session() as low, Session() as high:
        low.subscribe("/queue/py.priority", **amq(priority=1))
        high.subscribe("/queue/py.priority", **amq(priority=10))
        for body in ("a", "b", "c"):
            low.send("/queue/py.priority", body)
        equal(bodies(high, 3), ["a", "b", "c"], "messages of the higher priority")
        nothing_else(low, "low")


@step("amq-exclusive")
def amq_exclusive():
    with Session() as second:
        with Session() as first:
            for s in (first, second):
                s.subscribe("/queue/py.exclusive", ack="client-individual", **amq(exclusive="true"))
            for body in ("a", "b"):
                second.send("/queue/py.exclusive", body)
            for body in ("a", "b"):
                m = first.inbox.message()
                equal(m.body, body, "message of the exclusive consumer")
                first.ack(m)
            nothing_else(second, "second")
        second.send("/queue/py.exclusive", "c")
        equal(second.inbox.message().body, "c", "message after the hand-over")


@step("amq-no-local")
def amq_no_local():
    with Session() as one, Session() as two:
        one.subscribe("/topic/py.local", **amq(noLocal="true", maximumPendingMessageLimit=1000))
        one.send("/topic/py.local", "own")
        two.send("/topic/py.local", "other")
        equal(one.inbox.message().body, "other", "message")


@step("amq-selector")
def amq_selector():
    with Session() as s:
        s.subscribe("/queue/py.selector", selector="colour = 'blue' AND weight > 2", **amq(prefetchSize=1))
        for colour, weight in (("red", 3), ("blue", 1), ("blue", 2.5), ("blue", "heavy"), ("blue", 30)):
            s.send("/queue/py.selector", "%s %s" % (colour, weight), colour=colour, weight=str(weight))
        equal(bodies(s, 2), ["blue 2.5", "blue 30"], "chosen messages")
    ask("count py.selector 3")


@step("amq-browser")
def amq_browser():
    with Session() as s:
        for i in range(500):  # ActiveMQ stops at 400
            s.conn.send("/queue/py.browse", "m%d" % i, headers={"number": str(i)})
        s.send("/queue/py.browse", "m500", number="500")
        s.subscribe("/queue/py.browse", browser="true", ack="client", id="all")
        for i in range(501):
            m = s.inbox.message()
            equal(m.body, "m%d" % i, "browsed message")
            if i % 50 == 49:
                s.conn.ack(m.headers["ack"])
        last = s.inbox.message()
        equal((last.headers["browser"], last.body), ("end", ""), "end of browsing")
        s.subscribe("/queue/py.browse", browser="true", id="some", selector="number >= 499")
        equal(bodies(s, 2), ["m499", "m500"], "browsed with a selector")
        equal(s.inbox.message().headers["browser"], "end", "end of browsing")
    ask("count py.browse 501")


@step("amq-durable")
def amq_durable():
    durable = amq(subscriptionName="audit")
    with Session(headers={"client-id": "py"}) as s:
        s.subscribe("/topic/py.durable", selector="kind = 'order'", **durable)
    with Session() as s:
        for kind in ("order", "noise", "order"):
            s.send("/topic/py.durable", kind, kind=kind)
    with Session(headers={"client-id": "py"}) as s:
        s.subscribe("/topic/py.durable", selector="kind = 'order'", **durable)
        m = s.inbox.message()
        equal((m.body, m.headers["destination"]), ("order", "/topic/py.durable"), "collected message")
        equal(s.inbox.message().body, "order", "collected message")
        nothing_else(s, "durable")
        s.conn.unsubscribe(id="1", headers=dict(durable, receipt="gone"))
        s.inbox.receipt("gone")
        s.send("/topic/py.durable", "order", kind="order")
    with Session(headers={"client-id": "py"}) as s:
        s.subscribe("/topic/py.durable", **durable)
        nothing_else(s, "removed")


@step("amq-scheduled")
def amq_scheduled():
    with Session() as s:
        s.subscribe("/queue/py.scheduled")
        s.send(
            "/queue/py.scheduled", "later", AMQ_SCHEDULED_DELAY="300", AMQ_SCHEDULED_PERIOD="100", AMQ_SCHEDULED_REPEAT="2"
        )
        s.send("/queue/py.scheduled", "now")
        equal(bodies(s, 1), ["now"], "message before the delayed one")
        for _ in range(3):
            m = s.inbox.message()
            equal((m.body, m.headers["scheduledJobId"] != ""), ("later", True), "scheduled message")


@step("amq-groups")
def amq_groups():
    """A group is its consumer's as long as it has messages: here until the first acknowledgement."""
    with Session() as one, Session() as two:
        for s in (one, two):
            s.subscribe("/queue/py.groups", ack="client")
        for i in range(10):
            one.send("/queue/py.groups", str(i), JMSXGroupID="AB"[i % 2])
        got = {}
        for s in (one, two):
            for i in range(5):
                m = s.inbox.message()
                got.setdefault(m.headers["JMSXGroupID"], []).append((s, m.body, m.headers.get("JMSXGroupFirstForConsumer")))
        for group, first in (("A", 0), ("B", 1)):
            equal([body for _, body, _ in got[group]], [str(i) for i in range(first, 10, 2)], "order of group " + group)
            equal(len({s for s, _, _ in got[group]}), 1, "consumers of group " + group)
            equal([f for _, _, f in got[group]], ["true"] + [None] * 4, "JMSXGroupFirstForConsumer of group " + group)


@step("amq-statistics")
def amq_statistics():
    with Session() as s:
        s.send("/queue/py.statistics", "one")
        s.subscribe("/temp-queue/answers")
        s.conn.send("/queue/ActiveMQ.Statistics.Destination.py.statistics", "", headers={"reply-to": "/temp-queue/answers"})
        figures = json.loads(s.inbox.message().body)
        equal([figures[key] for key in ("destinationName", "size", "enqueueCount")], ["queue://py.statistics", 1, 1], "figures")
        # As checks for ActiveMQ ask and parse.
        s.subscribe("/temp-queue/maps", id="maps", transformation="jms-map-xml")
        s.conn.send("/queue/ActiveMQ.Statistics.Destination.py.statistics", "", headers={"reply-to": "/temp-queue/maps"})
        entries = (list(e) for e in xml.etree.ElementTree.fromstring(s.inbox.message().body))
        figures = {key.text: (value.tag, value.text) for key, value in entries}
        equal([figures[key] for key in ("destinationName", "size")], [("string", "queue://py.statistics"), ("long", "1")], "figures")


@step("amq-advisory")
def amq_advisory():
    with Session() as s, Session() as other:
        s.subscribe("/topic/ActiveMQ.Advisory.Consumer.Queue.py.>")
        other.subscribe("/queue/py.advisory")
        m = s.inbox.message()
        equal((m.headers["destination"], m.headers["consumerCount"]), ("/topic/ActiveMQ.Advisory.Consumer.Queue.py.advisory", "1"), "advisory")


@step("amq-retroactive")
def amq_retroactive():
    with Session() as s:
        for i in range(4):
            s.send("/topic/py.retroactive", str(i))
        s.subscribe("/topic/py.retroactive", id="new")
        s.subscribe("/topic/py.retroactive", id="late", **amq(retroactive="true"))
        for body in ("2", "3"):  # the policy keeps two
            m = s.inbox.message()
            equal((m.body, m.headers["subscription"]), (body, "late"), "message from before")


def main():
    for name, run in steps:
        run()
        print("ok", name, flush=True)
    print("done", flush=True)


main()
