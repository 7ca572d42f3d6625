"""Running commands within a time budget, and keeping what came of them."""
import os
import shlex
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RESERVE = 8  # seconds for the report
PASS, FAIL, SKIPPED, PARTIAL = "PASS", "FAIL", "SKIPPED", "PARTIAL"
DEVICE = "cuda"


class Result:
    """What a command did. rc: its exit code; None: it was stopped, or could not be started."""

    def __init__(self, command, rc=None, out="", err="", seconds=0.0, timed_out=False):
        self.command, self.rc, self.out, self.err = command, rc, out, err
        self.seconds, self.timed_out = seconds, timed_out

    @property
    def ok(self):
        return self.rc == 0

    def why(self):
        """One line on how it ended."""
        if self.timed_out:
            return f"stopped after {self.seconds:.0f} s"
        lines = [line for line in (self.err + "\n" + self.out).splitlines() if line.strip()]
        return f"exit code {self.rc}: {lines[-1].strip()[:160] if lines else 'no output'}"


def stop(process):
    """The whole group: a test's children hold the pipes."""
    for kind in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, kind)
        except ProcessLookupError:
            return
        try:
            process.wait(timeout=3)
        except subprocess.TimeoutExpired:
            continue


class Part:
    """One part of the check: a name, its share of the time, a function of the Check."""

    def __init__(self, name, share, function):
        self.name, self.share, self.function = name, share, function


class Check:
    def __init__(self, options):
        self.options, self.dry, self.light = options, options.dry_run, options.light
        self.start = time.monotonic()
        self.deadline = self.start + 60 * options.minutes - RESERVE
        self.build = Path(options.build).resolve()
        self.work = self.build / "gpu-check"
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir(parents=True)
        self.env = dict(os.environ, OMP_WAIT_POLICY="PASSIVE", GOMP_SPINCOUNT="0")
        self.tools, self.facts = {}, {}
        self.results = []  # {"part", "status", "line", "seconds"}
        self.figures = {}  # what the report shows, by part
        self.commands = []  # {"part", "command", "seconds", "rc"}
        self.part, self.part_end = None, self.deadline
        self.lock = threading.Lock()
        self.log = open(self.work / "log", "w", errors="replace")

    # ---- commands ------------------------------------------------------------------------------

    def left(self):
        return self.part_end - time.monotonic()

    def run(self, command, seconds, env=None, cwd=ROOT):
        """Run a command to its end, `seconds`, or the end of the part's time."""
        command = [str(word) for word in command]
        limit = min(seconds, self.left())
        begin = time.monotonic()
        result = Result(command)
        if limit < 1:
            result.err, result.timed_out = "no time was left", True
            self.keep(result)
            return result
        try:
            process = subprocess.Popen(command, cwd=cwd, env=dict(self.env, **(env or {})),
                                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE, start_new_session=True)
        except OSError as error:
            result.err = str(error)
            self.keep(result)
            return result
        readers, texts = [], [[], []]
        for pipe, text in zip((process.stdout, process.stderr), texts):
            reader = threading.Thread(target=lambda p, t: t.append(p.read()), args=(pipe, text),
                                      daemon=True)
            reader.start()
            readers.append(reader)
        try:
            result.rc = process.wait(timeout=limit)
        except subprocess.TimeoutExpired:
            result.timed_out = True
            stop(process)
        for reader in readers:  # a grandchild may hold a pipe open
            reader.join(timeout=2)
        result.out, result.err = (b"".join(text).decode(errors="replace") for text in texts)
        result.seconds = time.monotonic() - begin
        self.keep(result, env)
        return result

    def keep(self, result, env=None):
        words = [f"{k}={shlex.quote(v)}" for k, v in (env or {}).items()]
        text = " ".join(words + [shlex.quote(w) for w in result.command])
        with self.lock:
            self.commands.append({"part": self.part, "command": text, "rc": result.rc,
                                  "seconds": round(result.seconds, 2)})
            self.log.write(f"$ {text}\n{result.out}{result.err}"
                           f"[rc {result.rc}, {result.seconds:.2f} s]\n\n")
            self.log.flush()

    def run_all(self, jobs, most):
        """jobs: {key: function of no arguments}, at most `most` at a time -> {key: its value}."""
        out, waiting, threads = {}, list(jobs.items()), []

        def worker():
            while True:
                with self.lock:
                    if not waiting:
                        return
                    key, job = waiting.pop(0)
                out[key] = job()

        for _ in range(most):
            threads.append(threading.Thread(target=worker))
            threads[-1].start()
        for thread in threads:
            thread.join()
        return out

    # ---- parts ---------------------------------------------------------------------------------

    def run_part(self, part, shares_left):
        """A part may take its share of the time that is left; what it does not take stays."""
        begin = time.monotonic()
        left = self.deadline - begin
        limit = max(0, left * part.share / shares_left)
        self.part, self.part_end = part.name, begin + limit
        print(f"-- {part.name} (at most {limit:.0f} s)", flush=True)
        try:
            status, line = (SKIPPED, "no time was left") if left < 2 else part.function(self)
        except Exception as error:  # the parts after it are worth running
            import traceback
            self.log.write(traceback.format_exc())
            status, line = FAIL, f"gpu-check itself: {type(error).__name__}: {error}"
        seconds = time.monotonic() - begin
        self.results.append({"part": part.name, "status": status, "line": line,
                             "seconds": round(seconds, 1)})
        print(f"   {status}: {line} ({seconds:.0f} s)", flush=True)
