//! What the shop sells, and how an item of a cart is named: a product, or a product made personal (`mug.for-ada`).

use crate::failure::Failure;

/// One thing on the shelf.
#[derive(Debug)]
pub(crate) struct Product {
    /// How the cart and the forms name it.
    pub(crate) id: &'static str,
    /// What people read.
    pub(crate) name: &'static str,
    /// One line about it.
    pub(crate) about: &'static str,
    /// In cents.
    pub(crate) price: u64,
    /// Paths of a drawing of 48 x 48.
    pub(crate) drawing: &'static str,
}

/// Everything on the shelf, in the page's order.
pub(crate) const PRODUCTS: [Product; 6] = [
    Product {
        id: "lantern",
        name: "Brass lantern",
        about: "Burns eleven hours on one filling.",
        price: 6_400,
        drawing: r#"<path d="M17 14h14l3 6v18a3 3 0 0 1-3 3H17a3 3 0 0 1-3-3V20z"/><path d="M19 14c0-8 10-8 10 0"/><path d="M24 24c5 5 3 10 0 10s-5-5 0-10z"/>"#,
    },
    Product {
        id: "mug",
        name: "Enamel mug",
        about: "Falls off the table, stays a mug.",
        price: 1_450,
        drawing: r#"<path d="M11 14h20v22a4 4 0 0 1-4 4H15a4 4 0 0 1-4-4z"/><path d="M31 19h4a4 4 0 0 1 4 4v4a4 4 0 0 1-4 4h-4"/><path d="M11 20h20"/>"#,
    },
    Product {
        id: "rope",
        name: "Hemp rope, 12 m",
        about: "Three strands. Holds fast.",
        price: 2_900,
        drawing: r#"<circle cx="24" cy="25" r="14"/><circle cx="24" cy="25" r="9"/><circle cx="24" cy="25" r="4"/><path d="M38 25c0 8 4 10 6 14"/>"#,
    },
    Product {
        id: "sweater",
        name: "Wool sweater",
        about: "Knitted for wind from the north.",
        price: 11_900,
        drawing: r#"<path d="M17 9c3 4 11 4 14 0l11 7-3 10-5-2v17H14V24l-5 2-3-10z"/><path d="M14 36h20"/>"#,
    },
    Product {
        id: "chart",
        name: "Sea chart",
        about: "Every rock between here and there.",
        price: 3_800,
        drawing: r#"<path d="M6 12l12-4 12 4 12-4v28l-12 4-12-4-12 4z"/><path d="M18 8v28M30 12v28"/><path d="M22 20l4 4m0-4l-4 4"/>"#,
    },
    Product {
        id: "boots",
        name: "Deck boots",
        about: "Grip on wet planks.",
        price: 8_900,
        drawing: r#"<path d="M16 8h12v18l11 5a4 4 0 0 1 3 4v4H16z"/><path d="M16 34h26M16 14h12"/>"#,
    },
];

/// Longer names of items are refused.
pub(crate) const LONGEST_ITEM_ID: usize = 64;

/// An item of a cart, resolved against the shelf.
#[derive(Debug)]
pub(crate) struct Item<'id> {
    /// What it is.
    pub(crate) product: &'static Product,
    /// What makes it personal, if anything: what follows the first dot of its id.
    pub(crate) personal: Option<&'id str>,
}

/// Finds the product that an item's id names.
///
/// # Errors
/// When the id is too long, has other characters than letters, digits, `.`, `-` and `_`, or names no product.
pub(crate) fn find(id: &str) -> Result<Item<'_>, Failure> {
    let (name, personal) = id.split_once('.').map_or((id, None), |(name, rest)| (name, Some(rest)));
    let well_formed = id.len() <= LONGEST_ITEM_ID
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
        && personal != Some("");
    if !well_formed {
        return Err(Failure::refused(format!(
            "id {:?}: must be a product's id, or that, a dot and a name, of letters, digits, '.', '-' and '_', {LONGEST_ITEM_ID} at most",
            id.chars().take(LONGEST_ITEM_ID).collect::<String>(),
        )));
    }
    match PRODUCTS.iter().find(|product| product.id == name) {
        Some(product) => Ok(Item { product, personal }),
        None => Err(Failure::refused(format!("id {id:?}: no such product; there are {}", PRODUCTS.map(|product| product.id).join(", "),))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_a_product_or_a_product_made_personal() {
        assert!(find("mug").is_ok_and(|item| item.product.id == "mug" && item.personal.is_none()));
        assert!(find("mug.for-ada").is_ok_and(|item| item.product.id == "mug" && item.personal == Some("for-ada")));
        assert!(find("mug.a.b").is_ok_and(|item| item.personal == Some("a.b")));
    }

    #[test]
    fn what_is_refused_is_named_with_what_would_be_right() {
        for (id, says) in [
            ("", "no such product"),
            ("anchor", "lantern, mug, rope"),
            ("mug.", "a dot and a name"),
            ("mug.<b>", "of letters"),
            (&format!("mug.{}", "x".repeat(LONGEST_ITEM_ID)), "64 at most"),
        ] {
            let failure = find(id).expect_err(id).to_string();
            assert!(failure.starts_with("id \"") && failure.contains(says), "{id:?}: {failure}");
        }
    }
}
