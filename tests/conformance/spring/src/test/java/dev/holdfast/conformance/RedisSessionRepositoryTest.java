package dev.holdfast.conformance;

import org.springframework.test.context.TestPropertySource;

/** With the repository that Spring takes if nothing is said. */
@TestPropertySource(properties = "spring.session.redis.repository-type=default")
class RedisSessionRepositoryTest extends Sessions {}
