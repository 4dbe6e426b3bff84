package dev.holdfast.conformance;

/** Each request reads what it needs from Redis. */
class ReadRedisTest extends Sessions {
    ReadRedisTest() {
        super("REDIS");
    }
}
