//! The effective configuration as it could be written in a file, without its secrets.

use super::Settings;

/// TOML with every key that has a value, defaults too. Secrets show where they are kept; literal ones are redacted.
pub fn show(settings: &Settings) -> String {
    let table = table(settings);
    toml::to_string(&table).expect("a table of texts, numbers, lists and tables is TOML")
}

pub(super) fn table(settings: &Settings) -> toml::Table {
    toml::Table::try_from(settings).expect("settings hold only what TOML can say")
}
