"""An application of Flask with its sessions in Redis, asked by browsers that remember their cookie."""

import flask
from flask_session import Session

from keeper import keep

app = flask.Flask("conformance")
app.config["SESSION_TYPE"] = "redis"
Session(app)

browsers = {}


@app.post("/<int:number>")
def save(number):
    flask.session["number"] = number
    return ""


@app.get("/")
def load():
    return flask.jsonify(flask.session.get("number"))


def ask(session, method, path):
    browser = browsers.setdefault(session, app.test_client())
    reply = browser.open(path, method=method)
    if reply.status_code != 200:
        raise RuntimeError(f"{method} {path}: {reply.status}")
    return reply


def write(session, number):
    ask(session, "POST", f"/{number}")


def read(session):
    return ask(session, "GET", "/").json


keep(write, read)
