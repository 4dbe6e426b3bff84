package dev.holdfast.conformance;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import java.time.Duration;
import java.util.List;
import java.util.stream.IntStream;
import org.apache.catalina.startup.Tomcat;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;

/** What holds with each way of reading, over HTTP, in two Tomcats. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
abstract class Sessions {
    private static final Duration PATIENCE = Duration.ofSeconds(10);

    private final String readMode;
    private Tomcat here;
    private Tomcat there;
    private Browser ann;

    Sessions(String readMode) {
        this.readMode = readMode;
    }

    @BeforeAll
    void twoShopsOpen() throws Exception {
        here = Shop.start(0, readMode);
        there = Shop.start(0, readMode);
    }

    @AfterAll
    void theyClose() throws Exception {
        for (Tomcat shop : List.of(here, there)) {
            shop.stop();
            shop.destroy();
        }
    }

    @BeforeEach
    void somebodyComes() {
        ann = new Browser(port(here));
    }

    private static int port(Tomcat shop) {
        return shop.getConnector().getLocalPort();
    }

    /** Somebody with the cookies of Ann in the other shop. */
    private Browser annThere() {
        return ann.at(port(there));
    }

    @Test
    void aBrowserKeepsItsSession() {
        assertThat(ann.post("/cart/apple")).isEqualTo("apple");
        assertThat(ann.post("/cart/bread")).isEqualTo("apple,bread");
        assertThat(ann.get("/cart")).isEqualTo("apple,bread");
    }

    @Test
    void aSessionIsTheSameInBothShops() {
        ann.post("/cart/apple");
        assertThat(annThere().get("/cart")).isEqualTo("apple");
        annThere().post("/cart/bread");
        // Where sessions are read from memory, the other shop is told of the change, and a moment passes.
        await().atMost(PATIENCE).until(() -> ann.get("/cart").equals("apple,bread"));
        ann.post("/empty");
        await().atMost(PATIENCE).until(() -> annThere().get("/cart").isEmpty());
    }

    @Test
    void anotherBrowserHasAnotherSession() {
        Browser ben = new Browser(port(here));
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
    void aLoginGivesTheSessionAnotherId() {
        ann.post("/cart/apple");
        String before = ann.get("/id");
        String after = ann.post("/login/ann");
        assertThat(after).isNotEqualTo(before);
        assertThat(ann.get("/id")).isEqualTo(after);
        assertThat(ann.get("/cart")).isEqualTo("apple");
        assertThat(annThere().get("/cart")).isEqualTo("apple");
    }

    @Test
    void aLogoutEndsTheSessionInBothShops() {
        ann.post("/cart/apple");
        Browser stolen = ann.at(port(here));
        Browser there = annThere();
        assertThat(there.get("/cart")).isEqualTo("apple");
        ann.post("/logout");
        assertThat(stolen.get("/cart")).isEqualTo("none");
        // A Tomcat that has read the session has an object of it, in which nothing is left.
        await().atMost(PATIENCE).until(() -> List.of("none", "").contains(there.get("/cart")));
    }

    @Test
    void aSessionEndsInBothShopsWhenItsTimeIsOver() {
        ann.post("/cart/apple");
        ann.post("/timeout/2");
        assertThat(ann.get("/cart")).isEqualTo("apple");
        // Whoever asks sooner keeps it alive.
        Duration pause = Duration.ofSeconds(4);
        await().pollDelay(pause).pollInterval(pause).atMost(PATIENCE.multipliedBy(2)).until(() -> ann.get("/cart").equals("none"));
        assertThat(annThere().get("/cart")).isEqualTo("none");
    }

    @Test
    void manyBrowsersAtOnceStayApart() {
        List<String> carts = IntStream.range(0, 40).parallel().mapToObj(number -> {
            Browser one = new Browser(port(number % 2 == 0 ? here : there));
            IntStream.range(0, 5).forEach(item -> one.post("/cart/" + number + "-" + item));
            return one.get("/cart");
        }).toList();
        assertThat(carts).isEqualTo(IntStream.range(0, 40).mapToObj(
                number -> String.join(",", IntStream.range(0, 5).mapToObj(item -> number + "-" + item).toList())).toList());
    }
}
