//! Finds what is on record of one person, and replaces it: names and addresses as a whole, never a part of another one.
//!
//! | where | what is replaced |
//! |---|---|
//! | fields that name a person ([`PERSONS`]) | a value that is the person, whatever its case: whole, behind a scheme (`slack:@jane`), or as `Name <address>`; an address within it, too |
//! | fields that people or sentences about people fill ([`TEXTS`]) | the person as a word of its own; a name in the same case |
//! | all other fields | an address only: a name may be the name of a service, too |

use std::collections::BTreeSet;

use serde_json::Value;

use super::seal::{Sealed, Sealer};
use crate::agent::Agent;

/// Fields that name a person.
pub const PERSONS: [&str; 17] = [
    "actor",
    "approved_by",
    "asked_by",
    "assignee",
    "by",
    "changed_by",
    "contact",
    "deployed_by",
    "ended_by",
    "given_by",
    "held_for",
    "oncall",
    "owner",
    "recipients",
    "revised_by",
    "to",
    "unusable",
];
/// Fields with text that people have written, or that names them.
pub const TEXTS: [&str; 16] = [
    "answer",
    "comment",
    "description",
    "end_reason",
    "excerpt",
    "known_risks",
    "markdown",
    "note",
    "outcome",
    "quote",
    "reason",
    "said",
    "subject",
    "summary",
    "text",
    "what",
];
/// Field with sealed values.
const SEALED: &str = "sealed";
/// Fields with a list whose items have a title that people may have written.
const TITLED: [&str; 1] = ["action_items"];
/// What every placeholder begins with.
pub const PREFIX: &str = "erased-";
/// Shortest and longest name, characters.
const LENGTH: std::ops::RangeInclusive<usize> = 2..=200;
/// Most values of fields that name a person that are listed.
pub const MAX_VALUES: usize = 20;
/// Characters that join two words into one name: of these, `al` is none of `al-gore`, `al.gore`, `al_gore`, `al@example.com`.
const JOINTS: [char; 7] = ['.', '-', '@', '+', '_', '\'', '’'];

/// A person, by one name or one address.
#[derive(Clone)]
pub struct Person {
    text: String,
    lower: String,
    is_address: bool,
}

impl std::fmt::Debug for Person {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Person")
    }
}

/// What documents held.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Texts in which the person was replaced.
    pub texts: u64,
    /// Sealed values that were removed.
    pub sealed: u64,
    /// Values of fields that name a person, as they were before: each once, the first [`MAX_VALUES`].
    pub values: BTreeSet<String>,
}

impl Found {
    /// Returns whether nothing was found.
    pub fn is_none(&self) -> bool {
        self.texts == 0 && self.sealed == 0
    }

    /// Adds what another document held.
    pub fn add(&mut self, other: Self) {
        self.texts += other.texts;
        self.sealed += other.sealed;
        other.values.into_iter().for_each(|value| self.note(value));
    }

    fn note(&mut self, value: String) {
        if self.values.len() < MAX_VALUES {
            self.values.insert(value);
        }
    }
}

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// The name or address of a person, or several in a list.
    Person,
    /// Text that people have written, or that names them.
    Text,
    /// Values that stand behind placeholders.
    Sealed,
    /// Items that have a title that people may have written.
    Titled,
    /// Anything else.
    Other,
}

impl Field {
    /// Returns what a field of a document holds that is within a field `parent`.
    fn of(name: &str, parent: Self) -> Self {
        match name {
            "title" if parent == Self::Titled => Self::Text,
            SEALED => Self::Sealed,
            _ if TITLED.contains(&name) => Self::Titled,
            _ if PERSONS.contains(&name) => Self::Person,
            _ if TEXTS.contains(&name) => Self::Text,
            _ => Self::Other,
        }
    }
}

