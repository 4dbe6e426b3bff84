"""Django's cache for Redis with one difference: a write is answered when a replica has it. WAIT goes to Redis together with the SET before it."""

import redis
from django.core.cache.backends.redis import RedisCache, RedisCacheClient

PATIENCE_MS = 5000


class WaitingRedis(redis.Redis):
    def set(self, *args, **options):
        answer, copies = self.pipeline(transaction=False).set(*args, **options).wait(1, PATIENCE_MS).execute()
        if copies < 1:
            raise redis.TimeoutError("no replica has the write")
        return answer


class WaitingClient(RedisCacheClient):
    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self._client = WaitingRedis


class WaitingCache(RedisCache):
    def __init__(self, *args):
        super().__init__(*args)
        self._class = WaitingClient
