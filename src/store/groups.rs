//! Searches and listings whose hits are grouped: the best hits of each of the best groups.
//!
//! Groups are found in rounds. A round asks for the best rows outside of the groups found so far. Since rows come best
//! first, the groups that it meets are the next best ones. Whatever a group may lack then is asked for by a search of
//! that group alone. So everything goes through ordinary searches, with their indexes, graphs and promises.
//!
//! Invariants:
//! * A round that finds a row finds a group, but for rows whose values cannot be read: after a round of such rows alone
//!   the next one asks for more. So rounds end with all groups wanted, or with no row left.
//! * A group has fewer hits than were asked for only if no more match. A group that the offset skips is not completed.
//! * Memory is that of groups x hits, beside the answers of single searches, which are no longer than that or
//!   [`ROUND_ROWS_MAX`], or than four times the rows that cannot be read.

use std::collections::HashMap;

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::fields::order::push_value;
use crate::fields::{FieldPath, GroupBy};
use crate::filter::{Filter, Literal, PreparedFilter};
use crate::ids::{PartIndex, RowId};
use crate::json::{Number, Raw};
use crate::record::Lsn;
use crate::search::listing::ListKind;
use crate::search::part::PartColumns;
use crate::shard::PartRef;
use crate::store::fan_out::scored;
use crate::store::newest::list_rows;
use crate::store::query::{HitGroup, Query, SearchResult};
use crate::store::read::{ReadContext, with_part};

use crate::topk::{RowAddress, ordered_bits};
use crate::types::{Hit, Interval, Namespace, Scope};

/// Rows of a round are twice the hits that are wanted, but at least and at most so many, and twice the groups.
const ROUND_ROWS_MIN: usize = 64;
const ROUND_ROWS_MAX: usize = 1_024;

/// Fails if the query has groups and something that does not go with them.
pub(super) fn check_group(query: &Query) -> Result<()> {
    let Some((_, hits)) = query.group else { return Ok(()) };
    if hits == 0 {
        return Err(Error::invalid("a group of 0 hits is none; ask for at least 1"));
    }
    if query.include_unscored {
        return Err(Error::invalid("groups hold scored items only; leave out include_unscored"));
    }
    if query.order.is_some() {
        return Err(Error::invalid("groups are in the order of their best items; leave out order_by"));
    }
    Ok(())
}

/// A row that a search found, and how good it is.
#[derive(Clone, Copy)]
struct RankedRow<'a> {
    score: Option<f32>,
    /// Of a listing; in a search all are 0.
    updated_at: i64,
    lsn: Lsn,
    part: PartRef<'a>,
    row: RowId,
}

impl RankedRow<'_> {
    /// Larger is better.
    fn rank(&self) -> (u32, i64, Lsn) {
        (self.score.map_or(0, ordered_bits), self.updated_at, self.lsn)
    }
}

/// What the items of one group have in common.
struct GroupKey {
    /// Equal for equal groups only.
    bytes: Vec<u8>,
    /// The value of the field; null for a namespace.
    literal: Literal,
    json: Box<str>,
}

/// A group and the best of its rows so far, best first.
struct FoundGroup<'a> {
    key: GroupKey,
    rows: Vec<RankedRow<'a>>,
    /// Whether every row that matches was met.
    is_complete: bool,
}

/// A grouped search under way.
struct GroupedSearch<'q, 'a> {
    reader: &'q ReadContext<'a>,
    query: &'q Query,
    by: &'q GroupBy,
    /// Hits of one group.
    hits: usize,
    groups: Vec<FoundGroup<'a>>,
    answer: SearchResult,
}

/// The best `hits` rows of each of the best groups of the query.
pub(super) fn search_groups(
    reader: &ReadContext<'_>,
    query: &Query,
    by: &GroupBy,
    hits: usize,
) -> Result<SearchResult> {
    let mut search = GroupedSearch { reader, query, by, hits, groups: Vec::new(), answer: SearchResult::default() };
    let wanted = query.limit.saturating_add(query.offset);
    search.find_groups(wanted)?;
    // Whatever completes a group finds no better row for it than the round did, which gave the best rows first. So a
    // group that is skipped needs no completion.
    search.sort_groups();
    search.groups.drain(..query.offset.min(search.groups.len()));
    search.complete_groups()?;
    // A search of graphs may have missed the best row of a group at first.
    search.sort_groups();
    search.read_items()
}

