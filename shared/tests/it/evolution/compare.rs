//! Whether two shapes of one version can live side by side: readers of either take what writers of the other write.

use std::collections::BTreeSet;
use std::fmt;

use super::shape::{Field, Object, Shape};

/// What differs, in one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Difference {
    /// Where, e.g. `signals[].expected.lower`.
    pub(crate) path: String,
    /// What, and who is hurt by it.
    pub(crate) what: What,
}

/// What differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// New writers leave out what old readers need, or what they have read so far.
    Gone,
    /// New readers need what old writers do not write.
    NewAndRequired,
    /// New readers need what old writers may leave out.
    NowRequired,
    /// New writers may leave out what old readers need.
    NowOptional,
    /// New readers assume something else where old writers left it out.
    OtherDefault,
    /// One side's values are refused by the other.
    OtherType { was: String, is: String },
    /// New readers refuse a word that old writers write.
    WordGone(String),
    /// Old readers refuse a word that new writers write. It can be done within a version, readers first.
    WordAdded(String),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.path)?;
        match &self.what {
            What::Gone => f.write_str("is gone; released readers have it"),
            What::NewAndRequired => f.write_str("is new and required; released writers do not write it"),
            What::NowRequired => {
                f.write_str("was optional and is required; released writers may leave it out")
            }
            What::NowOptional => f.write_str("was required and is optional; released readers need it"),
            What::OtherDefault => {
                f.write_str("has another default; what released writers left out is read otherwise")
            }
            What::OtherType { was, is } => write!(f, "was {was} and is {is}"),
            What::WordGone(word) => write!(f, "no longer takes {word:?}, which released writers write"),
            What::WordAdded(word) => write!(f, "takes {word:?}, which released readers refuse"),
        }
    }
}

/// Returns what differs between a released shape and today's. New optional fields are no difference.
pub(crate) fn differences(released: &Shape, today: &Shape) -> Vec<Difference> {
    let mut found = Vec::new();
    compare("", released, today, &mut found);
    found
}

fn compare(path: &str, was: &Shape, is: &Shape, found: &mut Vec<Difference>) {
    match (was, is) {
        (Shape::Word(was), Shape::Word(is)) => compare_words(path, was.iter(), is.iter(), found),
        (Shape::Optional(was), Shape::Optional(is)) => compare(path, was, is, found),
        (Shape::List(was), Shape::List(is)) => compare(&format!("{path}[]"), was, is, found),
        (Shape::Map(was), Shape::Map(is)) => compare(&format!("{path}{{}}"), was, is, found),
        (Shape::Object(was), Shape::Object(is)) => compare_fields(path, was, is, found),
        (Shape::Tagged { tag, variants }, Shape::Tagged { tag: tag_is, variants: variants_are })
            if tag == tag_is =>
        {
            compare_words(&field(path, tag), variants.keys(), variants_are.keys(), found);
            for (word, was) in variants {
                if let Some(is) = variants_are.get(word) {
                    compare_fields(&format!("{path}({word})"), was, is, found);
                }
            }
        }
        (was, is) if was == is => {}
        (was, is) => {
            let what = What::OtherType { was: name(was), is: name(is) };
            found.push(Difference { path: path.to_owned(), what });
        }
    }
}

fn compare_fields(path: &str, was: &Object, is: &Object, found: &mut Vec<Difference>) {
    for name in was.keys().chain(is.keys()).collect::<BTreeSet<_>>() {
        let path = field(path, name);
        let mut note = |what| found.push(Difference { path: path.clone(), what });
        match (was.get(name), is.get(name)) {
            (Some(_), None) => note(What::Gone),
            (None, Some(Field { required: true, .. })) => note(What::NewAndRequired),
            (Some(was), Some(is)) => {
                match (was.required, is.required) {
                    (false, true) => note(What::NowRequired),
                    (true, false) => note(What::NowOptional),
                    (false, false) if was.default != is.default => note(What::OtherDefault),
                    _ => {}
                }
                compare(&path, &was.shape, &is.shape, found);
            }
            _ => {}
        }
    }
}

fn compare_words<'w>(
    path: &str,
    was: impl Iterator<Item = &'w String>,
    is: impl Iterator<Item = &'w String>,
    found: &mut Vec<Difference>,
) {
    let (was, is): (BTreeSet<_>, BTreeSet<_>) = (was.collect(), is.collect());
    let gone = was.difference(&is).map(|word| What::WordGone((*word).clone()));
    let added = is.difference(&was).map(|word| What::WordAdded((*word).clone()));
    found.extend(gone.chain(added).map(|what| Difference { path: path.to_owned(), what }));
}

fn field(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn name(shape: &Shape) -> String {
    match shape {
        Shape::Plain { kind, format, least } => {
            let least = least.map_or_else(String::new, |least| format!(" from {least}"));
            format.as_ref().map_or_else(|| kind.clone(), |format| format!("{kind} ({format}{least})"))
        }
        Shape::Word(words) => format!("one of {words:?}"),
        Shape::Optional(inner) => format!("{} or null", name(inner)),
        Shape::List(inner) => format!("array of {}", name(inner)),
        Shape::Map(inner) => format!("map of {}", name(inner)),
        Shape::Object(_) => "object".to_owned(),
        Shape::Tagged { tag, .. } => format!("object told apart by {tag}"),
    }
}
