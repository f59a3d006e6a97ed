//! Random choice without bad luck.

use rand::{rngs::StdRng, seq::SliceRandom};

/// Cards drawn in random order, shuffled anew when all are used: each occurs once in any pass through the deck.
#[derive(Debug)]
pub struct Deck<T> {
    cards: Vec<T>,
    drawn: usize,
}

impl<T: Copy> Deck<T> {
    /// Each card as often as the number beside it. At least one card is needed.
    pub fn new(cards: &[(usize, T)]) -> Self {
        let cards: Vec<T> = cards.iter().flat_map(|(times, card)| std::iter::repeat_n(*card, *times)).collect();
        assert!(!cards.is_empty(), "a deck has cards");
        let drawn = cards.len();
        Self { cards, drawn }
    }

    pub fn draw(&mut self, dice: &mut StdRng) -> T {
        if self.drawn == self.cards.len() {
            self.cards.shuffle(dice);
            self.drawn = 0;
        }
        self.drawn += 1;
        self.cards[self.drawn - 1]
    }
}
