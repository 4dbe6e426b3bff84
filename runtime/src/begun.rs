//! A command that was given to the engine.

use holdfast_core::Reply;

/// A command that was begun.
#[derive(Debug)]
pub enum Begun<F> {
    /// It had to wait for nobody.
    Answered(Reply),
    /// This is its answer.
    Waits(F),
}
