use super::*;
use crate::domain::{
    money::breakdown,
    order::{Status, sample::*},
};

/// Groups as (originals, replacements).
fn groups(items: Vec<Item>) -> Vec<(Vec<LineIndex>, Vec<LineIndex>)> {
    links(&order(0, items)).groups.into_iter().map(|group| (group.originals, group.replacements)).collect()
}

fn oddities(items: Vec<Item>) -> Vec<Oddity> {
    links(&order(0, items)).oddities
}

fn outcome(order: &Order) -> GroupOutcome {
    links(order).groups[0].outcome(breakdown(order).delta)
}

mod groups_by_shape {
    use super::*;

    #[test]
    fn one_for_one() {
        assert_eq!(groups(vec![replaced("a", 1, 1, &["b"]), substitute("b", 1, 1, &["a"])]), [(vec![0], vec![1])]);
    }

    #[test]
    fn several_replaced_by_one() {
        let items = vec![
            replaced("a", 1, 1, &["c"]),
            goods("other", 1, 1),
            replaced("b", 1, 1, &["c"]),
            substitute("c", 1, 1, &["a", "b"]),
        ];
        assert_eq!(groups(items), [(vec![0, 2], vec![3])]);
    }

    #[test]
    fn one_replaced_by_several() {
        let items =
            vec![replaced("a", 1, 1, &["b", "c"]), substitute("b", 1, 1, &["a"]), substitute("c", 1, 1, &["a"])];
        assert_eq!(groups(items), [(vec![0], vec![1, 2])]);
    }

    #[test]
    fn several_replaced_by_several_keep_the_price_as_ordered() {
        let order = order(
            290,
            [
                replaced("red", 90, 2, &["net", "sha"]),
                replaced("white", 110, 1, &["net", "sha"]),
                substitute("net", 240, 1, &["red", "white"]),
                substitute("sha", 130, 1, &["red", "white"]).adjusted_by("adj"),
                adjustment("adj", -80, &["sha"]),
            ],
        );

        let links = links(&order);
        let group = &links.groups[0];
        assert_eq!(links.groups.len(), 1);
        assert_eq!((&group.originals, &group.replacements), (&vec![0, 1], &vec![2, 3]));
        assert_eq!(group.adjustments, [4]);
        assert_eq!(group.ordered_value, Some(pounds(290)));
        assert_eq!(group.supplied_value, Some(pounds(370)));
        assert_eq!(group.adjusted_by, Some(pounds(-80)));
        assert_eq!(links.oddities, []);
        assert_eq!(outcome(&order), GroupOutcome::PriceMatched);
        assert_eq!(breakdown(&order).items.unwrap().supplied, 290);
    }

    #[test]
    fn unrelated_substitutions_are_separate_groups() {
        let items = vec![
            substitute("d", 1, 1, &["c"]),
            replaced("a", 1, 1, &["b"]),
            substitute("b", 1, 1, &["a"]),
            replaced("c", 1, 1, &["d"]),
        ];
        assert_eq!(groups(items), [(vec![3], vec![0]), (vec![1], vec![2])]);
    }

    #[test]
    fn overlapping_lists_join_into_one_group() {
        let items = vec![
            replaced("a", 1, 1, &["x"]),
            replaced("b", 1, 1, &["x", "y"]),
            replaced("c", 1, 1, &["y"]),
            substitute("x", 1, 1, &["a", "b"]),
            substitute("y", 1, 1, &["b", "c"]),
        ];
        assert_eq!(groups(items), [(vec![0, 1, 2], vec![3, 4])]);
    }

    #[test]
    fn several_units_of_one_replacement_are_one_line() {
        let order = order(600, [replaced("a", 500, 1, &["b"]), substitute("b", 200, 3, &["a"])]);
        let links = links(&order);
        assert_eq!(links.groups[0].replacements, [1]);
        assert_eq!(links.groups[0].supplied_value, Some(pounds(600)));
        assert_eq!(outcome(&order), GroupOutcome::CustomerPays);
    }

