//! The page and the cart in the session, the same as in the applications beside this one.

use axum::response::Html;

/// The attribute's name.
pub(crate) const CART: &str = "cart";

/// Characters of a cart, each a byte.
const LENGTH: usize = 1024;

/// Digits of the number that it begins with: how often the page was viewed.
const DIGITS: usize = 12;

/// How often the page was viewed by whoever has this cart.
pub(crate) fn views(cart: Option<&str>) -> u64 {
    cart.and_then(|cart| cart.get(..DIGITS)?.parse().ok()).unwrap_or_default()
}

/// The cart after so many views.
pub(crate) fn cart(views: u64) -> String {
    format!("{views:0width$};{}", "x".repeat(LENGTH - DIGITS - 1), width = DIGITS)
}

/// The page.
pub(crate) fn page(cart: Option<&str>) -> Html<String> {
    Html(format!("<p>View {}, a cart of {} characters.</p>\n", views(cart), cart.map_or(0, str::len)))
}

/// The pages for one of the two versions of tower-sessions, whose sessions differ in their types only: `/` writes the cart, `/cart` only looks at it.
macro_rules! router {
    ($session:ty) => {{
        use axum::http::StatusCode;
        use axum::routing::get;
        use $crate::page::{CART, cart, page, views};

        let view = async |session: $session| {
            let seen: Option<String> = session.get(CART).await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
            let cart = cart(views(seen.as_deref()) + 1);
            session.insert(CART, &cart).await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
            Ok::<_, StatusCode>(page(Some(&cart)))
        };
        let look = async |session: $session| {
            let seen: Option<String> = session.get(CART).await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
            Ok::<_, StatusCode>(page(seen.as_deref()))
        };
        axum::Router::new().route("/", get(view)).route("/cart", get(look))
    }};
}

pub(crate) use router;
