//! Metrics of the stage, besides those every stage has.

/// Name of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Metric {
    /// Counter by `kind` and `outcome` (`sent`, `again`, `failed`): attempts at delivery.
    Attempts,
    /// Counter by `kind`: recipients that the channel refused.
    RecipientsRefused,
    /// Counter: entries of the service catalogue or the settings that are no address.
    AddressesUnusable,
    /// Counter by `kind`: later revisions of what had been announced, which are not announced.
    NotRepeated,
    /// Histogram, seconds, by `channel`: rendering and sending.
    DeliverySeconds,
}

impl Metric {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Attempts,
        Self::RecipientsRefused,
        Self::AddressesUnusable,
        Self::NotRepeated,
        Self::DeliverySeconds,
    ];

    /// Returns the name as it is exported.
    pub fn name(self) -> &'static str {
        match self {
            Self::Attempts => "firewatch_communication_attempts_total",
            Self::RecipientsRefused => "firewatch_communication_recipients_refused_total",
            Self::AddressesUnusable => "firewatch_communication_addresses_unusable_total",
            Self::NotRepeated => "firewatch_communication_not_repeated_total",
            Self::DeliverySeconds => "firewatch_communication_delivery_seconds",
        }
    }
}