    #[test]
    fn a_replacement_that_was_replaced_itself_stands_on_both_sides() {
        let middle = Item { substituted_by: ids(&["c"]), ..line("b", ItemType::Product, 120, 0, 0) };
        let middle = Item { substituted_for: ids(&["a"]), ..middle };
        let order = order(100, [replaced("a", 100, 1, &["b"]), middle, substitute("c", 100, 1, &["b"])]);
        let links = links(&order);
        assert_eq!((&links.groups[0].originals, &links.groups[0].replacements), (&vec![0, 1], &vec![1, 2]));
        assert_eq!(links.groups[0].ordered_value, Some(pounds(100)));
        assert_eq!(links.groups[0].supplied_value, Some(pounds(100)));
        assert_eq!(outcome(&order), GroupOutcome::SamePrice);
    }

    #[test]
    fn a_partly_replaced_line_counts_with_what_was_supplied_of_it() {
        let partly = Item { substituted_by: ids(&["b"]), ..line("a", ItemType::Product, 100, 3, 1) };
        let links = links(&order(300, [partly, substitute("b", 100, 2, &["a"])]));
        assert_eq!(links.groups[0].ordered_value, Some(pounds(300)));
        assert_eq!(links.groups[0].supplied_value, Some(pounds(300)));
    }
}

mod links_that_do_not_fit {
    use super::*;

    #[test]
    fn one_sided_links_make_a_group_and_are_reported() {
        let forth = vec![replaced("a", 1, 1, &["b"]), substitute("b", 1, 1, &[])];
        assert_eq!(groups(forth.clone()), [(vec![0], vec![1])]);
        assert_eq!(oddities(forth), [Oddity::OneSided { line: 0, other: 1 }]);

        let back = vec![replaced("a", 1, 1, &[]), substitute("b", 1, 1, &["a"])];
        assert_eq!(groups(back.clone()), [(vec![0], vec![1])]);
        assert_eq!(oddities(back), [Oddity::OneSided { line: 1, other: 0 }]);
    }

    #[test]
    fn a_dangling_link_makes_no_group() {
        let items = vec![replaced("a", 1, 1, &["gone"])];
        assert_eq!(groups(items.clone()), []);
        assert_eq!(oddities(items), [Oddity::Dangling { line: 0, id: ItemId::new("gone") }]);
    }

    #[test]
    fn a_line_that_replaces_itself_makes_no_group() {
        let items = vec![replaced("a", 1, 1, &["a"])];
        assert_eq!(groups(items.clone()), []);
        assert_eq!(oddities(items), [Oddity::SelfLink { line: 0 }]);
    }

    #[test]
    fn repeated_links_and_doubled_ids_are_reported_once_each() {
        let items = vec![
            replaced("a", 1, 1, &["b", "b"]),
            substitute("b", 1, 1, &["a"]),
            Item { substituted_for: vec![], ..substitute("b", 1, 1, &[]) },
        ];
        assert_eq!(groups(items.clone()), [(vec![0], vec![1])]);
        assert_eq!(
            oddities(items),
            [Oddity::DuplicateId { line: 2 }, Oddity::RepeatedLink { line: 0, id: ItemId::new("b") }]
        );
    }

    #[test]
    fn a_line_without_an_id_can_still_point_at_others() {
        let nameless = Item { id: None, ..substitute("b", 1, 1, &["a"]) };
        let items = vec![replaced("a", 1, 1, &[]), nameless];
        assert_eq!(groups(items.clone()), [(vec![0], vec![1])]);
        assert_eq!(oddities(items)[0], Oddity::LinksWithoutId { line: 1 });
    }

    #[test]
    fn circular_links_end() {
        let both = |id: &str, other: &str| Item { substituted_for: ids(&[other]), ..replaced(id, 1, 1, &[other]) };
        assert_eq!(groups(vec![both("a", "b"), both("b", "a")]), [(vec![0, 1], vec![0, 1])]);
    }
}

mod adjustments_of_lines {
    use super::*;

    #[test]
    fn one_adjustment_over_two_lines_is_one_adjustment() {
        let items = [
            goods("a", 500, 1).adjusted_by("adj"),
            goods("b", 500, 1).adjusted_by("adj"),
            adjustment("adj", -300, &["a", "b"]),
        ];
        let order = order(700, items);
        assert_eq!(links(&order).adjustments, [Adjustment { line: 2, adjusts: vec![0, 1] }]);
        assert_eq!(links(&order).oddities, []);
        assert_eq!(breakdown(&order).items.unwrap().adjustments, -300);
    }

