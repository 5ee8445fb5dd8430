#!/usr/bin/env python3
"""Measures TreadMQ, side by side with the floor: the least program that does the
work of a durable STOMP queue (parse, group commit, deliver, nothing else). Both run
in turn, several rounds, on this machine; the ratio of each round is what counts.

    scripts/bench/run.py [--rounds 5] [--only p2p,one] [--deep] [--floor DIR] [--messages 200000]
    scripts/bench/run.py --cluster [--rounds 3]
    scripts/bench/run.py --against OTHER/treadmq [--rounds 5 | --pairs 100] [--only p2p,topic]

--floor is the folder with the floor's Go source (default ../shared/bench/limit; without
it the loads are run on TreadMQ alone). --deep adds 10 million queued messages, one old
message behind a million, and 10,000 idle connections: some minutes.

--cluster measures a replicated group of three brokers beside a single one, in turn:
go run ./scripts/bench/group throughput. The time of a failover is the same program's.

--against measures what a change costs: the same loads on another build of TreadMQ, in
turn, and the broker's CPU per message of this build as a ratio of the other's: the geometric
mean of the rounds, with the interval that holds the true one in 95 of 100 such measurements.
With fewer than 10 rounds that interval is wide.

--pairs settles small differences: both builds run all the time and take short loads in turn, a quarter
of the messages each, so that whatever else the machine does meets both alike. It prints the median of the
pairs' ratios with its 95 % interval, by the order of the ratios alone: a pair that was disturbed moves it
little. 100 pairs give about 2 % to either side on a machine at work, 400 give 1 %.
"""
import argparse, json, math, os, re, shutil, signal, socket, statistics, subprocess, sys, tempfile, time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TICK = os.sysconf("SC_CLK_TCK")


