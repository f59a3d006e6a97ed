//! Where two JSON documents differ, leaf by leaf. Pure.
//!
//! Leaves are compared and told as they are written, so that no amount is ever a float.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// What lies deeper is one leaf: nobody's document is so deep, but a payload may be anything.
const DEEPEST: usize = 64;

/// One leaf that is not the same in both.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// As a JSON pointer, with `*` for any place in a list.
    pub path: String,
    /// As it is written; none: it is not there.
    pub from: Option<String>,
    pub to: Option<String>,
}

#[derive(Debug, PartialEq, Eq)]
enum Node<'t> {
    Object(BTreeMap<String, Node<'t>>),
    List(Vec<Node<'t>>),
    /// As written; also what is empty.
    Leaf(&'t str),
}

/// Where two texts differ; none where one of them is no JSON. What both lists begin and end with is passed over, so that one
/// line more or less does not move the others.
pub fn differences(before: &str, after: &str) -> Option<Vec<Difference>> {
    let (before, after) = (Node::of(before)?, Node::of(after)?);
    let mut found = Vec::new();
    compare(&before, &after, "", &mut found);
    Some(found)
}

/// Every leaf as it is written; of what is no JSON none.
pub fn leaves(text: &str) -> Vec<&str> {
    fn gather<'t>(node: &Node<'t>, into: &mut Vec<&'t str>) {
        match node {
            Node::Object(entries) => entries.values().for_each(|entry| gather(entry, into)),
            Node::List(entries) => entries.iter().for_each(|entry| gather(entry, into)),
            Node::Leaf(leaf) => into.push(leaf),
        }
    }
    let mut found = Vec::new();
    if let Some(node) = Node::of(text) {
        gather(&node, &mut found);
    }
    found
}

impl<'t> Node<'t> {
    fn of(text: &'t str) -> Option<Self> {
        serde_json::from_str::<&RawValue>(text).ok().map(|raw| Self::read(raw.get(), 0))
    }

    fn read(text: &'t str, depth: usize) -> Self {
        let leaf = || Self::Leaf(text);
        if depth == DEEPEST {
            return leaf();
        }
        match text.as_bytes().first() {
            Some(b'{') => {
                let Ok(entries) = serde_json::from_str::<BTreeMap<String, &RawValue>>(text) else { return leaf() };
                let read = |(key, raw): (String, &'t RawValue)| (key, Self::read(raw.get(), depth + 1));
                if entries.is_empty() {
                    Self::Leaf("{}")
                } else {
                    Self::Object(entries.into_iter().map(read).collect())
                }
            }
            Some(b'[') => {
                let Ok(entries) = serde_json::from_str::<Vec<&RawValue>>(text) else { return leaf() };
                let read = |raw: &'t RawValue| Self::read(raw.get(), depth + 1);
                if entries.is_empty() { Self::Leaf("[]") } else { Self::List(entries.into_iter().map(read).collect()) }
            }
            _ => leaf(),
        }
    }
}

fn compare(before: &Node<'_>, after: &Node<'_>, path: &str, found: &mut Vec<Difference>) {
    match (before, after) {
        (before, after) if before == after => {}
        (Node::Object(before), Node::Object(after)) => {
            for (key, was) in before {
                match after.get(key) {
                    Some(is) => compare(was, is, &below(path, key), found),
                    None => all(was, &below(path, key), Side::Before, found),
                }
            }
            for (key, is) in after.iter().filter(|(key, _)| !before.contains_key(*key)) {
                all(is, &below(path, key), Side::After, found);
            }
        }
        (Node::List(before), Node::List(after)) => lists(before, after, &format!("{path}/*"), found),
        (Node::Leaf(was), Node::Leaf(is)) => {
            found.push(Difference { path: path.to_owned(), from: Some((*was).to_owned()), to: Some((*is).to_owned()) });
        }
        (before, after) => {
            all(before, path, Side::Before, found);
            all(after, path, Side::After, found);
        }
    }
}

fn lists(before: &[Node<'_>], after: &[Node<'_>], path: &str, found: &mut Vec<Difference>) {
    let (mut before, mut after) = (before, after);
    if before.len() != after.len() {
        let n_first = before.iter().zip(after).take_while(|(was, is)| was == is).count();
        (before, after) = (&before[n_first..], &after[n_first..]);
        let n_last = before.iter().rev().zip(after.iter().rev()).take_while(|(was, is)| was == is).count();
        (before, after) = (&before[..before.len() - n_last], &after[..after.len() - n_last]);
    }
    let n_both = before.len().min(after.len());
    for (was, is) in before.iter().zip(after) {
        compare(was, is, path, found);
    }
    before[n_both..].iter().for_each(|was| all(was, path, Side::Before, found));
    after[n_both..].iter().for_each(|is| all(is, path, Side::After, found));
}

#[derive(Clone, Copy)]
enum Side {
    Before,
    After,
}

/// Every leaf of what only one of them has.
fn all(node: &Node<'_>, path: &str, side: Side, found: &mut Vec<Difference>) {
    match node {
        Node::Object(entries) => entries.iter().for_each(|(key, entry)| all(entry, &below(path, key), side, found)),
        Node::List(entries) => entries.iter().for_each(|entry| all(entry, &format!("{path}/*"), side, found)),
        Node::Leaf(leaf) => {
            let (path, leaf) = (path.to_owned(), Some((*leaf).to_owned()));
            found.push(match side {
                Side::Before => Difference { path, from: leaf, to: None },
                Side::After => Difference { path, from: None, to: leaf },
            });
        }
    }
}

/// Source: RFC 6901, section 3.
fn below(path: &str, key: &str) -> String {
    format!("{path}/{}", key.replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn told(before: &str, after: &str) -> Vec<String> {
        let show = |leaf: Option<String>| leaf.unwrap_or_else(|| "-".to_owned());
        let differences = differences(before, after).expect("JSON");
        differences.into_iter().map(|one| format!("{} {} {}", one.path, show(one.from), show(one.to))).collect()
    }

    #[test]
    fn each_leaf_that_differs_is_told_by_its_place() {
        let before = r#"{"a":{"x/y":"200","z":1},"lines":[{"code":"1"},{"code":"2"}],"gone":true}"#;
        let after = r#"{"a":{"x/y":"260","z":1},"lines":[{"code":"1"},{"code":"3"}],"new":[]}"#;

        assert_eq!(
            told(before, after),
            [r#"/a/x~1y "200" "260""#, "/gone true -", r#"/lines/*/code "2" "3""#, "/new - []"]
        );
    }

    #[test]
    fn a_line_more_or_less_does_not_move_the_others() {
        assert_eq!(told("[1,2,3,4]", "[1,3,4]"), ["/* 2 -"]);
        assert_eq!(told("[1,4]", "[1,{\"a\":2},4]"), ["/*/a - 2"]);
    }

    #[test]
    fn numbers_are_compared_as_they_are_written() {
        assert_eq!(told(r#"{"n":9.12500000000000000001}"#, r#"{"n":9.125}"#), ["/n 9.12500000000000000001 9.125"]);
        assert_eq!(told("[1]", r#"{"a":1}"#), ["/* 1 -", "/a - 1"]);
    }

    #[test]
    fn what_is_no_json_is_not_compared_and_what_is_too_deep_is_one_leaf() {
        let deep = |core: &str| format!("{}{core}{}", "[".repeat(200), "]".repeat(200));

        assert_eq!(differences("order=1", "{}"), None);
        assert_eq!(differences(&deep("1"), &deep("2")).expect("JSON").len(), 1);
        assert_eq!(leaves(r#"{"a":[1,"b"],"c":{}}"#), ["1", "\"b\"", "{}"]);
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![Just(json!(null)), (0..3).prop_map(|n| json!(n)), "[ab/~]{0,2}".prop_map(|s| json!(s))];
        leaf.prop_recursive(3, 16, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[ab/~]{1,2}", inner, 0..3).prop_map(|map| json!(map)),
            ]
        })
    }

    proptest! {
        #[test]
        fn two_documents_differ_somewhere_or_are_the_same(before in any_json(), after in any_json()) {
            let there = differences(&before.to_string(), &after.to_string()).unwrap();
            let back = differences(&after.to_string(), &before.to_string()).unwrap();

            prop_assert_eq!(there.is_empty(), before == after);
            let mut turned: Vec<_> =
                back.into_iter().map(|one| Difference { from: one.to, to: one.from, path: one.path }).collect();
            let mut there = there;
            there.sort();
            turned.sort();
            prop_assert_eq!(there, turned);
        }
    }
}
