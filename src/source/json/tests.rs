use proptest::prelude::*;

use super::*;

/// Writes a document again, through everything a reader uses.
fn rebuilt(node: Node<'_>) -> serde_json::Value {
    match node.value() {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => value.into(),
        Value::Number(raw) => serde_json::from_str(raw).unwrap(),
        Value::Text(text) => text.content().into(),
        Value::Array(elements) => elements.map(rebuilt).collect(),
        Value::Object(members) => members
            .map(|(key, value)| (key.content().into_owned(), rebuilt(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
    }
}

/// What we hold of a document: no text of ours has a NUL.
fn without_nul(value: serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::String(text) => text.replace('\0', "\u{fffd}").into(),
        serde_json::Value::Array(elements) => elements.into_iter().map(without_nul).collect(),
        serde_json::Value::Object(members) => {
            let held = members.into_iter().map(|(key, value)| (key.replace('\0', "\u{fffd}"), without_nul(value)));
            held.collect::<serde_json::Map<_, _>>().into()
        }
        other => other,
    }
}

fn castable(text: &str) -> bool {
    Document::parse(text).unwrap().castable_to_jsonb()
}

fn content(text: &str) -> String {
    match Document::parse(text).unwrap().root().value() {
        Value::Text(text) => text.content().into_owned(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn escapes_are_decoded() {
    assert_eq!(content(r#""a\"\\\/\b\f\n\r\t\u00e9\ud83c\udf5c!""#), "a\"\\/\u{8}\u{c}\n\r\té🍜!");
}

#[test]
fn what_no_text_can_hold_becomes_a_replacement_character() {
    for lone in [r#""\u0000""#, r#""\ud83c""#, r#""\udf5c""#] {
        assert_eq!(content(lone), "\u{fffd}", "{lone}");
    }
    assert_eq!(content(r#""\ud83c\ud83c\udf5c""#), "\u{fffd}🍜");
    assert_eq!(content(r#""\ud83cA\udf5c""#), "\u{fffd}A\u{fffd}");
    assert_eq!(content(r#""\ud83c\n""#), "\u{fffd}\n");
}

#[test]
fn what_postgres_cannot_cast_is_known() {
    for text in [
        r#"{"a":"\u0000"}"#,
        r#"{"\u0000":1}"#,
        r#"["\ud83c"]"#,
        r#"["\udf5c"]"#,
        r#"["\ud83c\ud83c\udf5c"]"#,
        r#"["\ud83cx"]"#,
        "[1e999999]",
        "[1e-999999]",
        "[1e99999999999999999999999]",
    ] {
        assert!(!castable(text), "{text}");
    }
    for text in [r#"["\u0001\u00e9\ud83c\udf5c"]"#, r#"["\\u0000"]"#, "[1e300, -0.5e-300, 12345678901234567890123]"] {
        assert!(castable(text), "{text}");
    }
}

#[test]
fn numbers_stay_as_they_were_written() {
    let document = Document::parse("[9007199254740993, 1099.0, -0, 123456789012345678901234567890]").unwrap();
    let Value::Array(elements) = document.root().value() else { panic!() };
    let raw: Vec<_> = elements.map(|node| if let Value::Number(raw) = node.value() { raw } else { "" }).collect();
    assert_eq!(raw, ["9007199254740993", "1099.0", "-0", "123456789012345678901234567890"]);
}

#[test]
fn a_doubled_key_stays_doubled() {
    let document = Document::parse(r#"{"a":1,"a":2}"#).unwrap();
    let Value::Object(members) = document.root().value() else { panic!() };
    assert_eq!(members.count(), 2);
}

#[test]
fn nesting_is_limited_on_both_sides_of_the_limit() {
    let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(Document::parse(&nested(MAX_DEPTH)).is_ok());
    assert_eq!(Document::parse(&nested(MAX_DEPTH + 1)).unwrap_err().problem, Problem::TooDeep);
    assert_eq!(Document::parse(&"[".repeat(1_000_000)).unwrap_err().problem, Problem::TooDeep);
}

#[test]
fn what_is_not_json_is_refused() {
    for text in [
        "",
        " ",
        "{",
        "[",
        "\"",
        "{]",
        "[}",
        "[1,]",
        "[,1]",
        "{\"a\":1,}",
        "{\"a\"}",
        "{\"a\":}",
        "{a:1}",
        "{1:1}",
        "01",
        "-",
        "+1",
        ".5",
        "1.",
        "1e",
        "1e+",
        "0x1",
        "tru",
        "nulll",
        "True",
        "NaN",
        "1 2",
        "[1]]",
        "'a'",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\n\"",
        "\"a\u{0}\"",
        "\u{feff}1",
        "[1\u{a0}]",
        "// x\n1",
    ] {
        assert!(Document::parse(text).is_err(), "{text:?}");
        assert!(serde_json::from_str::<serde_json::Value>(text).is_err(), "{text:?}");
    }
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let text = prop_oneof![".{0,8}", "[\u{0}-\u{20}\"\\\\/a-z\u{80}-\u{ffff}🍜]{0,8}"];
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        text.clone().prop_map(Into::into),
    ];
    leaf.prop_recursive(5, 60, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::vec((text.clone(), inner), 0..6)
                .prop_map(|members| members.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    })
}

proptest! {
    #[test]
    fn every_document_is_read_as_serde_json_reads_it(value in any_json(), pretty: bool) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        prop_assert_eq!(rebuilt(Document::parse(&text).unwrap().root()), without_nul(serde_json::from_str(&text).unwrap()));
    }

    /// Damaged documents: both accept or both refuse, apart from lone surrogates and numbers no float can hold.
    #[test]
    fn a_damaged_document_is_accepted_exactly_when_serde_json_accepts_it(
        value in any_json(), cut in any::<prop::sample::Index>(), insert in r#"[\[\]{}",:\\0-9eE.+\-tfnu \u{0}x]{0,2}"#, remove in 0..3_usize,
    ) {
        let mut characters: Vec<char> = serde_json::to_string(&value).unwrap().chars().collect();
        let at = cut.index(characters.len());
        let end = (at + remove).min(characters.len());
        characters.splice(at..end, insert.chars());
        let text: String = characters.into_iter().collect();

        let ours = Document::parse(&text);
        match serde_json::from_str::<serde_json::Value>(&text) {
            Ok(theirs) => prop_assert_eq!(rebuilt(ours.unwrap().root()), without_nul(theirs)),
            Err(error) => {
                let only_theirs = error.to_string().contains("surrogate")
                    || error.to_string().contains("unexpected end of hex escape")
                    || error.to_string().contains("out of range");
                prop_assert!(ours.is_err() || only_theirs, "{text:?}: {error}");
            }
        }
    }

    #[test]
    fn any_text_at_all_is_read_or_refused(text in ".*") {
        let _ = Document::parse(&text);
    }

    #[test]
    fn any_escapes_decode_without_a_panic(escapes in r"(\\u[dD][89a-fA-F][0-9a-f]{2}|\\u0000|\\n|a|é){0,8}") {
        let text = format!("\"{escapes}\"");
        let lossless = serde_json::from_str::<String>(&text);
        if let Ok(expected) = lossless {
            prop_assert_eq!(content(&text), expected.replace('\0', "\u{fffd}"));
        } else {
            prop_assert!(content(&text).contains(char::REPLACEMENT_CHARACTER));
        }
    }
}
