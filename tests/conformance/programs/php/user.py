"""Sessions of a site in PHP, asked by browsers that remember their cookie."""

from keeper import keep
from web import Browser, site

browsers = {}


def write(session, number):
    browsers.setdefault(session, Browser()).ask(f"/set?number={number}")


def read(session):
    return browsers[session].ask("/get")


with site():
    keep(write, read)
