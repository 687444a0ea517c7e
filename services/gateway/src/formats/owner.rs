//! Which service and environment the labels of an item name, and which labels only repeat them.

use crate::identity::Rules;

/// What a person can do about an item without a service.
pub(super) const HINT: &str =
    "no label names a service: add a label such as service, or name yours in gateway.identity.service_labels";

/// The service and environment of an item.
pub(super) struct Owner<'a> {
    rules: &'a Rules,
    /// Service, renamed as configured.
    pub(super) service: &'a str,
    /// Environment.
    pub(super) environment: &'a str,
    /// Service as its label has it.
    named: &'a str,
}

impl<'a> Owner<'a> {
    /// Returns the service and environment that labels name; none where no label names a service.
    pub(super) fn of(rules: &'a Rules, label: impl Fn(&str) -> Option<&'a str>) -> Option<Self> {
        let service = rules.service(&label)?;
        let mut labelled = rules.service_labels.iter().filter_map(|name| label(name));
        let named = if rules.renames.is_empty() { None } else { labelled.find(|value| !value.is_empty()) };
        let named = named.unwrap_or(service);
        Some(Self { rules, service, environment: rules.environment(label), named })
    }

    /// Returns whether a label says nothing but the service or the environment.
    pub(super) fn repeats(&self, name: &str, value: &str) -> bool {
        let is_one_of = |labels: &[String]| labels.iter().any(|label| label == name);
        value == self.named && is_one_of(&self.rules.service_labels)
            || value == self.environment && is_one_of(&self.rules.environment_labels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_that_names_the_owner_repeats_it_also_under_its_old_name() {
        let labels =
            [("app", "pay"), ("env", "staging"), ("job", "pods"), ("service", "pay"), ("zone", "pay")];
        let renamed =
            Rules { renames: [("pay".to_owned(), "payment".to_owned())].into(), ..Rules::default() };
        for (rules, service) in [(&renamed, "payment"), (&Rules::default(), "pay")] {
            let label =
                |wanted: &str| labels.iter().find(|(name, _)| *name == wanted).map(|(_, value)| *value);
            let owner = Owner::of(rules, label).unwrap();
            assert_eq!((owner.service, owner.environment), (service, "staging"));
            let kept: Vec<_> = labels.iter().filter(|(name, value)| !owner.repeats(name, value)).collect();
            assert_eq!(kept, [&("job", "pods"), &("zone", "pay")]);
        }
    }
}