impl<'a> GroupedSearch<'_, 'a> {
    /// Finds the best `wanted` groups.
    fn find_groups(&mut self, wanted: usize) -> Result<()> {
        let rows = wanted.saturating_mul(self.hits).saturating_mul(2).clamp(ROUND_ROWS_MIN, ROUND_ROWS_MAX);
        let usual = rows.max(wanted.saturating_mul(2));
        let mut rows = usual;
        while self.groups.len() < wanted {
            let found_before = self.groups.len();
            let (filter, intervals) = self.outside()?;
            let found = self.best(self.query, filter.as_deref(), &intervals, rows)?;
            let is_all = found.len() < rows;
            // The groups of earlier rounds are left out of this one.
            let mut numbers: HashMap<Vec<u8>, usize> = HashMap::new();
            for row in found {
                let Some(key) = self.key(&row)? else { continue };
                match numbers.get(&key.bytes) {
                    Some(&number) if self.groups[number].rows.len() < self.hits => self.groups[number].rows.push(row),
                    None if self.groups.len() < wanted => {
                        numbers.insert(key.bytes.clone(), self.groups.len());
                        self.groups.push(FoundGroup { key, rows: vec![row], is_complete: is_all });
                    }
                    _ => {}
                }
            }
            if is_all {
                return Ok(());
            }
            // No filter leaves rows out whose values cannot be read.
            rows = if self.groups.len() == found_before { rows.saturating_mul(4) } else { usual };
        }
        Ok(())
    }

    /// Sorts the groups by their best rows.
    fn sort_groups(&mut self) {
        self.groups.sort_by_key(|group| std::cmp::Reverse(group.rows.first().map(RankedRow::rank)));
    }

    /// Asks for the rows that groups may lack.
    fn complete_groups(&mut self) -> Result<()> {
        let (mut groups, hits) = (std::mem::take(&mut self.groups), self.hits);
        for group in groups.iter_mut().filter(|group| !group.is_complete && group.rows.len() < hits) {
            let scope = match self.by {
                GroupBy::Field(_) => self.query.scope.clone(),
                GroupBy::Namespace => Scope::Namespace(Namespace::from_encoded(&group.key.bytes)),
            };
            let query = Query { scope, group: None, ..self.query.clone() };
            let test = match self.by {
                GroupBy::Field(path) => Some(Filter::eq(path.as_str(), group.key.literal.clone())),
                GroupBy::Namespace => None,
            };
            let (filter, interval) = (self.filter(test)?, query.scope.interval());
            let found = self.best(&query, filter.as_deref(), &[interval], hits)?;
            let known: Vec<Lsn> = group.rows.iter().map(|row| row.lsn).collect();
            group.rows.extend(found.into_iter().filter(|row| !known.contains(&row.lsn)));
            group.rows.sort_by_key(|row| std::cmp::Reverse(row.rank()));
            group.rows.truncate(hits);
        }
        self.groups = groups;
        Ok(())
    }

    /// Filter and intervals of the rows that are in a group, and in none of those found.
    fn outside(&self) -> Result<(Option<Arc<PreparedFilter>>, Vec<Interval>)> {
        let interval = self.query.scope.interval();
        match self.by {
            GroupBy::Field(path) => {
                let found = self.groups.iter().map(|group| group.key.literal.clone());
                Ok((self.filter(Some(in_no_group_of(path, found)))?, vec![interval]))
            }
            GroupBy::Namespace => {
                let mut found: Vec<&[u8]> = self.groups.iter().map(|group| group.key.bytes.as_slice()).collect();
                found.sort_unstable();
                Ok((self.filter(None)?, gaps(interval, &found)))
            }
        }
    }

    /// The filter of the query, and another one.
    fn filter(&self, other: Option<Filter>) -> Result<Option<Arc<PreparedFilter>>> {
        let Some(other) = other else { return self.reader.prepared(self.query.filter.as_ref()) };
        // It comes once, and is not kept.
        let both = self.query.filter.iter().fold(other, |other, filter| filter.clone().and(other));
        both.prepare().map(|prepared| Some(Arc::new(prepared)))
    }

    /// The best `wanted` rows of the intervals, best first.
    fn best(
        &mut self,
        query: &Query,
        filter: Option<&PreparedFilter>,
        intervals: &[Interval],
        wanted: usize,
    ) -> Result<Vec<RankedRow<'a>>> {
        let mut portions = Vec::new();
        for interval in intervals {
            portions.extend(self.reader.portions(interval, &mut self.answer.incomplete)?);
        }
        let part = |place: RowAddress| portions[place.part.index()].part;
        if query.vector.is_some() {
            let scored = scored(self.reader, query, filter, &portions, wanted, &mut self.answer)?.into_sorted();
            let found = scored.into_iter().map(|scored| {
                let (place, lsn) = (scored.place, scored.lsn);
                RankedRow { score: Some(scored.score), updated_at: 0, lsn, part: part(place), row: place.row }
            });
            return Ok(found.collect());
        }
        let incomplete = &mut self.answer.incomplete;
        let newest = list_rows(self.reader, filter, &portions, ListKind::All, wanted, incomplete)?.into_sorted();
        let found = newest.into_iter().map(|listed| {
            let (place, lsn) = (listed.place, listed.lsn);
            RankedRow { score: None, updated_at: listed.updated_at, lsn, part: part(place), row: place.row }
        });
        Ok(found.collect())
    }

    /// The group of a row; `None` if it is in none, or if damage hides it.
    fn key(&mut self, found: &RankedRow<'a>) -> Result<Option<GroupKey>> {
        let key = with_part!(found.part, part => match self.by {
            GroupBy::Field(path) => part.value(found.row).and_then(|value| Ok(key_of(path.find(&value.bytes()?)))),
            GroupBy::Namespace => part.address(found.row).map(|address| {
                let namespace = Namespace::from_encoded(address.namespace);
                let json = serde_json::to_string(&namespace).unwrap_or_default().into();
                Some(GroupKey { bytes: address.namespace.to_vec(), literal: Literal::Null, json })
            }),
        });
        Ok(self.reader.tolerate(key, &mut self.answer.incomplete)?.flatten())
    }

    /// Reads the items of the groups.
    fn read_items(mut self) -> Result<SearchResult> {
        let mut places = Vec::new();
        let (mut parts, mut owners) = (Vec::new(), Vec::new());
        for group in self.groups {
            for row in &group.rows {
                let part = PartIndex::from_index(parts.len());
                parts.push(row.part);
                places.push(((row.score, self.answer.groups.len()), RowAddress { part, row: row.row }));
            }
            self.answer.groups.push(HitGroup { value: group.key.json, hits: 0 });
        }
        let (reader, answer) = (self.reader, &mut self.answer);
        let namespace = self.query.scope.namespace();
        reader.items(
            |number| parts[number.index()],
            &places,
            namespace,
            |(score, group), item| {
                if let Some(item) = reader.tolerate(item, &mut answer.incomplete)? {
                    owners.push(group);
                    answer.hits.push(Hit { score, item });
                }
                Ok(())
            },
        )?;
        owners.into_iter().for_each(|group: usize| answer.groups[group].hits += 1);
        answer.groups.retain(|group| group.hits > 0);
        self.answer.incomplete |= reader.take_skipped();
        Ok(self.answer)
    }
}

