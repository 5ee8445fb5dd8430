#!/usr/bin/env python3
"""Measures what people who look at the console cost the messages: a broker is under load
twice in turn, alone and while every page of its console is asked for, again and again.

    scripts/bench/console.py [--rate 50] [--seconds 60] [--rounds 4] [--queues 100]

It prints the broker's CPU for each page while nothing else is done; then messages a second of
both, the ratio, the pages' times and the broker's memory at the beginning and the end of the pages.
"""
import argparse, base64, html, http.client, json, os, re, socket, statistics, subprocess, tempfile, threading, time, urllib.parse

import run
from run import Server

BIN = os.path.join(run.ROOT, "bin", "treadmq")

# Addresses that no page leads to. The pages themselves are found by following their links.
MORE = ["/metrics", "/metrics/per-destination", "/healthz", "/readyz", "/admin/queues?sort=messages&order=desc", "/admin/queue?name=q001&range=24h",
        "/api/jolokia/read/org.apache.activemq:type=Broker,brokerName=localhost"]
MOST = 200  # addresses


def basic(user, password):
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


class Visitor(threading.Thread):
    """Asks for pages at a rate until told to stop. It is a plain socket: a visitor's own work is not the broker's."""

    def __init__(self, addr, pages, cookie, auth, rate, start):
        super().__init__(daemon=True)
        self.pages, self.addr, self.rate, self.start_at = pages, addr, rate, start
        self.requests = {page: self.request(page, {"Cookie": cookie} if page.startswith("/admin") else auth) for page in pages}
        self.times, self.failures, self.over = [], [], threading.Event()

    def request(self, page, head):
        head = {"Host": self.addr, "Accept-Encoding": "gzip", **head}
        return (f"GET {page} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in head.items()) + "\r\n").encode()

    def answer(self, sock):
        """Reads one answer and returns its status."""
        data = b""
        while b"\r\n\r\n" not in data:
            data += self.more(sock)
        head, _, body = data.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
        if length:
            left = int(length[1]) - len(body)
            while left > 0:
                left -= len(self.more(sock))
        else:  # chunked
            while not body.endswith(b"0\r\n\r\n"):
                body = body[-4:] + self.more(sock)
        return int(head.split(b" ", 2)[1])

    def more(self, sock):
        data = sock.recv(1 << 18)
        if not data:
            raise OSError("the connection was closed")
        return data

    def run(self):
        host, port = self.addr.rsplit(":", 1)
        sock = socket.create_connection((host, int(port)), 60)
        due, n = time.monotonic(), self.start_at
        while not self.over.wait(max(0, due - time.monotonic())):
            due += 1 / self.rate
            page = self.pages[n % len(self.pages)]
            n += 7  # so that visitors are at different pages
            begun = time.monotonic()
            try:
                sock.sendall(self.requests[page])
                status = self.answer(sock)
                if status != 200:
                    self.failures.append(f"{page}: {status}")
            except OSError as e:
                self.failures.append(f"{page}: {e}")
                return
            self.times.append((time.monotonic() - begun, page))
        sock.close()


def login(addr, user, password):
    conn = http.client.HTTPConnection(addr, timeout=60)
    conn.request("POST", "/admin/login", f"user={user}&password={password}", {"Content-Type": "application/x-www-form-urlencoded"})
    answer = conn.getresponse()
    answer.read()
    cookies = [c.split(";")[0] for c in answer.headers.get_all("Set-Cookie") or []]
    if answer.status != 303 or not cookies:
        raise SystemExit(f"the login was answered with {answer.status}")
    return "; ".join(cookies)


def get(addr, path, head):
    conn = http.client.HTTPConnection(addr, timeout=60)
    conn.request("GET", path, headers=head)
    answer = conn.getresponse()
    body = answer.read().decode()
    conn.close()
    if answer.status != 200:
        raise SystemExit(f"{path} was answered with {answer.status}: {body[:300]}")
    return body


def every_page(addr, cookie, auth):
    """One address of each kind of page, found by following links from the overview, and of each call of the API that only reads."""
    kinds, pages, at = {("/admin/", False, "", False)}, ["/admin/"], 0
    while at < len(pages) < MOST:
        body = get(addr, pages[at], {"Cookie": cookie})
        at += 1
        for link in re.findall(r'href="(/admin/[^"#]*)', body):
            link = html.unescape(link)
            parts = urllib.parse.urlsplit(link)
            if parts.path.startswith("/admin/assets/") or parts.path.endswith("/body"):
                continue
            names = urllib.parse.parse_qs(parts.query)
            kind = (parts.path, names.get("kind", [""])[0] == "subscription", names.get("view", [""])[0], "range" in names)
            if kind not in kinds:
                kinds.add(kind)
                pages.append(link)
    one = json.loads(get(addr, "/api/v1/queues/q001/messages?limit=1", auth))["items"][0]
    serial = json.loads(get(addr, "/api/v1/connections", auth))["items"][0]["serial"]
    plan = urllib.parse.quote(json.loads(get(addr, "/api/v1/schedules", auth))["items"][0]["id"])
    values = {"name": "q001", "at": one["cursor"], "message": urllib.parse.quote(one["id"]), "serial": str(serial)}
    other = {"/api/v1/topics/{name}": "news", "/api/v1/subscriptions/{name}": "watch", "/api/v1/subscriptions/{name}/messages": "watch", "/api/v1/schedules/{name}": plan}
    for path, methods in json.loads(get(addr, "/api/v1/openapi.json", auth))["paths"].items():
        if "get" in methods and not path.endswith("/events"):
            pages.append(re.sub(r"\{(\w+)\}", lambda m: other.get(path, values.get(m[1], m[0])), path))
    pages += MORE
    good = []
    for page in pages:
        conn = http.client.HTTPConnection(addr, timeout=60)
        conn.request("GET", page, headers={"Cookie": cookie} if page.startswith("/admin") else auth)
        if conn.getresponse().status == 200:
            good.append(page)
        else:
            print(f"left out, not here: {page}", flush=True)
        conn.close()
    return good


class Client:
    """A STOMP client that is connected and holds what the pages show."""

    def __init__(self, addr):
        host, port = addr.rsplit(":", 1)
        self.sock = socket.create_connection((host, int(port)))
        self.ask("CONNECT", {"accept-version": "1.2", "host": "/"})
        for i in range(200):
            self.ask("SEND", {"destination": "/queue/q001", "persistent": "true", "receipt": str(i)}, '{"order": %d}' % i)
        self.ask("SEND", {"destination": "/queue/q003", "AMQ_SCHEDULED_DELAY": "36000000", "receipt": "d"}, "later")
        self.ask("SUBSCRIBE", {"destination": "/queue/q002", "id": "0", "ack": "client", "receipt": "s"})
        self.ask("SUBSCRIBE", {"destination": "/topic/news", "id": "1", "receipt": "t"})
        self.ask("SEND", {"destination": "/topic/news", "receipt": "n"}, "x")

    def ask(self, command, headers, body=""):
        self.sock.sendall((command + "\n" + "".join(f"{k}:{v}\n" for k, v in headers.items()) + "\n" + body + "\0").encode())
        if b"ERROR" in self.sock.recv(65536):
            raise SystemExit(f"{command} was refused")


def load(server, seconds):
    out = subprocess.run([BIN, "-q", "bench", "--producers", "4", "--window", "200", "--consumers", "4", "--duration", f"{seconds}s", "--url", "tcp://" + server.addr,
                          "-o", "json", "--idle", "30s"], stdout=subprocess.PIPE, text=True)
    if not out.stdout:
        raise SystemExit(f"treadmq bench failed with {out.returncode}")
    r = json.loads(out.stdout)
    if r["lost"] or r["duplicates"] or r["disorder"]:
        raise SystemExit(f"lost {r['lost']}, duplicates {r['duplicates']}, disorder {r['disorder']}")
    return r["recvRate"]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rate", type=float, default=50)
    p.add_argument("--seconds", type=int, default=60)
    p.add_argument("--rounds", type=int, default=4)
    p.add_argument("--queues", type=int, default=100)
    o = p.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "realm.properties"), "w") as f:
            f.write("admin: secret, admin\n")
        server = Server([BIN, "console", "--data", "data", "--realm", "realm.properties", "--stomp", "127.0.0.1:0", "--console", "127.0.0.1:0", "--set", "anonymous=true"], cwd=folder)
        try:
            with open(os.path.join(folder, "data", "treadmq.run")) as f:
                console = re.search(r"https?://([^/]+)/", json.dumps(json.load(f))).group(1)
            auth = basic("admin", "secret")
            conn = http.client.HTTPConnection(console, timeout=60)
            for i in range(o.queues):
                conn.request("PUT", f"/api/v1/queues/q{i:03d}", headers=auth)
                conn.getresponse().read()
            client = Client(server.addr)
            conn.request("PUT", "/api/v1/subscriptions/watch", '{"topics": ["news"]}', {**auth, "Content-Type": "application/json"})
            conn.getresponse().read()
            cookie = login(console, "admin", "secret")
            pages = every_page(console, cookie, auth)
            print(f"{len(pages)} addresses: {' '.join(pages)}", flush=True)
            measure(o, server, console, pages, cookie, auth)
            client.sock.close()
        finally:
            server.end()


