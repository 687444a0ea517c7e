//! What `firewatch privacy` is asked.

use clap::Subcommand;
use shared::text::person::Person;

/// What can be done with what is stored of people.
#[derive(Debug, Clone, Subcommand)]
pub enum Privacy {
    /// Replaces a name or an address, wherever the database holds it, by a placeholder.
    ///
    /// Names are replaced where they stand alone: `al` is neither alice nor al@example.com. Run it once for each name and each
    /// address of the person, with --preview first. It may be interrupted, and run again: it goes on, and finds what came since.
    Erase {
        /// Name or address, as it is stored; of a name in texts the case counts.
        #[arg(long, value_name = "NAME|ADDRESS", value_parser = person)]
        person: Person,
        /// Who asks; on record with the placeholder, never with the name.
        #[arg(long, value_name = "NAME")]
        by: String,
        /// Counts what would be replaced, and lists the values of fields that name a person; changes nothing.
        #[arg(long)]
        preview: bool,
        /// Prints one JSON object.
        #[arg(long)]
        json: bool,
    },
}

fn person(text: &str) -> Result<Person, &'static str> {
    Person::new(text)
}
