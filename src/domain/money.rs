//! Money in whole millionths of a US dollar, so that sums are exact.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign};

use serde::{Deserialize, Serialize};

/// An amount in US dollars, kept as micro-dollars. Never negative.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash, Serialize, Deserialize,
)]
pub struct Usd(u64);

impl Usd {
    pub const ZERO: Self = Self(0);

    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    pub const fn from_cents(cents: u64) -> Self {
        Self(cents * 10_000)
    }

    pub const fn micros(self) -> u64 {
        self.0
    }

    /// Reads a configured or reported amount of dollars, rounding up to the next micro-dollar.
    /// `None` for negative numbers and what is no number.
    pub fn from_dollars(dollars: f64) -> Option<Self> {
        let micros = (dollars * 1e6).ceil();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked to lie within 0..=1e15"
        )]
        (0.0..=1e15)
            .contains(&micros)
            .then_some(Self(micros as u64))
    }

    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Add for Usd {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Usd {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Usd {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

/// `1.05 USD`; four decimals below a cent.
impl fmt::Display for Usd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, micros) = (self.0 / 1_000_000, self.0 % 1_000_000);
        if self.0 != 0 && self.0 < 10_000 {
            write!(f, "{whole}.{:04} USD", micros.div_ceil(100))
        } else {
            write!(f, "{whole}.{:02} USD", micros / 10_000)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact_and_read_well() {
        assert_eq!(
            Usd::from_dollars(0.1).unwrap() + Usd::from_dollars(0.2).unwrap(),
            Usd::from_cents(30)
        );
        assert_eq!(Usd::from_cents(105).to_string(), "1.05 USD");
        assert_eq!(Usd::from_micros(1_500).to_string(), "0.0015 USD");
        assert_eq!(Usd::from_micros(1_500).micros(), 1_500);
        assert_eq!(Usd::from_dollars(-1.0), None);
        assert_eq!(Usd::from_dollars(f64::NAN), None);
    }
}
