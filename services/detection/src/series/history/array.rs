//! Arrays longer than the 32 elements that serde knows, as sequences.

use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error};
use serde::ser::{Serialize, Serializer};

pub(in crate::series) fn serialize<S: Serializer, T: Serialize, const N: usize>(
    array: &[T; N],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    array.as_slice().serialize(serializer)
}

pub(in crate::series) fn deserialize<'de, D: Deserializer<'de>, T: DeserializeOwned, const N: usize>(
    deserializer: D,
) -> Result<[T; N], D::Error> {
    let elements: Vec<T> = Deserialize::deserialize(deserializer)?;
    let count = elements.len();
    elements.try_into().map_err(|_| Error::custom(format!("{count} elements instead of {N}")))
}