    #[test]
    fn an_adjustment_without_links_is_about_the_order() {
        let order = order(400, [goods("a", 500, 1), adjustment("adj", -100, &[])]);
        assert_eq!(links(&order).adjustments, [Adjustment { line: 1, adjusts: vec![] }]);
        assert_eq!(breakdown(&order).verdict.as_str(), "balanced");
    }

    #[test]
    fn two_adjustments_naming_one_line_both_count_and_are_reported() {
        let items = [
            goods("a", 500, 1).adjusted_by("adj-1"),
            adjustment("adj-1", -100, &["a"]),
            adjustment("adj-2", -50, &["a"]),
        ];
        let order = order(350, items);
        let links = links(&order);
        assert_eq!(links.adjustments.iter().map(|a| a.adjusts.as_slice()).collect::<Vec<_>>(), [[0], [0]]);
        assert_eq!(links.oddities, [Oddity::SeveralAdjustments { line: 0 }]);
        assert_eq!(breakdown(&order).verdict.as_str(), "balanced");
    }

    #[test]
    fn the_list_of_the_adjustment_wins_over_the_hint_of_a_line() {
        let items = [
            goods("a", 500, 1).adjusted_by("adj"),
            goods("b", 500, 1).adjusted_by("adj"),
            adjustment("adj", -1, &["b"]),
        ];
        let links = links(&order(999, items));
        assert_eq!(links.adjustments, [Adjustment { line: 2, adjusts: vec![1] }]);
        assert_eq!(links.oddities, [Oddity::BackLinkDisagrees { line: 0, adjustment: 2 }]);
    }

    #[test]
    fn the_hint_counts_where_the_adjustment_says_nothing() {
        let items = [goods("a", 500, 1).adjusted_by("adj"), adjustment("adj", -1, &[])];
        let links = links(&order(499, items));
        assert_eq!(links.adjustments, [Adjustment { line: 1, adjusts: vec![0] }]);
        assert_eq!(links.oddities, []);
    }

    #[test]
    fn a_hint_to_nowhere_is_reported() {
        let links = links(&order(500, [goods("a", 500, 1).adjusted_by("gone")]));
        assert_eq!(links.adjustments, []);
        assert_eq!(links.oddities, [Oddity::Dangling { line: 0, id: ItemId::new("gone") }]);
    }

    #[test]
    fn an_adjustment_that_also_covers_other_lines_leaves_the_group_undetermined() {
        let items = [
            replaced("a", 100, 1, &["b"]),
            substitute("b", 150, 1, &["a"]),
            goods("c", 500, 1),
            adjustment("adj", -50, &["b", "c"]),
        ];
        let order = order(600, items);
        let group = &links(&order).groups[0];
        assert!(group.has_shared_adjustment);
        assert_eq!(group.adjusted_by, None);
        assert_eq!(outcome(&order), GroupOutcome::Undetermined);
        assert_eq!(breakdown(&order).verdict.as_str(), "balanced");
    }
}

mod line_splits {
    use std::collections::BTreeMap;

    use super::*;

    fn supplied_by_name(order: &Order) -> BTreeMap<&str, i64> {
        let mut counts = BTreeMap::new();
        for item in order.items.iter().filter(|item| item.item_type == Some(ItemType::Product)) {
            *counts.entry(item.name.as_deref().unwrap()).or_default() +=
                item.quantity_fulfilled.unwrap().as_whole().unwrap();
        }
        counts
    }

    fn wraps(id: &str, units: i64) -> Item {
        Item { name: Some("Falafel wrap".into()), ..goods(id, 780, units) }
    }

    #[test]
    fn a_split_with_one_id_kept_and_one_with_both_ids_new_give_the_same_totals_and_counts() {
        let before = order(2340, [wraps("w-1", 3)]);
        let split = |first: &str, second: &str| {
            let refund = adjustment("w-adj", -390, &[second]);
            order(1950, [wraps(first, 2), wraps(second, 1).adjusted_by("w-adj"), refund])
        };

        for after in [split("w-1", "w-2"), split("w-8", "w-9")] {
            assert_eq!(supplied_by_name(&after), supplied_by_name(&before));
            let (old, new) = (breakdown(&before), breakdown(&after));
            assert_eq!((new.verdict.as_str(), old.verdict.as_str()), ("balanced", "balanced"));
            assert_eq!(new.total.unwrap() - old.total.unwrap(), -390);
            assert_eq!(new.items.unwrap().goods, old.items.unwrap().goods);
            assert_eq!(new.items.unwrap().adjustments, -390);
            assert_eq!(links(&after).adjustments, [Adjustment { line: 2, adjusts: vec![1] }]);
        }
    }
}

