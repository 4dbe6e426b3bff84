"""Sessions as applications keep them by redis-py itself, with its pool and its own retries."""

import redis

from keeper import keep

client = redis.Redis(socket_timeout=5)


def write(session, number):
    client.set(f"session:{session}", number, ex=3600)


def read(session):
    found = client.get(f"session:{session}")
    return None if found is None else int(found)


keep(write, read)
