package dev.holdfast.conformance;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import java.time.Duration;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.springframework.beans.factory.annotation.Autowired;
import org.springframework.boot.builder.SpringApplicationBuilder;
import org.springframework.boot.web.servlet.context.ServletWebServerApplicationContext;
import org.springframework.context.ApplicationListener;
import org.springframework.context.ConfigurableApplicationContext;
import org.springframework.session.FindByIndexNameSessionRepository;
import org.springframework.session.Session;
import org.springframework.session.events.AbstractSessionEvent;
import org.springframework.session.events.SessionCreatedEvent;
import org.springframework.session.events.SessionDeletedEvent;
import org.springframework.session.events.SessionExpiredEvent;
import org.springframework.test.context.TestPropertySource;

/** With the repository that finds sessions by their users, and tells every application of the cluster when one begins and ends. */
@TestPropertySource(properties = "spring.session.redis.repository-type=indexed")
class RedisIndexedSessionRepositoryTest extends Sessions {
    private static final Duration PATIENCE = Duration.ofSeconds(20);
    /** An event that came twice has come by then. */
    private static final Duration AWHILE = Duration.ofSeconds(2);

    @Autowired
    ConfigurableApplicationContext shop;

    @Autowired
    FindByIndexNameSessionRepository<? extends Session> repository;

    private ConfigurableApplicationContext otherShop;
    private final Events events = new Events();
    private final Events otherEvents = new Events();

    /** What an application was told. */
    private static final class Events implements ApplicationListener<AbstractSessionEvent> {
        private final Queue<AbstractSessionEvent> all = new ConcurrentLinkedQueue<>();

        @Override
        public void onApplicationEvent(AbstractSessionEvent event) {
            all.add(event);
        }

        List<? extends AbstractSessionEvent> of(String id, Class<? extends AbstractSessionEvent> kind) {
            return all.stream().filter(event -> event.getSessionId().equals(id)).filter(kind::isInstance).toList();
        }
    }

    @BeforeEach
    void anotherShopOpens() {
        shop.addApplicationListener(events);
        otherShop = new SpringApplicationBuilder(Shop.class).run("--server.port=0", "--spring.session.redis.repository-type=indexed",
                "--spring.jmx.enabled=false");
        otherShop.addApplicationListener(otherEvents);
    }

    @AfterEach
    void itCloses() {
        shop.removeApplicationListener(events);
        otherShop.close();
    }

    private int otherPort() {
        return ((ServletWebServerApplicationContext) otherShop).getWebServer().getPort();
    }

    /** Both shops are told once, and neither of them twice. */
    private void bothAreToldOnce(String id, Class<? extends AbstractSessionEvent> kind) {
        for (Events told : List.of(events, otherEvents)) {
            await().atMost(PATIENCE).untilAsserted(() -> assertThat(told.of(id, kind)).hasSize(1));
        }
        await().during(AWHILE).atMost(PATIENCE).until(() -> events.of(id, kind).size() == 1 && otherEvents.of(id, kind).size() == 1);
    }

    @Test
    void aSessionIsTheSameInBothShops() {
        ann.post("/cart/apple");
        Browser there = ann.at(otherPort());
        assertThat(there.post("/cart/bread")).isEqualTo("apple,bread");
        assertThat(ann.get("/cart")).isEqualTo("apple,bread");
    }

    @Test
    void theSessionsOfAUserAreFoundByTheirName() {
        String user = "user-" + System.nanoTime();
        Browser phone = new Browser(port);
        ann.post("/cart/apple");
        String first = ann.post("/login/" + user);
        String second = phone.at(otherPort()).post("/login/" + user);
        assertThat(repository.findByPrincipalName(user)).containsOnlyKeys(first, second);
        assertThat((Object) repository.findByPrincipalName(user).get(first).getAttribute("cart")).isEqualTo(List.of("apple"));
        String again = ann.post("/login/" + user);
        assertThat(repository.findByPrincipalName(user)).containsOnlyKeys(again, second);
        ann.post("/logout");
        assertThat(repository.findByPrincipalName(user)).containsOnlyKeys(second);
        repository.deleteById(second);
        assertThat(repository.findByPrincipalName(user)).isEmpty();
    }

    @Test
    void bothShopsAreToldOfANewSession() {
        ann.post("/cart/apple");
        bothAreToldOnce(ann.get("/id"), SessionCreatedEvent.class);
    }

    @Test
    void bothShopsAreToldOfALogout() {
        ann.post("/cart/apple");
        String id = ann.get("/id");
        ann.post("/logout");
        bothAreToldOnce(id, SessionDeletedEvent.class);
        assertThat(events.of(id, SessionExpiredEvent.class)).isEmpty();
    }

    @Test
    void bothShopsAreToldOnceOfASessionWhoseTimeIsOverAndWhatWasInIt() {
        String user = "user-" + System.nanoTime();
        ann.post("/cart/apple");
        String id = ann.post("/login/" + user);
        ann.post("/timeout/1");
        bothAreToldOnce(id, SessionExpiredEvent.class);
        Session ended = events.of(id, SessionExpiredEvent.class).get(0).getSession();
        assertThat((Object) ended.getAttribute("cart")).isEqualTo(List.of("apple"));
        assertThat(events.of(id, SessionDeletedEvent.class)).isEmpty();
        assertThat(repository.findByPrincipalName(user)).isEmpty();
    }
}
