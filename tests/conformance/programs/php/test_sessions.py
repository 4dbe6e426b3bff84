"""The session handler of phpredis with its locks. It brings no tests of its own in Debian's package, so these are ours."""

import threading
import time

import pytest

from web import Browser, site


@pytest.fixture(scope="module", autouse=True)
def running():
    with site():
        yield


def test_a_session_is_kept_and_others_do_not_see_it():
    one, other = Browser(), Browser()
    one.ask("/set?number=42")
    other.ask("/set?number=43")
    assert (one.ask("/get"), other.ask("/get")) == (42, 43)


def test_a_session_that_the_server_does_not_know_gets_another_name():
    browser = Browser("0123456789abcdef0123456789")
    assert browser.ask("/get") is None
    assert browser.session != "0123456789abcdef0123456789"


def test_a_regenerated_session_keeps_its_content_and_its_old_name_is_gone():
    browser = Browser()
    browser.ask("/set?number=7")
    old = browser.session
    browser.ask("/regenerate")
    assert browser.session != old
    assert browser.ask("/get") == 7
    assert Browser(old).ask("/get") is None


def test_a_destroyed_session_is_gone():
    browser = Browser()
    browser.ask("/set?number=7")
    browser.ask("/destroy")
    assert Browser(browser.session).ask("/get") is None


def test_concurrent_requests_of_one_session_come_one_after_the_other():
    browser = Browser()
    browser.ask("/set?number=0")
    errors = []

    def user():
        try:
            for _ in range(25):
                Browser(browser.session).ask("/count")
        except Exception as error:
            errors.append(error)

    users = [threading.Thread(target=user) for _ in range(6)]
    for thread in users:
        thread.start()
    for thread in users:
        thread.join()
    assert errors == []
    assert browser.ask("/get") == 150


def test_a_request_waits_for_one_that_holds_the_session():
    browser = Browser()
    browser.ask("/set?number=1")
    holder = threading.Thread(target=Browser(browser.session).ask, args=("/hold?seconds=1",))
    holder.start()
    time.sleep(0.3)
    began = time.monotonic()
    assert browser.ask("/get") == 1
    assert time.monotonic() - began > 0.4
    holder.join()


def test_a_request_that_holds_one_session_does_not_delay_another():
    one, other = Browser(), Browser()
    one.ask("/set?number=1")
    holder = threading.Thread(target=Browser(one.session).ask, args=("/hold?seconds=2",))
    holder.start()
    time.sleep(0.3)
    began = time.monotonic()
    other.ask("/set?number=2")
    assert time.monotonic() - began < 1
    holder.join()
