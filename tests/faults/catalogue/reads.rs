//! Faults of reads: expiry, order, filters, pages.

use super::Fault;

pub const FAULTS: &[Fault] = &[
    Fault {
        name: "expired_items_shown_from_memory",
        breaks: "An expired item in a memtable is returned.",
        file: "search/memtable_columns.rs",
        find: "row.is_visible(read_lsn) && now < row.expires_at()",
        replacement: "row.is_visible(read_lsn) && (now < row.expires_at() || FAULT)",
        test: (
            "expiry",
            "expired_items_are_gone_and_touches_keep_them::an_expired_item_is_gone_at_once_from_parts_of_every_kind",
        ),
    },
    Fault {
        name: "expired_items_shown_from_segments",
        breaks: "An expired item in a segment is returned.",
        file: "search/part.rs",
        find: "!self.tombstones.is_deleted_at(row, read_lsn) && now < expires_at",
        replacement: "!self.tombstones.is_deleted_at(row, read_lsn) && (now < expires_at || FAULT)",
        test: (
            "expiry",
            "expired_items_are_gone_and_touches_keep_them::an_expired_item_is_gone_at_once_from_parts_of_every_kind",
        ),
    },
    Fault {
        name: "one_short_with_unscored_items",
        breaks: "A search that is filled up with unscored items returns one item less.",
        file: "store/search.rs",
        find: "let left = wanted - places.len();",
        replacement: "let left = wanted - places.len() - usize::from(FAULT && !places.is_empty());",
        test: ("search", "a_search_is_as_long_and_ordered_as_it_says::items_without_a_vector_fill_the_answer_up"),
    },
    Fault {
        name: "page_begins_with_the_last_item_of_the_page_before",
        breaks: "A page of an ordered listing returns the item of its cursor again.",
        file: "search/ordered.rs",
        find: "self.compare(value, &after.value).then_with(|| address.cmp(&after.address())).is_gt()",
        replacement: "self.compare(value, &after.value).then_with(|| address.cmp(&after.address())).is_gt() || FAULT",
        test: ("reads", "a_listing_goes_in_the_order_of_a_field::on_tiny_parts"),
    },
    Fault {
        name: "groups_are_not_completed",
        breaks: "A group lacks hits that lie behind the rows of its round.",
        file: "store/groups.rs",
        find: "!group.is_complete && group.rows.len() < hits",
        replacement: "!group.is_complete && group.rows.len() < hits && !FAULT",
        test: ("search", "groups_equal_a_grouped_exact_scan::of_random_values_in_parts_with_field_indexes"),
    },
    Fault {
        name: "ties_in_the_wrong_order",
        breaks: "Of equal scores the older item comes first.",
        file: "topk.rs",
        find: "self.score.total_cmp(&other.score).then(self.lsn.cmp(&other.lsn))",
        replacement: "self.score.total_cmp(&other.score).then(if FAULT { other.lsn.cmp(&self.lsn) } else { self.lsn.cmp(&other.lsn) })",
        test: ("search", "a_search_is_as_long_and_ordered_as_it_says::of_equal_scores_the_newer_item_comes_first"),
    },
    Fault {
        name: "missing_field_is_not_unequal",
        breaks: r#"The filter "not equal" leaves out items without the field."#,
        file: "filter/evaluate.rs",
        find: "self.reports.add(*above, test.holds_for_missing())",
        replacement: "self.reports.add(*above, test.holds_for_missing() || (FAULT && above.negated))",
        test: (
            "search",
            "a_search_is_as_long_and_ordered_as_it_says::a_missing_field_is_unequal_to_everything_but_null",
        ),
    },
    Fault {
        name: "no_alternative_matches_all",
        breaks: "A filter of no alternatives matches every item.",
        file: "filter/program.rs",
        find: "[] => self.constants.push((above, !decisive)),",
        replacement: "[] => self.constants.push((above, !decisive || FAULT)),",
        test: (
            "search",
            "a_search_is_as_long_and_ordered_as_it_says::a_missing_field_is_unequal_to_everything_but_null",
        ),
    },
    Fault {
        name: "never_is_later_than_any_instant",
        breaks: "An item that never expires is in a range of times of expiry.",
        file: "filter/item.rs",
        find: "item.expires_at != NEVER && compare(range, item.expires_at, bound)",
        replacement: "(item.expires_at != NEVER || FAULT) && compare(range, item.expires_at, bound)",
        test: (
            "search",
            "conditions_on_items_are_leaves_of_filters::every_read_gives_the_items_that_the_conditions_name",
        ),
    },
    Fault {
        name: "conditions_see_the_expiry_before_a_touch",
        breaks: "A condition on the time of expiry sees the one that the item was put with.",
        file: "search/part.rs",
        find: "facts.expires_at = self.tombstones.expires_at(row, stored);",
        replacement: "facts.expires_at = if FAULT { stored } else { self.tombstones.expires_at(row, stored) };",
        test: (
            "search",
            "conditions_on_items_are_leaves_of_filters::every_read_gives_the_items_that_the_conditions_name",
        ),
    },
    Fault {
        name: "conditions_on_items_read_values",
        breaks: "A filter that the key decides reads the value nevertheless.",
        file: "search/conditions.rs",
        find: "let Some(wanted) = filter.decided_by_item(&item)",
        replacement: "let Some(wanted) = filter.decided_by_item(&item).filter(|_| !FAULT)",
        test: ("search", "conditions_on_items_are_leaves_of_filters::conditions_that_decide_read_no_value"),
    },
    Fault {
        name: "cursor_skips_a_row",
        breaks: "A page of key order leaves out its first row if another page follows.",
        file: "store/iterate.rs",
        find: r"    found.truncate(limit);
    let next",
        replacement: r"    if FAULT && more {
        found.remove(0);
    }
    found.truncate(limit);
    let next",
        test: ("reads", "an_iteration_is_stable_under_writes::a_scan_is_stable_under_writes"),
    },
    Fault {
        name: "queries_outside_of_a_filter_walk_on",
        breaks: "A query among rows that its filter excludes is not searched among those that pass.",
        file: "search/graph_plan.rs",
        find: "plan.outside.filter(|_| !progress.is_outside",
        replacement: "plan.outside.filter(|_| !FAULT && !progress.is_outside",
        test: ("lib", "search::graph_plan::tests::a_query_outside_of_the_admitted_nodes_is_searched_among_them_once"),
    },
];
