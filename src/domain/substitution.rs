//! Which lines of an order stand in for which, and what that did to the price.
//!
//! A *substitution group* is a connected component over the links of both directions. Inside a group the platform
//! gives no pairing of units, so none is invented: values are those of the whole group. What was delivered is decided
//! by the fulfilled quantities, never by the links, so [`super::money`] needs groups only to tell goodwill from an
//! unexplained gap.
//!
//! Links may be one-sided, dangling, circular or doubled: that is reported as [`Oddity`], never an error.
//!
//! Source: Scoffable developer documentation 1.0.0, "Understanding Orders", "OrderItemSubstitutionDetails".

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use super::{
    money::{Money, MoneyError},
    order::{Item, ItemId, ItemType, Order, Quantity},
};

/// Indices of lines are positions in [`Order::items`].
pub type LineIndex = usize;

/// Everything the links of an order say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Links {
    /// By the first line of each group.
    pub groups: Vec<Group>,
    /// Every adjustment line with the lines it is about; none for an adjustment of the whole order.
    pub adjustments: Vec<Adjustment>,
    pub oddities: Vec<Oddity>,
}

/// Lines that were replaced and the lines that replace them. Line lists are ascending.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    /// Lines with a replacement. A replacement that was replaced itself stands in both lists.
    pub originals: Vec<LineIndex>,
    pub replacements: Vec<LineIndex>,
    /// Adjustments about lines of this group only.
    pub adjustments: Vec<LineIndex>,
    /// An adjustment is about lines in and outside this group; how it divides is not given.
    pub has_shared_adjustment: bool,
    /// Unit prices times ordered quantities; `None` where a price or a quantity is missing.
    pub ordered_value: Option<Money>,
    /// Unit prices times fulfilled quantities, without adjustments.
    pub supplied_value: Option<Money>,
    /// `None` with a shared adjustment, and where there is no adjustment.
    pub adjusted_by: Option<Money>,
}

/// One adjustment line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Adjustment {
    pub line: LineIndex,
    pub adjusts: Vec<LineIndex>,
}

/// How the price of a group came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupOutcome {
    /// The substitutes cost as much as what was ordered.
    SamePrice,
    /// An adjustment brings the group back to the value ordered.
    PriceMatched,
    /// Dearer, and the total rose with it.
    CustomerPays,
    /// Dearer, and the total did not rise (enough).
    Goodwill,
    /// Cheaper than ordered, adjustments included. What then happens is not documented.
    Cheaper,
    Undetermined,
}

/// Something about a link that does not fit. Names lines by position and ids nobody owns by their text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "code")]
pub enum Oddity {
    /// Two lines have one id; links to it mean the first.
    DuplicateId { line: LineIndex },
    /// A line without an id has links.
    LinksWithoutId { line: LineIndex },
    /// A link to an id no line has.
    Dangling { line: LineIndex, id: ItemId },
    /// A line that replaces or adjusts itself.
    SelfLink { line: LineIndex },
    /// The same id twice in one list.
    RepeatedLink { line: LineIndex, id: ItemId },
    /// The other line does not link back.
    OneSided { line: LineIndex, other: LineIndex },
    /// A line names an adjustment that says it is about other lines; the adjustment is believed.
    BackLinkDisagrees { line: LineIndex, adjustment: LineIndex },
    /// Several adjustments name this line.
    SeveralAdjustments { line: LineIndex },
}

impl Group {
    /// `delta` is the order's expected minus actual total, see [`super::money::Breakdown::delta`].
    pub fn outcome(&self, delta: Option<i64>) -> GroupOutcome {
        let (Some(ordered), Some(supplied)) = (self.ordered_value, self.supplied_value) else {
            return GroupOutcome::Undetermined;
        };
        if self.has_shared_adjustment {
            return GroupOutcome::Undetermined;
        }
        let net = match self.adjusted_by {
            Some(adjustment) => supplied.checked_add(adjustment),
            None => Ok(supplied),
        };
        let Ok(Money { amount: rise, .. }) = net.and_then(|net| net.checked_sub(ordered)) else {
            return GroupOutcome::Undetermined;
        };
        match (rise, delta) {
            (0, _) if self.adjusted_by.is_some_and(|by| by.amount != 0) => GroupOutcome::PriceMatched,
            (0, _) => GroupOutcome::SamePrice,
            (..0, _) => GroupOutcome::Cheaper,
            (1.., Some(0)) => GroupOutcome::CustomerPays,
            (1.., Some(1..)) => GroupOutcome::Goodwill,
            (1.., Some(..0) | None) => GroupOutcome::Undetermined,
        }
    }

    fn members(&self) -> impl Iterator<Item = LineIndex> {
        let only_replaces = self.replacements.iter().filter(|line| !self.originals.contains(line));
        self.originals.iter().chain(only_replaces).copied()
    }
}

