"""Sessions of Django in its cache backend for Redis."""

import django
from django.conf import settings

settings.configure(
    CACHES={"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://127.0.0.1:6379"}},
    SESSION_ENGINE="django.contrib.sessions.backends.cache",
    SECRET_KEY="conformance",
)
django.setup()

from django.contrib.sessions.backends.cache import SessionStore  # noqa: E402
from django.core.cache import cache  # noqa: E402

from keeper import keep  # noqa: E402

# The key that Django gave to a session.
keys = {}


def write(session, number):
    store = SessionStore(keys.get(session))
    store["number"] = number
    store.save()
    keys[session] = store.session_key


def read(session):
    store = SessionStore(keys[session])
    number = store.get("number")
    if number is None:
        # Django takes an error of its cache for a session that is not there. Here the difference matters, so the cache is asked itself.
        number = (cache.get(SessionStore.cache_key_prefix + keys[session]) or {}).get("number")
    return number


keep(write, read)
