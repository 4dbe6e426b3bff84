"""Settings of the session handler of phpredis other than those that most sites have."""

import threading
import time

from web import Browser, site


def test_a_session_ends_with_its_lifetime():
    with site(session__gc_maxlifetime=1):
        browser = Browser()
        browser.ask("/set?number=1")
        assert browser.ask("/get") == 1
        time.sleep(1.5)
        assert browser.ask("/get") is None


def test_a_session_that_is_only_read_lives_on():
    with site(session__gc_maxlifetime=2):
        browser = Browser()
        browser.ask("/set?number=1")
        for _ in range(3):
            time.sleep(1)
            assert browser.ask("/get") == 1


def test_a_session_that_is_refreshed_when_it_is_read_lives_on():
    with site(session__gc_maxlifetime=2, redis__session__early_refresh=1):
        browser = Browser()
        browser.ask("/set?number=1")
        for _ in range(3):
            time.sleep(1)
            assert browser.ask("/get") == 1


def test_a_request_that_waits_too_long_for_a_session_goes_on_without_saving_it():
    with site(redis__session__lock_retries=5, redis__session__lock_wait_time=20000):
        browser = Browser()
        browser.ask("/set?number=1")
        holder = threading.Thread(target=Browser(browser.session).ask, args=("/hold?seconds=2",))
        holder.start()
        time.sleep(0.3)
        # phpredis says nothing to the page; only the session stays as it was.
        browser.ask("/set?number=2")
        holder.join()
        assert browser.ask("/get") == 1


def test_a_lock_that_is_not_released_ends_with_its_time():
    with site(redis__session__lock_expire=2):
        browser = Browser()
        browser.ask("/set?number=1")
        # The request holds the session longer than the lock lives; the next one need not wait for its end.
        holder = threading.Thread(target=Browser(browser.session).ask, args=("/hold?seconds=4",))
        holder.start()
        time.sleep(0.3)
        began = time.monotonic()
        assert browser.ask("/get") == 1
        assert time.monotonic() - began < 3.5
        holder.join()


def test_sessions_without_locks_are_kept():
    with site(redis__session__locking_enabled=0):
        browser = Browser()
        browser.ask("/set?number=5")
        assert browser.ask("/get") == 5


def test_a_prefix_of_keys_is_kept_apart():
    with site(session__save_path="tcp://127.0.0.1:6379?prefix=one:"):
        browser = Browser()
        browser.ask("/set?number=5")
        assert browser.ask("/get") == 5
    with site(session__save_path="tcp://127.0.0.1:6379?prefix=other:"):
        assert Browser(browser.session).ask("/get") is None