mod outcomes {
    use super::*;

    fn swap(total: i64, ordered: i64, supplied: i64) -> Order {
        order(total, [replaced("a", ordered, 1, &["b"]), substitute("b", supplied, 1, &["a"])])
    }

    #[test]
    fn a_dearer_substitute_is_paid_by_the_customer_or_by_the_platform() {
        assert_eq!(outcome(&swap(480, 350, 480)), GroupOutcome::CustomerPays);
        assert_eq!(outcome(&swap(350, 350, 480)), GroupOutcome::Goodwill);
        assert_eq!(outcome(&swap(400, 350, 480)), GroupOutcome::Goodwill);
    }

    #[test]
    fn an_insufficient_adjustment_leaves_the_rest_to_the_platform() {
        let items = [
            replaced("a", 350, 1, &["b"]),
            substitute("b", 480, 1, &["a"]).adjusted_by("adj"),
            adjustment("adj", -100, &["b"]),
        ];
        let order = order(350, items);
        assert_eq!(outcome(&order), GroupOutcome::Goodwill);
        assert_eq!(breakdown(&order).goodwill, 30);
    }

    #[test]
    fn a_cheaper_substitute_is_only_called_cheaper() {
        assert_eq!(outcome(&swap(300, 350, 300)), GroupOutcome::Cheaper);
        assert_eq!(outcome(&swap(350, 350, 300)), GroupOutcome::Cheaper);
    }

    #[test]
    fn the_same_price_needs_no_adjustment() {
        assert_eq!(outcome(&swap(350, 350, 350)), GroupOutcome::SamePrice);
    }

    #[test]
    fn without_values_or_with_a_total_above_expectation_nothing_is_claimed() {
        assert_eq!(outcome(&swap(500, 350, 480)), GroupOutcome::Undetermined);
        let mut unpriced = swap(480, 350, 480);
        unpriced.items[1].price = None;
        assert_eq!(outcome(&unpriced), GroupOutcome::Undetermined);
        assert_eq!(links(&swap(480, 350, 480)).groups[0].outcome(None), GroupOutcome::Undetermined);
    }

    #[test]
    fn the_status_of_the_order_does_not_matter() {
        let cancelled = Order { status: Status::Cancelled, ..swap(350, 350, 480) };
        assert_eq!(outcome(&cancelled), GroupOutcome::Goodwill);
    }
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_links_give_disjoint_groups_of_two_or_more_lines(
            lists in prop::collection::vec((prop::collection::vec(0..8_usize, 0..4), prop::collection::vec(0..8_usize, 0..4), prop::option::of(0..8_usize)), 0..8),
        ) {
            let id = |n: &usize| ItemId::new(format!("i-{n}"));
            let items = lists.iter().enumerate().map(|(n, (by, instead, hint))| Item {
                substituted_by: by.iter().map(id).collect(),
                substituted_for: instead.iter().map(id).collect(),
                items_adjusted: if n % 3 == 0 { instead.iter().map(id).collect() } else { vec![] },
                related_price_adjustment: hint.as_ref().map(id),
                ..goods(&format!("i-{n}"), 100, 1)
            });
            let order = order(0, items);

            let mut seen = HashSet::new();
            for group in links(&order).groups {
                let members: HashSet<_> = group.members().collect();
                prop_assert!(members.len() >= 2);
                prop_assert!(members.iter().all(|line| seen.insert(*line)), "a line is in two groups");
                prop_assert!(group.originals.is_sorted() && group.replacements.is_sorted());
            }
            for (line, (by, _, _)) in lists.iter().enumerate() {
                let has_target = by.iter().any(|n| *n < lists.len() && *n != line);
                prop_assert!(!has_target || seen.contains(&line));
            }
        }
    }
}
