//! `check-config`, `config show`, `config schema`, `config reference`: what is configured and what is wrong with it. No network.

use std::io::{self, Write};

use serde_json::json;

use crate::{
    config::{self, ConfigError, LoadOptions, Problems, Report},
    telemetry::chain,
};

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Text,
    Json,
}

const FINE: u8 = 0;
const BAD_CONFIGURATION: u8 = 2;

/// Tells every problem and warning. Returns the exit code: 0 or 2; warnings alone are 0.
pub fn check(options: &LoadOptions, form: Form, out: &mut impl Write) -> io::Result<u8> {
    let report = match config::check(options) {
        Ok(report) => report,
        Err(error) => return refuse(&error, form, out),
    };
    write_report(&report, form, out)?;
    Ok(if report.found.is_empty() { FINE } else { BAD_CONFIGURATION })
}

/// Writes the configuration in effect, defaults and all, without secrets. Returns the exit code: 0 or 2.
pub fn show(options: &LoadOptions, form: Form, out: &mut impl Write) -> io::Result<u8> {
    let settings = match config::load(options) {
        Ok(settings) => settings,
        Err(error) => return refuse(&error, form, out),
    };
    match form {
        Form::Text => write!(out, "{}", config::show(&settings))?,
        Form::Json => writeln!(out, "{:#}", json!(settings))?,
    }
    Ok(FINE)
}

/// Writes the JSON Schema of the configuration file.
pub fn schema(out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{:#}", config::schema())
}

/// Writes every key of the configuration file with its type, default and meaning, as Markdown.
pub fn reference(out: &mut impl Write) -> io::Result<()> {
    write!(out, "{}", config::reference())
}

/// Tells why a configuration cannot be used. Returns the exit code 2.
pub(super) fn refuse(error: &ConfigError, form: Form, out: &mut impl Write) -> io::Result<u8> {
    match (error, form) {
        (ConfigError::Invalid(report), form) => write_report(report, form, out)?,
        (error, Form::Text) => writeln!(out, "{}", chain(error))?,
        (error, Form::Json) => writeln!(out, "{:#}", json!({ "ok": false, "error": chain(error) }))?,
    }
    Ok(BAD_CONFIGURATION)
}

fn write_report(report: &Report, form: Form, out: &mut impl Write) -> io::Result<()> {
    let Report { file, found: Problems { problems, warnings }, .. } = report;
    match form {
        Form::Text => writeln!(out, "{report}"),
        Form::Json => {
            let answer = json!({ "ok": problems.is_empty(), "file": file, "problems": problems, "warnings": warnings });
            writeln!(out, "{answer:#}")
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::config::Env;

    fn options(more: &[(&str, &str)]) -> LoadOptions {
        let least = [
            ("SCOFFABLE_SYNC__DATABASE__URL", "embedded"),
            ("SCOFFABLE_SYNC__SOURCES__MAIN__KIND", "scoffable"),
            ("SCOFFABLE_SYNC__SOURCES__MAIN__TOKEN", "hunter2"),
        ];
        LoadOptions { env: least.iter().chain(more).copied().collect::<Env>(), ..LoadOptions::default() }
    }

    fn written(act: impl FnOnce(&mut Vec<u8>) -> u8) -> (u8, String) {
        let mut out = Vec::new();
        let code = act(&mut out);
        (code, String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_check_tells_warnings_and_is_content() {
        let (code, text) = written(|out| check(&options(&[]), Form::Text, out).unwrap());

        assert_eq!(code, 0);
        assert!(text.starts_with("the environment: 0 problems, 1 warning\n  warning: sources.main: "), "{text}");
    }

    #[test]
    fn a_check_for_machines_holds_each_problem_with_key_and_suggestion() {
        let bad = options(&[("SCOFFABLE_SYNC__HTTP__LISTEN", "9464")]);

        let (code, text) = written(|out| check(&bad, Form::Json, out).unwrap());

        let answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(code, 2);
        assert_eq!(answer["ok"], false);
        assert_eq!(answer["problems"][0]["key"], "http.listen");
        assert!(answer["problems"][0]["suggestion"].is_string());
    }

    #[test]
    fn what_is_in_effect_is_shown_without_secrets() {
        for form in [Form::Text, Form::Json] {
            let (code, text) = written(|out| show(&options(&[]), form, out).unwrap());

            assert_eq!(code, 0);
            assert!(text.contains("partners-api.scoffable.com") && text.contains("[redacted]"), "{text}");
            assert!(!text.contains("hunter2"), "{text}");
        }
    }

    #[test]
    fn a_missing_file_is_told_with_its_cause() {
        let missing = LoadOptions { file: Some("/nowhere/x.toml".into()), ..LoadOptions::default() };

        for form in [Form::Text, Form::Json] {
            let (code, text) = written(|out| check(&missing, form, out).unwrap());

            assert_eq!(code, 2);
            assert!(text.contains("/nowhere/x.toml: No such file"), "{text}");
        }
    }

    #[test]
    fn the_schema_is_json() {
        let mut out = Vec::new();

        schema(&mut out).unwrap();

        let schema: Value = serde_json::from_slice(&out).unwrap();
        assert!(schema["properties"]["sinks"].is_object());
    }
}