/// Reads the links of both kinds.
pub fn links(order: &Order) -> Links {
    let items = &order.items;
    let mut oddities = Vec::new();
    let ids = index_of_ids(items, &mut oddities);
    let adjustments = adjustments(items, &ids, &mut oddities);
    let edges = edges(items, &ids, &mut oddities);
    let mut groups = components(items.len(), &edges);
    for group in &mut groups {
        value(group, items, &adjustments);
    }
    Links { groups, adjustments, oddities }
}

/// Something was supplied in place of something else.
pub(super) struct SuppliedSubstitutes {
    /// What the substitutes cost in addition to what they replace, adjustments included; `None` if that cannot be told.
    pub rise: Option<Money>,
}

/// `None` when nothing was supplied in place of something else.
pub(super) fn supplied_substitutes(order: &Order) -> Option<SuppliedSubstitutes> {
    if !order.items.iter().any(Item::has_substitution_links) {
        return None;
    }
    let is_supplied = |line: &LineIndex| order.items[*line].quantity_fulfilled.is_some_and(Quantity::is_positive);
    let links = links(order);
    let supplied = links.groups.iter().filter(|group| group.replacements.iter().any(is_supplied));
    let rises = supplied.map(|group| {
        let rise = group.supplied_value?.checked_sub(group.ordered_value?).ok()?;
        group.adjusted_by.map_or(Some(rise), |by| rise.checked_add(by).ok())
    });
    let rise = rises.reduce(|sum, rise| sum?.checked_add(rise?).ok())?;
    Some(SuppliedSubstitutes { rise })
}

fn index_of_ids<'a>(items: &'a [Item], oddities: &mut Vec<Oddity>) -> HashMap<&'a ItemId, LineIndex> {
    let mut ids = HashMap::with_capacity(items.len());
    for (line, item) in items.iter().enumerate() {
        match &item.id {
            Some(id) if ids.contains_key(id) => oddities.push(Oddity::DuplicateId { line }),
            Some(id) => {
                ids.insert(id, line);
            }
            None if item.has_substitution_links() || !item.items_adjusted.is_empty() => {
                oddities.push(Oddity::LinksWithoutId { line });
            }
            None => {}
        }
    }
    ids
}

/// The lines a list of ids means: each once, without `line` itself and without ids nobody has.
fn resolve(
    line: LineIndex,
    list: &[ItemId],
    ids: &HashMap<&ItemId, LineIndex>,
    oddities: &mut Vec<Oddity>,
) -> Vec<LineIndex> {
    let mut seen = HashSet::new();
    let mut targets = Vec::with_capacity(list.len());
    for id in list {
        if !seen.insert(id) {
            oddities.push(Oddity::RepeatedLink { line, id: id.clone() });
            continue;
        }
        match ids.get(id) {
            Some(&target) if target == line => oddities.push(Oddity::SelfLink { line }),
            Some(&target) => targets.push(target),
            None => oddities.push(Oddity::Dangling { line, id: id.clone() }),
        }
    }
    targets
}

/// (replaced, replacing) pairs, each once.
fn edges(items: &[Item], ids: &HashMap<&ItemId, LineIndex>, oddities: &mut Vec<Oddity>) -> Vec<(LineIndex, LineIndex)> {
    let mut forth = HashSet::new();
    let mut back = HashSet::new();
    for (line, item) in items.iter().enumerate() {
        forth.extend(resolve(line, &item.substituted_by, ids, oddities).into_iter().map(|by| (line, by)));
        back.extend(resolve(line, &item.substituted_for, ids, oddities).into_iter().map(|original| (original, line)));
    }
    let mut edges: Vec<_> = forth.union(&back).copied().collect();
    edges.sort_unstable();
    for &(original, replacement) in &edges {
        match (forth.contains(&(original, replacement)), back.contains(&(original, replacement))) {
            (true, false) => oddities.push(Oddity::OneSided { line: original, other: replacement }),
            (false, true) => oddities.push(Oddity::OneSided { line: replacement, other: original }),
            (true, true) | (false, false) => {}
        }
    }
    edges
}

