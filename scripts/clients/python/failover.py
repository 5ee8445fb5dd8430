"""stomp.py with a list of brokers: a program that goes on when its broker dies.

See ../doc.go, "Failover", for how it talks to the test.
"""

import os
import queue
import sys
import threading

import stomp

HOSTS = [(h.rsplit(":", 1)[0], int(h.rsplit(":", 1)[1])) for h in os.environ["STOMP_HOSTS"].split(",")]
QUEUE = os.environ["STOMP_QUEUE"]
COUNT = int(os.environ["STOMP_COUNT"])
PATIENCE = 60  # seconds before a test that hangs gives up


class Inbox(stomp.ConnectionListener):
    """Puts what comes in where the program can wait for it."""

    def __init__(self):
        self.events = queue.Queue()

    def on_message(self, frame):
        self.events.put(("message", frame))

    def on_receipt(self, frame):
        self.events.put(("receipt", frame.headers["receipt-id"]))

    def on_disconnected(self):
        self.events.put(("gone", None))


class Session:
    """A connection to whichever broker takes clients, made again when it ends."""

    def __init__(self):
        self.subscribed = False
        self.connect()

    def connect(self):
        while True:
            self.inbox = Inbox()
            self.conn = stomp.Connection12(HOSTS, reconnect_attempts_max=-1, reconnect_sleep_initial=0.1, reconnect_sleep_max=0.5)
            self.conn.set_listener("inbox", self.inbox)
            try:
                self.conn.connect(wait=True)
                if self.subscribed:
                    self.conn.subscribe(QUEUE, id="1", ack="client-individual")
                return
            except (stomp.exception.StompException, OSError):
                threading.Event().wait(0.1)

    def next(self):
        """The next receipt or message; None when the connection was made again."""
        kind, what = self.inbox.events.get(timeout=PATIENCE)
        if kind == "gone":
            self.connect()
            return None, None
        return kind, what

    def attempt(self, *args, **options):
        try:
            self.conn.send(*args, **options)
        except (stomp.exception.StompException, OSError):
            pass  # the end of the connection comes as an event

    def send(self, body):
        """Sends until the receipt came."""
        while True:
            self.attempt(QUEUE, body, headers={"receipt": body})
            kind = "other"
            while kind is not None:
                kind, what = self.next()
                if kind == "receipt" and what == body:
                    return

    def receive_all(self):
        self.subscribed = True
        self.conn.subscribe(QUEUE, id="1", ack="client-individual")
        seen = set()
        while len(seen) < COUNT:
            kind, frame = self.next()
            if kind != "message":
                continue
            seen.add(int(frame.body))
            try:
                self.conn.ack(frame.headers["ack"])
            except (stomp.exception.StompException, OSError):
                pass
        if seen != set(range(COUNT)):
            sys.exit("received what was not sent: %r" % sorted(seen))


session = Session()
for n in range(COUNT):
    session.send(str(n))
    print("confirmed", n, flush=True)
session.receive_all()
print("received", COUNT, flush=True)
session.conn.disconnect()
