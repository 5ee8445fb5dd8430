#!/usr/bin/env python3
"""Measures what people who look at the console cost the messages: a broker is under load
twice in turn, alone and while every page of its console is asked for, again and again.

    scripts/bench/console.py [--rate 50] [--seconds 60] [--rounds 3] [--queues 100]

It prints messages a second of both, the ratio, the pages' times and the broker's memory at
the beginning and the end of the pages.
"""
import argparse, base64, http.client, json, os, re, statistics, subprocess, tempfile, threading, time

import run
from run import Server

BIN = os.path.join(run.ROOT, "bin", "treadmq")

PAGES = ["/admin/", "/admin/queues", "/admin/queue?name=q001", "/admin/topics", "/admin/connections", "/admin/deadletters",
         "/admin/schedules", "/admin/subscriptions", "/admin/jobs", "/admin/policies", "/admin/users", "/admin/audit", "/admin/settings",
         "/api/v1/overview", "/api/v1/queues", "/metrics", "/api/jolokia/read/org.apache.activemq:type=Broker,brokerName=localhost"]


def basic(user, password):
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


class Visitor(threading.Thread):
    """Asks for pages at a rate until told to stop."""

    def __init__(self, addr, cookie, auth, rate, start):
        super().__init__(daemon=True)
        self.addr, self.cookie, self.auth, self.rate, self.start_at = addr, cookie, auth, rate, start
        self.times, self.failures, self.over = [], 0, threading.Event()

    def run(self):
        conn = http.client.HTTPConnection(self.addr, timeout=60)
        due, n = time.monotonic(), self.start_at
        while not self.over.wait(max(0, due - time.monotonic())):
            due += 1 / self.rate
            page = PAGES[n % len(PAGES)]
            n += 1
            head = {"Cookie": self.cookie} if page.startswith("/admin") else self.auth
            begun = time.monotonic()
            try:
                conn.request("GET", page, headers=head)
                answer = conn.getresponse()
                answer.read()
                if answer.status != 200:
                    self.failures += 1
            except OSError:
                self.failures += 1
                conn.close()
            self.times.append(time.monotonic() - begun)


def login(addr, user, password):
    conn = http.client.HTTPConnection(addr, timeout=60)
    conn.request("POST", "/admin/login", f"user={user}&password={password}", {"Content-Type": "application/x-www-form-urlencoded"})
    answer = conn.getresponse()
    answer.read()
    cookies = [c.split(";")[0] for c in answer.headers.get_all("Set-Cookie") or []]
    if answer.status != 303 or not cookies:
        raise SystemExit(f"the login was answered with {answer.status}")
    return "; ".join(cookies)


def load(server, seconds):
    out = subprocess.run([BIN, "-q", "bench", "--producers", "2", "--consumers", "2", "--duration", f"{seconds}s", "--url", "tcp://" + server.addr,
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
    p.add_argument("--rounds", type=int, default=3)
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
            cookie = login(console, "admin", "secret")
            measure(o, server, console, cookie, auth)
        finally:
            server.end()


def measure(o, server, console, cookie, auth):
    ratios = []
    load(server, 3)
    for i in range(o.rounds):
        alone = load(server, o.seconds)
        before = server.memory()
        visitors = [Visitor(console, cookie, auth, o.rate / 4, n * 4) for n in range(4)]
        for v in visitors:
            v.start()
        beside = load(server, o.seconds)
        for v in visitors:
            v.over.set()
        for v in visitors:
            v.join()
        times = sorted(t for v in visitors for t in v.times)
        failures = sum(v.failures for v in visitors)
        if failures:
            raise SystemExit(f"{failures} pages failed")
        ratios.append(beside / alone)
        print(f"round {i + 1}: alone {alone:,.0f}/s, beside {len(times) / o.seconds:.0f} pages/s {beside:,.0f}/s, ratio {beside / alone:.3f}; "
              f"page median {statistics.median(times) * 1000:.1f} ms, worst {times[-1] * 1000:.0f} ms; memory {before:.0f} -> {server.memory():.0f} MiB", flush=True)
    print(f"median ratio {statistics.median(ratios):.3f}")


if __name__ == "__main__":
    main()