/// A filter for the items that are in a group by `path`, and in none of the groups of these values.
fn in_no_group_of(path: &FieldPath, values: impl Iterator<Item = Literal>) -> Filter {
    let is_array = Filter::size(path.as_str(), 0..=u64::MAX);
    let is_object = Filter::inside(path.as_str(), Filter::everything());
    Filter::nin(path.as_str(), values).and(is_array.or(is_object).not())
}

/// The group of a value; `None` if it makes none.
fn key_of(value: Option<Raw<'_>>) -> Option<GroupKey> {
    let value = value.unwrap_or(Raw::Null);
    let (literal, json) = match value {
        Raw::Null => (Literal::Null, "null".into()),
        Raw::Bool(bool) => (Literal::Bool(bool), bool.to_string().into()),
        Raw::Number(token) => {
            let literal = match value.number()? {
                Number::Integer(integer) => Literal::Integer(integer),
                Number::Float(float) => Literal::Float(float),
            };
            (literal, std::str::from_utf8(token).ok()?.into())
        }
        Raw::Text(text) => {
            let text = text.decode()?.into_owned();
            let json = serde_json::to_string(&text).ok()?.into();
            (Literal::String(text), json)
        }
        Raw::Array(_) | Raw::Object(_) => return None,
    };
    let mut bytes = Vec::new();
    push_value(&mut bytes, value)?;
    Some(GroupKey { bytes, literal, json })
}

/// What is left of an interval without these namespaces, which are in order.
fn gaps(interval: Interval, without: &[&[u8]]) -> Vec<Interval> {
    let (mut low, mut gaps) = (interval.low, Vec::new());
    for namespace in without {
        let taken = Interval::of_namespace(namespace);
        if low < taken.low {
            gaps.push(Interval { low, high: taken.low });
        }
        low = taken.high;
    }
    if low < interval.high {
        gaps.push(Interval { low, high: interval.high });
    }
    gaps
}