class Server:
    """A broker process of ours and what it used."""

    def __init__(self, args, addr=None, cwd=None):
        self.proc = subprocess.Popen(args, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.addr = addr
        if addr is None:
            for line in self.proc.stdout:
                word, _, rest = line.partition(" ")
                if word == "stomp" and self.addr is None:
                    self.addr = rest.strip()
                if word == "pid":
                    break
        host, port = self.addr.rsplit(":", 1)
        for _ in range(500):
            try:
                socket.create_connection((host, int(port)), 1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise SystemExit(f"{args[0]} does not answer on {self.addr}")

    def cpu(self):
        """CPU seconds so far; to the nanosecond where the kernel keeps schedstat, else in ticks."""
        tasks = f"/proc/{self.proc.pid}/task"
        try:
            return sum(int(open(f"{tasks}/{t}/schedstat").read().split()[0]) for t in os.listdir(tasks)) / 1e9
        except OSError:
            pass
        f = open(f"/proc/{self.proc.pid}/stat").read().rsplit(")", 1)[1].split()
        return (int(f[11]) + int(f[12])) / TICK

    def memory(self, key="VmRSS"):
        status = open(f"/proc/{self.proc.pid}/status").read()
        return int(re.search(key + r":\s+(\d+)", status).group(1)) / 1024

    def end(self, how=signal.SIGTERM):
        self.proc.send_signal(how)
        self.proc.wait(60)


def bench(server, *flags):
    """One run of `treadmq bench`; adds the broker's CPU per message in microseconds."""
    before = server.cpu()
    out = subprocess.run([BIN, "-q", "bench", *flags, "--url", "tcp://" + server.addr, "-o", "json", "--idle", "30s"],
                         stdout=subprocess.PIPE, text=True)
    if not out.stdout:
        raise SystemExit(f"treadmq bench {' '.join(flags)} failed with {out.returncode}")
    r = json.loads(out.stdout)
    if r["lost"] or r["duplicates"] or r["disorder"]:
        raise SystemExit(f"lost {r['lost']}, duplicates {r['duplicates']}, disorder {r['disorder']}: {r['repeat']}")
    n = max(r["sent"], r["received"])
    r["cpu"] = (server.cpu() - before) * 1e6 / max(n, 1)
    r["rate"] = r["recvRate"] if r["received"] else r["sendRate"]
    return r


def loads(n):
    p2p = ["--producers", "4", "--consumers", "4", "--window", "200", "--count", str(n)]
    return {
        "p2p": ("queue, persistent, 4 x window 200, 4 consumers", "sync", p2p),
        "one": ("one producer awaits each receipt", "sync", ["--mode", "fill", "--producers", "1", "--window", "1", "--count", str(n // 25)]),
        "sixteen": ("16 producers await each receipt", "sync", ["--mode", "fill", "--producers", "16", "--window", "1", "--count", str(n // 5)]),
        "volatile": ("queue, non-persistent, auto ack", "nosync", p2p + ["--persistent=false", "--ack", "auto"]),
        "topic": ("topic, 1 producer, 10 subscribers", None, ["/topic/bench", "--producers", "1", "--consumers", "10", "--window", "200",
                  "--count", str(n // 4), "--persistent=false", "--ack", "auto"]),
        "large": ("64 KiB bodies, persistent", "disk", ["--mode", "fill", "--producers", "4", "--window", "20", "--size", "65536", "--count", "8000"]),
    }


def interval(ratios):
    """Geometric mean of ratios and its 95 % confidence interval (Student's t)."""
    logs = [math.log(x) for x in ratios]
    mean, n = statistics.mean(logs), len(logs)
    if n < 2:
        return ratios[0], 0.0, math.inf
    t = {1: 12.71, 2: 4.30, 3: 3.18, 4: 2.78, 5: 2.57, 6: 2.45, 7: 2.36, 8: 2.31, 9: 2.26}.get(n - 1, 2.23 if n < 21 else 2.09)
    half = t * statistics.stdev(logs) / math.sqrt(n)
    return math.exp(mean), math.exp(mean - half), math.exp(mean + half)


def disk_rate(folder):
    """Sequential writes of 64 KiB with one fdatasync at the end, MB/s."""
    path, block, count = os.path.join(folder, "disk.test"), b"x" * 65536, 8000
    start = time.monotonic()
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for _ in range(count):
        os.write(fd, block)
    os.fdatasync(fd)
    os.close(fd)
    rate = len(block) * count / 1e6 / (time.monotonic() - start)
    os.remove(path)
    return rate


def start_ours(folder, *more, binary=None):
    return Server([binary or BIN, "console", "--data", os.path.join(folder, "data"), "--realm", os.path.join(folder, "realm"),
                   "--stomp", "127.0.0.1:0", "--console", "", *more], cwd=folder)


def compare(args, work):
    floor = None
    if os.path.isdir(args.floor):
        floor = os.path.join(work, "floor")
        subprocess.run(["go", "build", "-o", floor, "."], cwd=args.floor, check=True)
    else:
        print(f"no floor at {args.floor}: TreadMQ alone", file=sys.stderr)
    print(f"{'load':<50} {'TreadMQ':>12} {'floor':>12} {'ratio':>6} {'us CPU':>7} {'floor':>6}   ratios of the rounds")
    for name, (text, against, flags) in loads(args.messages).items():
        if args.only and name not in args.only:
            continue
        ours, theirs, ratios, cpu, fcpu = [], [], [], [], []
        for i in range(args.rounds):
            folder = tempfile.mkdtemp(dir=work)
            before = disk_rate(folder) if against == "disk" else 0
            server = start_ours(folder)
            try:
                r = bench(server, *flags)
            finally:
                server.end()
            value = r["rate"] if against != "disk" else r["sendMBps"]
            ours.append(value)
            cpu.append(r["cpu"])
            if against == "disk":
                other = (before + disk_rate(folder)) / 2
            elif against and floor:
                port = free_port()
                f = Server([floor, "-addr", f"127.0.0.1:{port}", "-file", os.path.join(folder, "floor.journal")] +
                           (["-sync=false"] if against == "nosync" else []), addr=f"127.0.0.1:{port}")
                try:
                    fr = bench(f, *flags)
                finally:
                    f.end(signal.SIGKILL)
                other = fr["rate"]
                fcpu.append(fr["cpu"])
            else:
                other = None
            if other:
                theirs.append(other)
                ratios.append(value / other)
            shutil.rmtree(folder)
        m = statistics.median
        unit = " MB/s" if against == "disk" else "/s"
        print(f"{text:<50} {m(ours):>9,.0f}{unit} " + (f"{m(theirs):>9,.0f}{unit} {m(ratios):>6.2f}" if theirs else f"{'':>11} {'':>6}") +
              f" {m(cpu):>7.2f} " + (f"{m(fcpu):>6.2f}" if fcpu else f"{'':>6}") + "   " + " ".join(f"{x:.2f}" for x in ratios), flush=True)


def compare_builds(args, work):
    """CPU per message of this build over that of another, in pairs, each first in turn."""
    print(f"{'load':<50} {'us CPU':>7} {'other':>7} {'ratio':>6} {'95 %':>13} {'rate':>6}   ratios of the rounds")
    for name, (text, _, flags) in loads(args.messages).items():
        if args.only and name not in args.only:
            continue
        cpu, rate = {BIN: [], args.against: []}, {BIN: [], args.against: []}
        for i in range(args.rounds):
            pair = [BIN, args.against]
            for binary in pair if i % 2 == 0 else reversed(pair):
                folder = tempfile.mkdtemp(dir=work)
                server = start_ours(folder, binary=binary)
                try:
                    r = bench(server, *flags)
                finally:
                    server.end()
                cpu[binary].append(r["cpu"])
                rate[binary].append(r["rate"])
                shutil.rmtree(folder)
        m = statistics.median
        ratios = [a / b for a, b in zip(cpu[BIN], cpu[args.against])]
        rates = [a / b for a, b in zip(rate[BIN], rate[args.against])]
        mean, low, high = interval(ratios)
        print(f"{text:<50} {m(cpu[BIN]):>7.2f} {m(cpu[args.against]):>7.2f} {mean:>6.3f} {low:>6.3f}-{high:<6.3f} {m(rates):>6.2f}   " +
              " ".join(f"{x:.3f}" for x in ratios), flush=True)


def median_interval(ratios):
    """Median and its 95 % interval, by order statistics: no distribution is assumed."""
    xs, n = sorted(ratios), len(ratios)
    skip = max(0, int((n - 1.96 * math.sqrt(n)) / 2))  # so many lie outside on either side
    return statistics.median(xs), xs[skip], xs[n - 1 - skip]


class Side:
    """One of two builds that take short loads in turn."""

    def __init__(self, binary, work):
        self.folder = tempfile.mkdtemp(dir=work)
        self.server = start_ours(self.folder, binary=binary)
        self.mark = 0
        self.cpu = []

    def run(self, flags):
        """One load. What the broker does between two of them counts too, but not emptying a queue that was filled."""
        n = bench(self.server, *flags)["sent"]
        now = self.server.cpu()
        self.cpu.append((now - self.mark) * 1e6 / n)
        if "fill" in flags:
            bench(self.server, "--mode", "drain", "--consumers", "4", "--count", str(n))
            now = self.server.cpu()
        self.mark = now

    def end(self):
        self.server.end()
        shutil.rmtree(self.folder)


def alternate_builds(args, work):
    """CPU per message sent of this build over that of another, by many short loads in turn."""
    print(f"{'load':<50} {'us CPU':>7} {'other':>7} {'ratio':>6} {'95 %':>13}  pairs")
    for name, (text, _, flags) in loads(args.messages // 4).items():
        if args.only and name not in args.only:
            continue
        sides = [Side(BIN, work), Side(args.against, work)]
        try:
            for i in range(args.pairs + 2):
                for side in sides if i % 2 == 0 else reversed(sides):
                    side.run(flags)
        finally:
            for side in sides:
                side.end()
        ours, other = (side.cpu[2:] for side in sides)  # the first two warm up
        mid, low, high = median_interval([a / b for a, b in zip(ours, other)])
        m = statistics.median
        print(f"{text:<50} {m(ours):>7.2f} {m(other):>7.2f} {mid:>6.3f} {low:>6.3f}-{high:<6.3f}  {args.pairs}", flush=True)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def deep(work):
    folder = tempfile.mkdtemp(dir=work)
    server = start_ours(folder)
    n = 10_000_000
    r = bench(server, "--mode", "fill", "--producers", "4", "--window", "200", "--count", str(n))
    print(f"10 million queued: filled at {r['rate']:,.0f}/s, peak memory {server.memory('VmHWM'):.0f} MB")
    server.end(signal.SIGKILL)
    start = time.monotonic()
    server = start_ours(folder)
    print(f"  ready {time.monotonic() - start:.2f} s after kill -9")
    r = bench(server, "--mode", "drain", "--consumers", "4", "--count", str(n))
    print(f"  drained {r['received']:,} at {r['rate']:,.0f}/s, {r['cpu']:.2f} us CPU each, peak memory {server.memory('VmHWM'):.0f} MB")
    server.end()

    folder = tempfile.mkdtemp(dir=work)
    server = start_ours(folder)
    bench(server, "/queue/old", "--mode", "fill", "--count", "1")
    bench(server, "--producers", "4", "--consumers", "4", "--window", "200", "--count", "1000000")
    time.sleep(5)  # for checkpoint and compaction, which run every second or two
    names = os.listdir(os.path.join(folder, "data", "store"))
    segments = [x for x in names if x.endswith(".log")]
    print(f"1 million sent and acknowledged, 1 old message left: {len(segments)} segments, "
          f"{sum(os.path.getsize(os.path.join(folder, 'data', 'store', x)) for x in segments) >> 20} MiB of journal")

    before, conns = server.memory(), []
    import resource
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(10_000, hard - 100)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    host, port = server.addr.rsplit(":", 1)
    for _ in range(count):
        s = socket.create_connection((host, int(port)))
        s.sendall(b"CONNECT\naccept-version:1.2\nhost:/\nheart-beat:10000,10000\n\n\0")
        conns.append(s)
    for s in conns:
        data = b""
        while not data.rstrip(b"\n").endswith(b"\0"):
            data += s.recv(4096)
    for _ in range(2):
        for s in conns:
            s.sendall(b"\n")
        time.sleep(8)
    print(f"{count:,} idle connections with heart-beats: {(server.memory() - before) * 1024 / count:.1f} KiB of resident memory each")
    server.end()


def main():
    global BIN
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--messages", type=int, default=200_000)
    p.add_argument("--only", type=lambda s: s.split(","))
    p.add_argument("--deep", action="store_true")
    p.add_argument("--floor", default=os.path.join(ROOT, "..", "shared", "bench", "limit"))
    p.add_argument("--against", metavar="BINARY")
    p.add_argument("--pairs", type=int, default=0)
    p.add_argument("--cluster", action="store_true")
    args = p.parse_args()
    BIN = os.path.join(ROOT, "bin", "treadmq")
    if not os.path.exists(BIN):
        sys.exit("bin/treadmq is not there: run make build first")
    if args.cluster:
        sys.exit(subprocess.call(["go", "run", "./scripts/bench/group", "throughput", "--rounds", str(args.rounds),
                                  "--messages", str(args.messages)], cwd=ROOT))
    work = tempfile.mkdtemp(prefix="treadmq-bench-")
    try:
        print(f"# {time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, {subprocess.run([BIN, 'version'], stdout=subprocess.PIPE, text=True).stdout.splitlines()[0]}")
        if args.against:
            return alternate_builds(args, work) if args.pairs else compare_builds(args, work)
        compare(args, work)
        if args.deep:
            deep(work)
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
