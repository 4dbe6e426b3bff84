package dev.holdfast.conformance;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.net.CookieManager;
import java.net.HttpCookie;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.List;

/** Somebody in the shop, with cookies of their own. */
class Browser {
    private final CookieManager cookies = new CookieManager();
    private final HttpClient client = HttpClient.newBuilder().cookieHandler(cookies).build();
    private final int port;

    Browser(int port) {
        this.port = port;
    }

    String get(String path) {
        return ask(HttpRequest.newBuilder().GET(), path);
    }

    String post(String path) {
        return ask(HttpRequest.newBuilder().POST(HttpRequest.BodyPublishers.noBody()), path);
    }

    List<HttpCookie> cookies() {
        return cookies.getCookieStore().getCookies();
    }

    /** Goes on in another shop of the same cluster. */
    Browser at(int port) {
        Browser other = new Browser(port);
        cookies().forEach(cookie -> other.cookies.getCookieStore().add(URI.create("http://localhost:" + port), cookie));
        return other;
    }

    private String ask(HttpRequest.Builder request, String path) {
        try {
            HttpRequest complete = request.uri(URI.create("http://localhost:" + port + path)).build();
            HttpResponse<String> response = client.send(complete, HttpResponse.BodyHandlers.ofString());
            assertThat(response.statusCode()).as("%s %s: %s", complete.method(), path, response.body()).isEqualTo(200);
            return response.body();
        } catch (IOException | InterruptedException error) {
            throw new AssertionError(path, error);
        }
    }
}
