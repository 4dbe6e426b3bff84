package dev.holdfast.conformance;

import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import jakarta.servlet.http.HttpSession;
import java.io.IOException;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.List;
import org.apache.catalina.Context;
import org.apache.catalina.LifecycleException;
import org.apache.catalina.startup.Tomcat;
import org.redisson.config.Config;
import org.redisson.tomcat.RedissonSessionManager;

/** What a web application does with a session, in a Tomcat whose sessions Redisson keeps. */
public class Shop extends HttpServlet {
    private static final String REDIS = "redis://127.0.0.1:6379";
    private static final int NEVER_FOUND = 404;

    /** The port, and Redisson's {@code readMode}. */
    public static void main(String[] args) throws Exception {
        start(Integer.parseInt(args[0]), args[1]).getServer().await();
    }

    /** A Tomcat at this port of 127.0.0.1, or at any one if it is 0. */
    static Tomcat start(int port, String readMode) throws IOException, LifecycleException {
        Config config = new Config();
        config.useSingleServer().setAddress(REDIS);
        RedissonSessionManager manager = new RedissonSessionManager();
        manager.setConfig(config);
        manager.setReadMode(readMode);
        // Redisson lets a session that is asked for live on: what is over is looked for in the background, here every second.
        manager.setProcessExpiresFrequency(1);
        Tomcat tomcat = new Tomcat();
        tomcat.setBaseDir(Files.createTempDirectory("shop").toString());
        tomcat.setPort(port);
        tomcat.getEngine().setBackgroundProcessorDelay(1);
        tomcat.getConnector().setProperty("address", "127.0.0.1");
        Context context = tomcat.addContext("", null);
        context.setManager(manager);
        Tomcat.addServlet(context, "shop", new Shop());
        context.addServletMappingDecoded("/*", "shop");
        tomcat.start();
        return tomcat;
    }

    @Override
    protected void doGet(HttpServletRequest request, HttpServletResponse response) throws IOException {
        HttpSession session = request.getSession(false);
        switch (request.getPathInfo()) {
            case "/cart" -> answer(response, session == null ? "none" : String.join(",", cart(session)));
            case "/id" -> answer(response, session == null ? "none" : session.getId());
            default -> {
                Object number = session == null ? null : session.getAttribute("number");
                if (number == null) {
                    response.setStatus(NEVER_FOUND);
                } else {
                    answer(response, number.toString());
                }
            }
        }
    }

    @Override
    protected void doPost(HttpServletRequest request, HttpServletResponse response) throws IOException {
        HttpSession session = request.getSession();
        String[] path = request.getPathInfo().split("/");
        switch (path.length > 1 ? path[1] : "") {
            case "cart" -> {
                ArrayList<String> cart = new ArrayList<>(cart(session));
                cart.add(path[2]);
                session.setAttribute("cart", cart);
                answer(response, String.join(",", cart));
            }
            case "empty" -> {
                session.removeAttribute("cart");
                answer(response, "empty");
            }
            case "login" -> answer(response, request.changeSessionId());
            case "logout" -> {
                session.invalidate();
                answer(response, "gone");
            }
            case "timeout" -> {
                session.setMaxInactiveInterval(Integer.parseInt(path[2]));
                answer(response, "set");
            }
            default -> {
                session.setAttribute("number", Integer.parseInt(request.getParameter("number")));
                answer(response, "saved");
            }
        }
    }

    private static void answer(HttpServletResponse response, String text) throws IOException {
        response.setContentType("text/plain");
        response.getWriter().print(text);
    }

    @SuppressWarnings("unchecked")
    private static List<String> cart(HttpSession session) {
        Object cart = session.getAttribute("cart");
        return cart == null ? List.of() : (List<String>) cart;
    }
}