def beside(o, server, console, pages, cookie, auth):
    """Messages a second while the pages are asked for, and how that went."""
    visitors = [Visitor(console, pages, cookie, auth, o.rate / 4, n * 4) for n in range(4)]
    for v in visitors:
        v.start()
    rate = load(server, o.seconds)
    for v in visitors:
        v.over.set()
    for v in visitors:
        v.join()
    failures = [f for v in visitors for f in v.failures]
    if failures:
        raise SystemExit(f"{len(failures)} pages failed: {failures[:3]}")
    return rate, sorted(t for v in visitors for t in v.times)


def costs(server, console, pages, cookie, auth, times=50):
    """What each page costs the broker, in ms of CPU."""
    visitor = Visitor(console, pages, cookie, auth, 1, 0)
    host, port = console.rsplit(":", 1)
    found = []
    with socket.create_connection((host, int(port)), 60) as sock:
        for page in pages:
            before = server.cpu()
            for _ in range(times):
                sock.sendall(visitor.requests[page])
                visitor.answer(sock)
            found.append(((server.cpu() - before) / times * 1000, page))
    found.sort(reverse=True)
    print(f"CPU of the broker for a page: mean {statistics.mean(ms for ms, _ in found):.2f} ms; dearest "
          + ", ".join(f"{page} {ms:.1f}" for ms, page in found[:8]), flush=True)


def measure(o, server, console, pages, cookie, auth):
    ratios = []
    load(server, 3)
    costs(server, console, pages, cookie, auth)
    for i in range(o.rounds):
        alone = load(server, o.seconds) if i % 2 == 0 else 0  # the order changes: what drifts on the machine is nobody's
        before = server.memory()
        rate, asked = beside(o, server, console, pages, cookie, auth)
        after = server.memory()
        alone = alone or load(server, o.seconds)
        ratios.append(rate / alone)
        print(f"round {i + 1}: alone {alone:,.0f}/s, beside {len(asked) / o.seconds:.0f} pages/s {rate:,.0f}/s, ratio {rate / alone:.3f}; page median "
              f"{statistics.median(t for t, _ in asked) * 1000:.1f} ms, worst {asked[-1][0] * 1000:.0f} ms; memory {before:.0f} -> {after:.0f} MiB; slowest {asked[-1][1]}", flush=True)
    if ratios:
        print(f"median ratio {statistics.median(ratios):.3f}")


if __name__ == "__main__":
    main()