impl Person {
    /// Takes a name or an address.
    ///
    /// # Errors
    /// Why it cannot be looked for, in one sentence.
    pub fn new(text: &str) -> Result<Self, &'static str> {
        let text = text.trim();
        if !LENGTH.contains(&text.chars().count()) {
            return Err("a name or an address has 2 to 200 characters");
        }
        if text.chars().any(char::is_control) {
            return Err("a name or an address holds no control characters");
        }
        if !text.chars().any(char::is_alphanumeric) {
            return Err("a name or an address holds a letter or a digit");
        }
        if text.to_lowercase().starts_with(PREFIX) {
            return Err("that is the placeholder of somebody who was erased already");
        }
        if Agent::from_name(&text.to_lowercase()).is_some() {
            return Err("that is the name of an agent, which is on record for what the agent did");
        }
        let is_address =
            text.split_once('@').is_some_and(|(local, domain)| !local.is_empty() && domain.contains('.'));
        Ok(Self { lower: text.to_lowercase(), is_address, text: text.to_owned() })
    }

    /// Returns the name in lower case, for what is derived from it.
    pub fn key(&self) -> &str {
        &self.lower
    }

    /// Returns a part that every text with the person contains, ASCII letters and digits in lower case; empty where there is none.
    pub fn needle(&self) -> String {
        let runs = self.text.split(|char: char| !char.is_ascii_alphanumeric());
        runs.max_by_key(|run| run.len()).unwrap_or_default().to_ascii_lowercase()
    }

    /// Returns whether a text is the person and nothing else.
    pub fn is(&self, text: &str) -> bool {
        text.trim().to_lowercase() == self.lower
    }

    /// Returns the value of a field that names a person with `placeholder` in place of the person; none where it is not the person. A
    /// name is never replaced within a longer one.
    pub fn replaced_value(&self, value: &str, placeholder: &str) -> Option<String> {
        self.whole(value.trim(), placeholder).or_else(|| {
            let is_address = self.is_address;
            is_address.then(|| self.replaced(value, placeholder)).flatten()
        })
    }

    fn whole(&self, value: &str, placeholder: &str) -> Option<String> {
        if self.is(value) {
            return Some(placeholder.to_owned());
        }
        let is_scheme = |text: &str| {
            !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        let prefix = match value.split_once(':') {
            Some((scheme, _)) if is_scheme(scheme) => scheme.len() + 1,
            _ => usize::from(value.starts_with('@')),
        };
        if prefix > 0 {
            let (before, after) = value.split_at(prefix);
            return Some(format!("{before}{}", self.whole(after.trim(), placeholder)?));
        }
        let (name, address) = value.strip_suffix('>')?.split_once('<')?;
        (self.is(name.trim().trim_matches('"')) || self.is(address)).then(|| placeholder.to_owned())
    }

    /// Returns a text with `placeholder` in place of the person; none where the person is not in it.
    pub fn replaced(&self, text: &str, placeholder: &str) -> Option<String> {
        let mut result = String::new();
        let (mut copied, mut from) = (0, 0);
        while let Some((start, end)) = self.next(text, from) {
            if is_alone_before(&text[..start]) && is_alone_after(&text[end..]) {
                result.push_str(&text[copied..start]);
                result.push_str(placeholder);
                (copied, from) = (end, end);
            } else {
                from = start + text[start..].chars().next().map_or(1, char::len_utf8);
            }
        }
        (copied > 0).then(|| result + &text[copied..])
    }

    /// Returns where the person's characters are next. An address is found in any case.
    fn next(&self, text: &str, from: usize) -> Option<(usize, usize)> {
        if !self.is_address {
            let start = from + text[from..].find(&self.text)?;
            return Some((start, start + self.text.len()));
        }
        let length = self.text.len();
        let starts = text[from..].char_indices().map(|(place, _)| from + place);
        starts
            .filter_map(|start| Some((start, text.get(start..start + length)?)))
            .find(|(_, part)| part.eq_ignore_ascii_case(&self.text))
            .map(|(start, _)| (start, start + length))
    }

    /// Replaces the person in a document, and removes sealed values that are the person's. `field` is what holds it.
    pub fn erase(
        &self,
        value: &mut Value,
        field: Field,
        placeholder: &str,
        sealer: Option<&Sealer>,
    ) -> Found {
        let mut found = Found::default();
        match value {
            Value::String(text) => {
                if let Some(replaced) = self.replacement(text, field, placeholder) {
                    let before = std::mem::replace(text, replaced);
                    found.texts = 1;
                    if field == Field::Person {
                        found.note(before);
                    }
                }
            }
            Value::Array(items) => {
                let before = items.len();
                if let (Field::Sealed, Some(sealer)) = (field, sealer) {
                    items.retain(|item| !self.is_behind(item, sealer));
                }
                found.sealed = (before - items.len()) as u64;
                for item in items {
                    found.add(self.erase(item, field, placeholder, sealer));
                }
            }
            Value::Object(fields) => {
                for (name, value) in fields {
                    found.add(self.erase(value, Field::of(name, field), placeholder, sealer));
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
        found
    }

    fn replacement(&self, text: &str, field: Field, placeholder: &str) -> Option<String> {
        match field {
            Field::Person => self.replaced_value(text, placeholder),
            Field::Text => self.replaced(text, placeholder),
            _ if self.is_address => self.replaced(text, placeholder),
            _ => None,
        }
    }

    /// Returns whether a sealed value is the person's, or names it.
    fn is_behind(&self, item: &Value, sealer: &Sealer) -> bool {
        let sealed: Option<Sealed> = serde_json::from_value(item.clone()).ok();
        let value = sealed.and_then(|sealed| sealer.open(&sealed));
        value.is_some_and(|value| self.is(&value) || self.replaced(&value, "").is_some())
    }
}

/// Returns whether a character belongs to a word: a letter, a digit, or a mark that changes the letter before it.
fn is_word(char: char) -> bool {
    char.is_alphanumeric() || matches!(char, '\u{300}'..='\u{36f}')
}

/// Returns whether a name begins behind this text.
fn is_alone_before(text: &str) -> bool {
    let mut back = text.chars().rev();
    match back.next() {
        Some(char) if is_word(char) => false,
        Some(joint) if JOINTS.contains(&joint) => !back.next().is_some_and(is_word),
        _ => true,
    }
}

/// Returns whether a name ends before this text. A genitive belongs to it.
fn is_alone_after(text: &str) -> bool {
    let mut ahead = text.chars();
    match ahead.next() {
        Some(char) if is_word(char) => false,
        Some('\'' | '’') => match (ahead.next(), ahead.next()) {
            (Some('s'), after) => !after.is_some_and(is_word),
            (first, _) => !first.is_some_and(is_word),
        },
        Some(joint) if JOINTS.contains(&joint) => !ahead.next().is_some_and(is_word),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::secret::Secret;

    const X: &str = "erased-00";

    fn person(text: &str) -> Person {
        Person::new(text).unwrap()
    }

    #[test]
    fn a_name_is_a_word_of_its_own() {
        for (name, text, expected) in [
            ("al", "Resolved by al.", Some("Resolved by erased-00.")),
            ("al", "al: look at this, al", Some("erased-00: look at this, erased-00")),
            (
                "al",
                "al's fix, @al, (al), *al*, _al_, al/bob",
                Some("erased-00's fix, @erased-00, (erased-00), *erased-00*, _erased-00_, erased-00/bob"),
            ),
            ("al", "alice and hal and Al", None),
            ("al", "al-gore, al.gore, al_gore, al@example.com, el-al, o'al, al'ice", None),
            ("al", "ál al\u{301}", None),
            ("ben", "ben", Some("erased-00")),
            ("Jane Doe", "assigned to Jane Doe, not Jane Does", Some("assigned to erased-00, not Jane Does")),
            ("Ünal Öz", "Dank an Ünal Öz!", Some("Dank an erased-00!")),
            ("李雷", "由 李雷 处理", Some("由 erased-00 处理")),
            ("al", "", None),
            ("a.b", "a.b.c a.b", Some("a.b.c erased-00")),
            ("aa", "aaa aa", Some("aaa erased-00")),
        ] {
            assert_eq!(person(name).replaced(text, X).as_deref(), expected, "{name} in {text}");
        }
    }

    #[test]
    fn an_address_is_found_in_any_case_and_never_within_another_one() {
        let ada = person("ada@example.com");
        for (text, expected) in [
            ("<ADA@Example.com>", Some("<erased-00>")),
            ("email:ada@example.com, sent", Some("email:erased-00, sent")),
            ("mail ada@example.com.", Some("mail erased-00.")),
            ("lada@example.com, ada@example.com.br, x.ada@example.com, ada@example.community", None),
            ("a\u{301}da@example.com é ada@example.com", Some("a\u{301}da@example.com é erased-00")),
        ] {
            assert_eq!(ada.replaced(text, X).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn fields_that_name_a_person_and_texts_are_replaced_and_no_service_is() {
        let mut document = json!({
            "service": "gateway", "title": "gateway is slow", "by": "Gateway", "assignee": "gateway",
            "acknowledged": {"by": "gateway", "reason": "gateway looks at it"},
            "recipients": ["gateway", "slack:@gateway", "other"],
            "signals": [{"service": "gateway", "metric": "gateway"}], "number": 1, "mute": null,
        });
        let found = person("gateway").erase(&mut document, Field::Other, X, None);
        let values = ["Gateway", "gateway", "slack:@gateway"].map(str::to_owned);
        assert_eq!(found, Found { texts: 6, sealed: 0, values: values.into() });
        assert_eq!(
            document,
            json!({
                "service": "gateway", "title": "gateway is slow", "by": X, "assignee": X,
                "acknowledged": {"by": X, "reason": "erased-00 looks at it"},
                "recipients": [X, "slack:@erased-00", "other"],
                "signals": [{"service": "gateway", "metric": "gateway"}], "number": 1, "mute": null,
            })
        );
        let mut address = json!({"logs": [{"template": "no mail to ada@example.com"}]});
        person("ada@example.com").erase(&mut address, Field::Other, X, None);
        assert_eq!(address, json!({"logs": [{"template": "no mail to erased-00"}]}));
    }

    #[test]
    fn a_name_is_never_replaced_within_a_longer_one_in_a_field_that_names_a_person() {
        for (name, value, expected) in [
            ("Jane", "Jane Smith", None),
            ("Jane", "jane ", Some("erased-00")),
            ("Jane", "slack:@jane", Some("slack:@erased-00")),
            ("Jane", "chat:user:jane", Some("chat:user:erased-00")),
            ("Jane", "slack:@jane smith", None),
            ("Jane", "Jane <jane@example.com>", Some("erased-00")),
            ("Jane", "Jane Smith <jane@example.com>", None),
            ("jane@example.com", "\"Jane Smith\" <JANE@example.com>", Some("erased-00")),
            ("jane@example.com", "email:Jane <jane@example.com>", Some("email:erased-00")),
            ("jane@example.com", "bob@example.com, jane@example.com", Some("bob@example.com, erased-00")),
            ("jane@example.com", "Jane <mary.jane@example.com>", None),
            ("Jane", ":jane", None),
            ("Jane", "", None),
        ] {
            assert_eq!(person(name).replaced_value(value, X).as_deref(), expected, "{name} in {value}");
        }
    }

    #[test]
    fn the_title_of_an_action_item_is_text_and_that_of_an_incident_is_not() {
        let mut document =
            json!({"title": "jane", "action_items": [{"title": "Ask jane", "owner": "Jane Smith"}]});
        person("jane").erase(&mut document, Field::Other, X, None);
        let expected =
            json!({"title": "jane", "action_items": [{"title": "Ask erased-00", "owner": "Jane Smith"}]});
        assert_eq!(document, expected);
    }

    #[test]
    fn of_many_values_the_first_are_listed() {
        let mut document =
            json!((0..30).map(|n| json!({"by": format!("scheme{n:02}:jane")})).collect::<Vec<_>>());
        let found = person("jane").erase(&mut document, Field::Other, X, None);
        assert_eq!((found.texts, found.values.len()), (30, MAX_VALUES));
    }

    #[test]
    fn a_sealed_value_of_the_person_goes_and_those_of_others_stay() {
        let sealer = Sealer::new(&Secret::new("a".repeat(64))).unwrap();
        let sealed = |placeholder: &str, value| json!(sealer.seal(placeholder, value).unwrap());
        let others = sealed("[email 2]", "adam@example.com");
        let mut document = json!({"sealed": [sealed("[email 1]", "Ada@example.com"), others, {"value": 1}]});
        let found = person("ada@example.com").erase(&mut document, Field::Other, X, Some(&sealer));
        assert_eq!((found.texts, found.sealed), (0, 1));
        assert_eq!(document, json!({"sealed": [others, {"value": 1}]}));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for wrong in ["", " a ", "a\nb", "--", "erased-12ab", "correlation", " Postmortem", &"x".repeat(201)]
        {
            assert!(Person::new(wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(person("  Ada Lovelace ").needle(), "lovelace");
        assert_eq!(person("李雷").needle(), "");
        assert_eq!(format!("{:?}", person("ada")), "Person");
    }

    proptest! {
        #[test]
        fn what_is_erased_is_not_found_again(name in "[a-zé.@ '-]{2,8}", text in "[a-zé.@ '_-]{0,40}") {
            let Ok(person) = Person::new(&name) else { return Ok(()) };
            let once = person.replaced(&text, "erased-0123456789").unwrap_or(text);
            prop_assert_eq!(person.replaced(&once, "erased-0123456789"), None);
        }

        #[test]
        fn every_text_with_the_person_holds_the_needle(name in "[A-Za-zÄé. ]{2,8}", around in ".{0,5}") {
            let Ok(person) = Person::new(&name) else { return Ok(()) };
            let text = format!("{around} {} {around}", name.trim());
            prop_assert!(text.to_lowercase().contains(&person.needle()));
        }
    }
}
