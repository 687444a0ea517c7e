//! Numbers, texts and words of enums, in each form in which writers send them.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// Largest magnitude up to which a double holds all whole numbers.
const MAX_WHOLE: f64 = 9_007_199_254_740_992.0;

/// A whole number: `5`, `"5"` or `5.0`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Int<T>(pub(super) T);

impl<'de, T: TryFrom<i128>> Deserialize<'de> for Int<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(IntVisitor(PhantomData))
    }
}

impl From<Int<u64>> for u64 {
    fn from(number: Int<u64>) -> Self {
        number.0
    }
}

struct IntVisitor<T>(PhantomData<T>);

impl<T: TryFrom<i128>> Visitor<'_> for IntVisitor<T> {
    type Value = Int<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number, or one as text")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Int<T>, E> {
        self.visit_i128(i128::from(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Int<T>, E> {
        self.visit_i128(i128::from(number))
    }

    fn visit_i128<E: Error>(self, number: i128) -> Result<Int<T>, E> {
        T::try_from(number).map(Int).map_err(|_| E::custom(format!("{number} is out of range")))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Int<T>, E> {
        if number.fract() == 0.0 && number.abs() <= MAX_WHOLE {
            self.visit_i128(number as i128)
        } else {
            Err(E::custom(format!("{number} is not a whole number")))
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Int<T>, E> {
        let number: i64 = match text.parse::<u64>() {
            Ok(number) => return self.visit_u64(number),
            Err(_) => text.parse().map_err(|_| E::custom("a text is not a whole number"))?,
        };
        self.visit_i64(number)
    }
}

/// A number: `1.5`, `"1.5"`, `"NaN"`, `"Infinity"` or `"-Infinity"`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Double(pub(super) f64);

impl<'de> Deserialize<'de> for Double {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DoubleVisitor)
    }
}

impl From<Double> for f64 {
    fn from(number: Double) -> Self {
        number.0
    }
}

struct DoubleVisitor;

impl Visitor<'_> for DoubleVisitor {
    type Value = Double;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, or one as text")
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Double, E> {
        Ok(Double(number))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Double, E> {
        Ok(Double(number as f64))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Double, E> {
        Ok(Double(number as f64))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Double, E> {
        text.parse().map(Double).map_err(|_| E::custom("a text is not a number"))
    }
}

/// A text.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(transparent)]
pub(super) struct Text(pub(super) String);

/// A value of an enum: by its number or by its name.
#[derive(Debug, Clone)]
pub(super) enum Word {
    Number(i32),
    Name(String),
}

impl Word {
    /// Returns its number; 0, which stands for unspecified, of a name that is not known.
    pub(super) fn number(&self, named: impl Fn(&str) -> Option<i32>) -> i32 {
        match self {
            Self::Number(number) => *number,
            Self::Name(name) => named(name).unwrap_or_default(),
        }
    }
}

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WordVisitor)
    }
}

struct WordVisitor;

impl Visitor<'_> for WordVisitor {
    type Value = Word;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the number or the name of a value of an enum")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Word, E> {
        // one that is not known is unspecified, as in protobuf
        Ok(Word::Number(i32::try_from(number).unwrap_or_default()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Word, E> {
        Ok(Word::Number(i32::try_from(number).unwrap_or_default()))
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Word, E> {
        Ok(name.parse().map_or_else(|_| Word::Name(name.to_owned()), Word::Number))
    }
}
