package dev.holdfast.conformance;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import java.time.Duration;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.springframework.beans.factory.annotation.Autowired;
import org.springframework.boot.test.context.SpringBootTest;
import org.springframework.boot.test.web.server.LocalServerPort;
import org.springframework.data.redis.core.StringRedisTemplate;

/** What holds with each repository, over HTTP. */
@SpringBootTest(webEnvironment = SpringBootTest.WebEnvironment.RANDOM_PORT)
abstract class Sessions {
    @LocalServerPort
    int port;

    @Autowired
    StringRedisTemplate redis;

    Browser ann;

    @BeforeEach
    void somebodyComes() {
        ann = new Browser(port);
    }

    static String key(String id) {
        return "spring:session:sessions:" + id;
    }

    @Test
    void aBrowserKeepsItsSession() {
        assertThat(ann.post("/cart/apple")).isEqualTo("apple");
        assertThat(ann.post("/cart/bread")).isEqualTo("apple,bread");
        assertThat(ann.get("/cart")).isEqualTo("apple,bread");
        assertThat(redis.hasKey(key(ann.get("/id")))).isTrue();
    }

    @Test
    void anotherBrowserHasAnotherSession() {
        Browser ben = new Browser(port);
        ann.post("/cart/apple");
        ben.post("/cart/bread");
        assertThat(ann.get("/cart")).isEqualTo("apple");
        assertThat(ben.get("/cart")).isEqualTo("bread");
    }

    @Test
    void aVisitorWithoutAnythingToRememberHasNoSession() {
        assertThat(ann.get("/cart")).isEqualTo("none");
        assertThat(ann.cookies()).isEmpty();
    }

    @Test
    void anAttributeThatWasRemovedIsGone() {
        ann.post("/cart/apple");
        ann.post("/empty");
        assertThat(ann.get("/cart")).isEmpty();
    }

    @Test
    void aLoginGivesTheSessionAnotherIdAndEndsTheOldOne() {
        ann.post("/cart/apple");
        String before = ann.get("/id");
        String after = ann.post("/login/ann-" + before);
        assertThat(after).isNotEqualTo(before);
        assertThat(ann.get("/id")).isEqualTo(after);
        assertThat(ann.get("/cart")).isEqualTo("apple");
        assertThat(redis.hasKey(key(before))).isFalse();
        assertThat(redis.hasKey(key(after))).isTrue();
    }

    @Test
    void aLogoutEndsTheSession() {
        ann.post("/cart/apple");
        Browser stolen = ann.at(port);
        ann.post("/logout");
        assertThat(stolen.get("/cart")).isEqualTo("none");
    }

    @Test
    void aRequestBeginsTheTimeOfASessionAnew() {
        ann.post("/cart/apple");
        String id = ann.get("/id");
        Duration whole = Duration.ofSeconds(redis.getExpire(key(id)));
        assertThat(whole).isBetween(Duration.ofMinutes(59), Duration.ofMinutes(66));
        redis.expire(key(id), Duration.ofMinutes(10));
        ann.get("/cart");
        assertThat(Duration.ofSeconds(redis.getExpire(key(id)))).isCloseTo(whole, Duration.ofSeconds(10));
    }

    @Test
    void aSessionEndsWhenItsTimeIsOver() {
        ann.post("/cart/apple");
        ann.post("/timeout/1");
        assertThat(ann.get("/cart")).isEqualTo("apple");
        await().pollDelay(Duration.ofSeconds(2)).atMost(Duration.ofSeconds(10)).until(() -> ann.get("/cart").equals("none"));
    }

    @Test
    void manyBrowsersAtOnceStayApart() {
        List<String> carts = IntStream.range(0, 40).parallel().mapToObj(number -> {
            Browser one = new Browser(port);
            IntStream.range(0, 5).forEach(item -> one.post("/cart/" + number + "-" + item));
            return one.get("/cart");
        }).toList();
        assertThat(carts).isEqualTo(IntStream.range(0, 40).mapToObj(
                number -> String.join(",", IntStream.range(0, 5).mapToObj(item -> number + "-" + item).toList())).toList());
    }
}
