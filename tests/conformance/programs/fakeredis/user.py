"""Sessions in hashes, written by pipelines that are transactions, through redis-py's asynchronous client."""

import asyncio
import threading

import redis.asyncio

from keeper import keep

loop = asyncio.new_event_loop()
threading.Thread(target=loop.run_forever, daemon=True).start()
client = redis.asyncio.Redis(socket_timeout=5)


def done(work):
    return asyncio.run_coroutine_threadsafe(work, loop).result()


async def save(session, number):
    async with client.pipeline(transaction=True) as pipeline:
        await pipeline.hset(f"session:{session}", "number", number).expire(f"session:{session}", 3600).execute()


async def load(session):
    found = await client.hget(f"session:{session}", "number")
    return None if found is None else int(found)


keep(lambda session, number: done(save(session, number)), lambda session: done(load(session)))
