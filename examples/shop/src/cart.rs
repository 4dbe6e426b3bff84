//! The cart itself: what is in it and how much of each. It is what the session holds, so it stays bounded.

use serde::{Deserialize, Serialize};

use crate::catalogue;
use crate::failure::Failure;

/// The most of one item.
pub(crate) const MOST_OF_ONE: u32 = 99;
/// The most different items; keeps a session at a few tens of kilobytes.
pub(crate) const MOST_ITEMS: usize = 1_000;

/// One line of the cart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Line {
    /// See [`catalogue::find`].
    pub(crate) id: String,
    /// At least 1.
    pub(crate) quantity: u32,
}

/// A cart, in the order in which things were put in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Cart {
    lines: Vec<Line>,
}

impl Cart {
    /// Its lines, oldest first.
    pub(crate) fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// How many things are in it, each counted as often as it is wanted.
    pub(crate) fn pieces(&self) -> u64 {
        self.lines.iter().map(|line| u64::from(line.quantity)).sum()
    }

    /// What it costs, in cents. An item that the shelf no longer has costs nothing.
    pub(crate) fn total(&self) -> u64 {
        self.lines.iter().filter_map(|line| Some(catalogue::find(&line.id).ok()?.product.price * u64::from(line.quantity))).sum()
    }

    /// Puts `quantity` more of an item in, and answers how many of it there are now.
    ///
    /// # Errors
    /// When the shelf has no such item, the quantity is out of range or the cart is full; the cart is then as it was.
    pub(crate) fn add(&mut self, id: &str, quantity: u32) -> Result<u32, Failure> {
        catalogue::find(id)?;
        let refuse = |there: u32| {
            Failure::refused(format!("quantity {quantity}: must be 1 to {MOST_OF_ONE} of one item; {there} of {id:?} in the cart already"))
        };
        if let Some(line) = self.lines.iter_mut().find(|line| line.id == id) {
            let sum = line.quantity.saturating_add(quantity);
            if quantity == 0 || sum > MOST_OF_ONE {
                return Err(refuse(line.quantity));
            }
            line.quantity = sum;
            return Ok(sum);
        }
        if quantity == 0 || quantity > MOST_OF_ONE {
            return Err(refuse(0));
        }
        if self.lines.len() >= MOST_ITEMS {
            return Err(Failure::refused(format!("id {id:?}: the cart is full, it holds {MOST_ITEMS} different items")));
        }
        self.lines.push(Line { id: id.to_owned(), quantity });
        Ok(quantity)
    }

    /// Takes an item out, however many there are of it; answers whether it was there.
    pub(crate) fn remove(&mut self, id: &str) -> bool {
        let before = self.lines.len();
        self.lines.retain(|line| line.id != id);
        self.lines.len() < before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adding_twice_adds_up_and_removing_takes_all() {
        let mut cart = Cart::default();
        assert_eq!(cart.add("mug", 2).expect("first"), 2);
        assert_eq!(cart.add("rope", 1).expect("another"), 1);
        assert_eq!(cart.add("mug", 1).expect("again"), 3);
        assert_eq!((cart.pieces(), cart.total()), (4, 3 * 1_450 + 2_900));
        assert!(cart.remove("mug"));
        assert!(!cart.remove("mug"));
        assert_eq!(cart.lines(), [Line { id: "rope".to_owned(), quantity: 1 }]);
    }

    #[test]
    fn a_refused_quantity_leaves_the_cart_as_it_was() {
        let mut cart = Cart::default();
        assert!(cart.add("mug", 0).is_err());
        assert!(cart.add("mug", MOST_OF_ONE + 1).is_err());
        cart.add("mug", MOST_OF_ONE).expect("in range");
        let failure = cart.add("mug", 1).expect_err("one too many").to_string();
        assert!(failure.starts_with("quantity 1: must be 1 to 99"), "{failure}");
        assert!(cart.add("mug", u32::MAX).is_err());
        assert_eq!(cart.pieces(), u64::from(MOST_OF_ONE));
    }

    #[test]
    fn a_cart_is_bounded() {
        let mut cart = Cart::default();
        for n in 0..MOST_ITEMS {
            cart.add(&format!("mug.{n}"), 1).expect("room");
        }
        assert!(cart.add("mug.more", 1).is_err());
        assert!(cart.add("mug.0", 1).is_ok(), "what is there already may still grow");
    }
}
