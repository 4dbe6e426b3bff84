"""Keeps sessions through a library while members are killed, and looks at all of them in the end.

A library's program calls `keep(write, read)`. `write(session, number)` saves a session with a number in it; `read(session)` returns its number, or
None where there is no such session. Both let through what the library raises: nothing here opens a connection anew or asks twice.
"""

import json
import sys
import threading
import time

USERS = 8
SESSIONS_OF_A_USER = 6
# Between two requests of a user, in seconds.
THINKING = 0.005
# For how long a session is looked for in the end, in seconds: the library may have to find out first that its connections are dead.
LOOKING = 20


class User(threading.Thread):
    """One who writes and reads some sessions that nobody else touches."""

    def __init__(self, number, write, read, ended):
        super().__init__(daemon=True)
        self.write, self.read, self.ended = write, read, ended
        self.sessions = [f"user{number}-{session}" for session in range(SESSIONS_OF_A_USER)]
        self.acknowledged = {}
        # Writes that failed: each may have been carried out, or may be later.
        self.unknown = {session: set() for session in self.sessions}
        self.lost, self.times = [], []
        self.failed = 0

    def run(self):
        number = 0
        while not self.ended.is_set():
            number += 1
            for session in self.sessions:
                self.one(session, number)
                time.sleep(THINKING)

    def one(self, session, number):
        try:
            self.write(session, number)
        except Exception as error:
            self.unknown[session].add(number)
            self.say(f"write {session}", error)
            return
        self.acknowledged[session] = number
        self.times.append(time.monotonic())
        try:
            self.check(session, self.read(session))
        except Exception as error:
            self.say(f"read {session}", error)

    def check(self, session, found):
        expected = self.acknowledged.get(session)
        if expected is not None and found != expected and found not in self.unknown[session]:
            self.lost.append(f"{session}: {expected} expected, {found} found")

    def look(self):
        for session in self.acknowledged:
            until = time.monotonic() + LOOKING
            while True:
                try:
                    self.check(session, self.read(session))
                    break
                except Exception as error:
                    self.say(f"look for {session}", error)
                    if time.monotonic() > until:
                        self.lost.append(f"{session}: {error}")
                        break
                    time.sleep(0.1)

    def say(self, what, error):
        self.failed += 1
        print(f"{time.strftime('%H:%M:%S')} {what}: {type(error).__name__}: {error}", file=sys.stderr)


def keep(write, read):
    """Says that it begins, and goes on until the standard input ends; then prints the account."""
    ended = threading.Event()
    users = [User(number, write, read, ended) for number in range(USERS)]
    print("begun", flush=True)
    for user in users:
        user.start()
    sys.stdin.read()
    ended.set()
    for user in users:
        user.join()
        user.look()
    times = sorted(time for user in users for time in user.times)
    account = {
        "sessions": sum(len(user.acknowledged) for user in users),
        "written": len(times),
        "failed": sum(user.failed for user in users),
        "longestWaitMs": round(1000 * max((b - a for a, b in zip(times, times[1:])), default=0)),
        "lost": [lost for user in users for lost in user.lost],
    }
    print(json.dumps(account))
