//! The page for people: one HTML document with its style and drawings inside, so that it needs nothing from elsewhere.

use std::fmt::Write;

use crate::cart::{Cart, Line};
use crate::catalogue::{self, PRODUCTS, Product};

const PAGE: &str = include_str!("assets/page.html");
const STYLE: &str = include_str!("assets/page.css");

/// The shelf, the cart, and who served it.
pub(crate) fn shop(pod: &str, requests: u64, cart: &Cart) -> String {
    PAGE.replace("{style}", STYLE)
        .replace("{requests}", &requests.to_string())
        .replace("{pieces}", &cart.pieces().to_string())
        .replace("{shelf}", &PRODUCTS.iter().map(shelf_card).collect::<String>())
        .replace("{cart}", &cart_list(cart))
        // Last, as it is the one text that is not ours.
        .replace("{pod}", &escape(pod))
}

fn shelf_card(product: &Product) -> String {
    let Product { id, name, about, drawing, .. } = product;
    let price = price(product.price);
    format!(
        r#"<li class="card"><svg viewBox="0 0 48 48" aria-hidden="true">{drawing}</svg><strong>{name}</strong><p>{about}</p>
<form method="post" action="/cart/items"><span class="price">{price}</span><input type="hidden" name="id" value="{id}"><button class="add" aria-label="Add {name}">Add</button></form></li>
"#
    )
}

fn cart_list(cart: &Cart) -> String {
    if cart.lines().is_empty() {
        return r#"<p class="empty">Nothing in it yet.</p>"#.to_owned();
    }
    let lines: String = cart.lines().iter().map(cart_line).collect();
    format!(r#"<ul>{lines}</ul><p class="total"><span>Total</span><span>{}</span></p>"#, price(cart.total()))
}

/// An id holds only characters that need no escaping, but it came from a session: what the shelf does not know is escaped.
fn cart_line(line: &Line) -> String {
    let id = escape(&line.id);
    let mut text = match catalogue::find(&line.id) {
        Ok(item) => format!("<span>{}</span><span>{} x {}</span>", item.product.name, line.quantity, price(item.product.price)),
        Err(_) => format!("<span>{id}</span><span>{} x, no longer sold</span>", line.quantity),
    };
    text += &format!(
        r#"<form method="post" action="/cart/items/{id}/remove"><button class="remove" aria-label="Remove {id}">×</button></form>"#
    );
    if let Ok(catalogue::Item { personal: Some(personal), .. }) = catalogue::find(&line.id) {
        // Writing to a String cannot fail.
        let _ = write!(text, "<small>engraved {personal}</small>");
    }
    format!("<li>{text}</li>\n")
}

fn price(cents: u64) -> String {
    format!("€ {}.{:02}", cents / 100, cents % 100)
}

fn escape(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut safe, c| {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
        safe
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_shows_pod_requests_cart_and_every_product() {
        let mut cart = Cart::default();
        cart.add("mug.for-ada", 2).expect("a mug");
        let page = shop("shop-1", 42, &cart);
        for part in [r#"id="pod">shop-1<"#, r#"id="requests">42<"#, r#"id="pieces">2<"#, "engraved for-ada", "€ 29.00", "2 x € 14.50"] {
            assert!(page.contains(part), "{part} is missing");
        }
        for product in &PRODUCTS {
            assert!(page.contains(product.name), "{} is missing", product.name);
        }
        for placeholder in ["{style}", "{pod}", "{requests}", "{pieces}", "{shelf}", "{cart}"] {
            assert!(!page.contains(placeholder), "{placeholder} is left");
        }
    }

    #[test]
    fn what_comes_from_outside_is_escaped() {
        let page = shop("<script>\"&'", 1, &Cart::default());
        assert!(page.contains("&lt;script&gt;&quot;&amp;&#39;") && !page.contains("<script>"));
    }
}
