import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import jakarta.servlet.http.HttpSession;
import java.io.IOException;

/** The application for Tomcat: each view writes the cart in the session; `/cart` only looks at it. */
public final class Page extends HttpServlet {
    private static final String CART = "cart";
    private static final String ZEROS = "0".repeat(12);
    private static final String FILL = ";" + "x".repeat(1011);

    @Override
    protected void doGet(HttpServletRequest request, HttpServletResponse response) throws IOException {
        boolean isView = request.getServletPath().equals("/");
        HttpSession session = request.getSession(isView);
        String cart = session == null ? null : (String) session.getAttribute(CART);
        long views = cart == null ? 0 : Long.parseLong(cart.substring(0, ZEROS.length()));
        if (isView) {
            views++;
            String number = ZEROS + views;
            cart = number.substring(number.length() - ZEROS.length()) + FILL;
            session.setAttribute(CART, cart);
        }
        response.setContentType("text/html");
        int length = cart == null ? 0 : cart.length();
        response.getWriter().write("<p>View " + views + ", a cart of " + length + " characters.</p>\n");
    }
}
