package dev.holdfast.conformance;

import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpSession;
import java.util.ArrayList;
import java.util.List;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.http.ResponseEntity;
import org.springframework.session.FindByIndexNameSessionRepository;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.PathVariable;
import org.springframework.web.bind.annotation.PostMapping;
import org.springframework.web.bind.annotation.RequestParam;
import org.springframework.web.bind.annotation.RestController;

/** What a web application does with a session. */
@SpringBootApplication
@RestController
public class Shop {
    public static void main(String[] args) {
        SpringApplication.run(Shop.class, args);
    }

    @PostMapping("/")
    public String save(@RequestParam int number, HttpSession session) {
        session.setAttribute("number", number);
        return "saved";
    }

    @GetMapping("/")
    public ResponseEntity<String> number(HttpServletRequest request) {
        HttpSession session = request.getSession(false);
        Object number = session == null ? null : session.getAttribute("number");
        return number == null ? ResponseEntity.notFound().build() : ResponseEntity.ok(number.toString());
    }

    @PostMapping("/cart/{item}")
    public String add(@PathVariable String item, HttpSession session) {
        ArrayList<String> cart = new ArrayList<>(cart(session));
        cart.add(item);
        session.setAttribute("cart", cart);
        return String.join(",", cart);
    }

    @PostMapping("/empty")
    public String empty(HttpSession session) {
        session.removeAttribute("cart");
        return "empty";
    }

    @GetMapping("/cart")
    public String cart(HttpServletRequest request) {
        HttpSession session = request.getSession(false);
        return session == null ? "none" : String.join(",", cart(session));
    }

    @GetMapping("/id")
    public String id(HttpSession session) {
        return session.getId();
    }

    @PostMapping("/login/{user}")
    public String login(@PathVariable String user, HttpServletRequest request) {
        request.getSession().setAttribute(FindByIndexNameSessionRepository.PRINCIPAL_NAME_INDEX_NAME, user);
        return request.changeSessionId();
    }

    @PostMapping("/logout")
    public String logout(HttpSession session) {
        session.invalidate();
        return "gone";
    }

    @PostMapping("/timeout/{seconds}")
    public String timeout(@PathVariable int seconds, HttpSession session) {
        session.setMaxInactiveInterval(seconds);
        return "set";
    }

    @SuppressWarnings("unchecked")
    private static List<String> cart(HttpSession session) {
        Object cart = session.getAttribute("cart");
        return cart == null ? List.of() : (List<String>) cart;
    }
}
