"""A plugin of pytest for suites whose tests name databases of Redis by number: clients of redis-py get database 0, the one that there is."""

import redis
import redis.asyncio


def without_database(before):
    def init(self, *args, **kwargs):
        kwargs.pop("db", None)
        before(self, *args, **kwargs)

    return init


for connection in (redis.connection.AbstractConnection, redis.asyncio.connection.AbstractConnection):
    connection.__init__ = without_database(connection.__init__)
