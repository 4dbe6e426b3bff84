"""Browsers of a small web application while members are killed: each session of `keeper` is a cookie.

`browser.py COMMAND...` starts the application, which listens at 127.0.0.1:8080. It saves a number by `POST /?number=...`, and tells it by `GET /`: 404 is
for a session without one. An answer of 5xx says that the session store failed; what became of a write is then not known.
"""

import http.client
import subprocess
import sys
import threading
import time

from keeper import keep

# The application has to have started by then, in seconds.
STARTING = 60
# For one request, in seconds.
PATIENCE = 30

# What the application said in its last `Set-Cookie` of each name, by session.
cookies = {}
# Each thread is a browser, with one connection to the application.
browsers = threading.local()


def ask(session, method, path):
    connection = getattr(browsers, "connection", None)
    if connection is None:
        connection = browsers.connection = http.client.HTTPConnection("127.0.0.1", 8080, timeout=PATIENCE)
    known = cookies.setdefault(session, {})
    try:
        connection.request(method, path, headers={"Cookie": "; ".join(f"{name}={value}" for name, value in known.items())})
        response = connection.getresponse()
        text = response.read().decode()
    except (http.client.HTTPException, OSError):
        browsers.connection = None
        connection.close()
        raise
    if response.status >= 500:
        raise RuntimeError(f"{response.status} {text.strip()[:200]}")
    for header in response.headers.get_all("Set-Cookie", []):
        name, _, value = header.partition(";")[0].partition("=")
        known[name] = value
    return response.status, text


def write(session, number):
    status, text = ask(session, "POST", f"/?number={number}")
    if status != 200:
        raise RuntimeError(f"{status} {text.strip()[:200]}")


def read(session):
    status, text = ask(session, "GET", "/")
    return None if status == 404 else int(text)


def wait(application):
    until = time.monotonic() + STARTING
    while True:
        try:
            ask("nobody", "GET", "/")
            return
        except (http.client.HTTPException, OSError, RuntimeError, ValueError):
            if application.poll() is not None or time.monotonic() > until:
                raise
            time.sleep(0.05)


application = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=sys.stderr)
try:
    wait(application)
    keep(write, read)
finally:
    application.kill()