/// Connected components with at least one edge, ordered by their first line.
fn components(n_lines: usize, edges: &[(LineIndex, LineIndex)]) -> Vec<Group> {
    fn root(parents: &mut [LineIndex], mut line: LineIndex) -> LineIndex {
        while parents[line] != line {
            parents[line] = parents[parents[line]];
            line = parents[line];
        }
        line
    }

    let mut parents: Vec<LineIndex> = (0..n_lines).collect();
    for &(original, replacement) in edges {
        let (a, b) = (root(&mut parents, original), root(&mut parents, replacement));
        // The lower line becomes the root, so that a root is the first line of its group.
        parents[a.max(b)] = a.min(b);
    }

    let mut group_of_root = HashMap::new();
    let mut groups: Vec<Group> = Vec::new();
    let mut roots: Vec<LineIndex> = edges.iter().map(|&(original, _)| root(&mut parents, original)).collect();
    roots.sort_unstable();
    roots.dedup();
    for first in roots {
        group_of_root.insert(first, groups.len());
        groups.push(Group {
            originals: Vec::new(),
            replacements: Vec::new(),
            adjustments: Vec::new(),
            has_shared_adjustment: false,
            ordered_value: None,
            supplied_value: None,
            adjusted_by: None,
        });
    }
    for &(original, replacement) in edges {
        let group = &mut groups[group_of_root[&root(&mut parents, original)]];
        group.originals.push(original);
        group.replacements.push(replacement);
    }
    for group in &mut groups {
        for list in [&mut group.originals, &mut group.replacements] {
            list.sort_unstable();
            list.dedup();
        }
    }
    groups
}

/// Adjustment lines and what they are about: by their own list, or where that is empty by the lines naming them.
fn adjustments(items: &[Item], ids: &HashMap<&ItemId, LineIndex>, oddities: &mut Vec<Oddity>) -> Vec<Adjustment> {
    let mut adjustments: Vec<Adjustment> = Vec::new();
    for (line, item) in items.iter().enumerate() {
        if item.item_type == Some(ItemType::Adjustment) || !item.items_adjusted.is_empty() {
            let adjusts = resolve(line, &item.items_adjusted, ids, oddities);
            adjustments.push(Adjustment { line, adjusts });
        }
    }

    for (line, item) in items.iter().enumerate() {
        let Some(id) = &item.related_price_adjustment else { continue };
        let Some(&named) = ids.get(id) else {
            oddities.push(Oddity::Dangling { line, id: id.clone() });
            continue;
        };
        if named == line {
            oddities.push(Oddity::SelfLink { line });
            continue;
        }
        let says_itself = !items[named].items_adjusted.is_empty();
        match adjustments.iter_mut().find(|adjustment| adjustment.line == named) {
            Some(adjustment) if adjustment.adjusts.contains(&line) => {}
            Some(_) if says_itself => oddities.push(Oddity::BackLinkDisagrees { line, adjustment: named }),
            Some(adjustment) => adjustment.adjusts.push(line),
            None => adjustments.push(Adjustment { line: named, adjusts: vec![line] }),
        }
    }

    let mut times_named: HashMap<LineIndex, u32> = HashMap::new();
    for adjustment in &mut adjustments {
        adjustment.adjusts.sort_unstable();
        for &line in &adjustment.adjusts {
            *times_named.entry(line).or_default() += 1;
        }
    }
    let mut several: Vec<_> = times_named.into_iter().filter(|&(_, n)| n > 1).map(|(line, _)| line).collect();
    several.sort_unstable();
    oddities.extend(several.into_iter().map(|line| Oddity::SeveralAdjustments { line }));
    adjustments
}

fn value(group: &mut Group, items: &[Item], adjustments: &[Adjustment]) {
    let members: HashSet<LineIndex> = group.members().collect();
    let mut own = Vec::new();
    for adjustment in adjustments.iter().filter(|a| a.adjusts.iter().any(|line| members.contains(line))) {
        if adjustment.adjusts.iter().all(|line| members.contains(line)) {
            own.push(adjustment.line);
        } else {
            group.has_shared_adjustment = true;
        }
    }

    let ordered = group.members().map(|line| worth(&items[line], items[line].quantity_ordered));
    group.ordered_value = sum(ordered);
    let supplied = group.members().map(|line| worth(&items[line], items[line].quantity_fulfilled));
    group.supplied_value = sum(supplied);
    if !group.has_shared_adjustment {
        let once = Quantity::whole(1);
        group.adjusted_by =
            sum(own.iter().map(|&line| worth(&items[line], items[line].quantity_fulfilled.or(Some(once)))));
    }
    group.adjustments = own;
}

fn worth(item: &Item, quantity: Option<Quantity>) -> Option<Result<Money, MoneyError>> {
    let quantity = quantity?;
    Some(item.unit_price()?.and_then(|unit| unit.checked_times(quantity)))
}

/// `None` for no values, an unknown value, several currencies or an overflow.
fn sum(values: impl Iterator<Item = Option<Result<Money, MoneyError>>>) -> Option<Money> {
    let mut total: Option<Money> = None;
    for value in values {
        let value = value?.ok()?;
        total = Some(match total {
            Some(total) => total.checked_add(value).ok()?,
            None => value,
        });
    }
    total
}

#[cfg(test)]
mod tests;
