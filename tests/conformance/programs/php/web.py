"""PHP's own web server with the page, and browsers that remember their cookie."""

import contextlib
import http.client
import json
import os
import pathlib
import socket
import subprocess
import time

HERE = pathlib.Path(__file__).parent
PORT = 8080
WORKERS = 8


class Refused(Exception):
    """The page did not end with 200."""


@contextlib.contextmanager
def site(**settings):
    """Runs until the block ends. Settings are those of php.ini, with `__` for a dot."""
    settings = {
        "display_errors": 0,
        "session__save_handler": "redis",
        "session__save_path": "tcp://127.0.0.1:6379?timeout=2&read_timeout=10",
        "session__use_strict_mode": 1,
        "redis__session__locking_enabled": 1,
        "redis__session__lock_retries": -1,
        "redis__session__lock_expire": 10,
    } | settings
    # In quotes: an address has characters that mean something in php.ini.
    defines = [f'-d{name.replace("__", ".")}="{value}"' for name, value in settings.items()]
    command = ["php", *defines, "-S", f"127.0.0.1:{PORT}", str(HERE / "page.php")]
    with open(HERE / "php.log", "a") as log:
        server = subprocess.Popen(command, env=os.environ | {"PHP_CLI_SERVER_WORKERS": str(WORKERS)}, stdout=log, stderr=log, start_new_session=True)
    try:
        wait(True)
        yield
    finally:
        # Its workers are its children, in a group of its own. They may outlive it for a moment, in which they would be taken for the next server.
        os.killpg(server.pid, 9)
        server.wait()
        wait(False)


def wait(is_open):
    """Until somebody listens, or nobody does."""
    until = time.monotonic() + 10
    while listens() != is_open:
        if time.monotonic() > until:
            raise TimeoutError("somebody still listens" if listens() else "nobody listens")
        time.sleep(0.02)


def listens():
    try:
        socket.create_connection(("127.0.0.1", PORT), timeout=1).close()
        return True
    except OSError:
        return False


class Browser:
    def __init__(self, session=None):
        self.session = session

    def ask(self, path):
        """The page's answer. Each request has a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=60)
        try:
            connection.request("GET", path, headers={"Cookie": f"PHPSESSID={self.session}"} if self.session else {})
            reply = connection.getresponse()
            text = reply.read().decode()
            if reply.status != 200:
                raise Refused(f"{path}: {reply.status} {text}")
            for name, value in reply.getheaders():
                if name == "Set-Cookie" and value.startswith("PHPSESSID="):
                    self.session = value.split(";")[0].removeprefix("PHPSESSID=")
            return json.loads(text)
        finally:
            connection.close()
