//! Faults of the live check: which queries are kept, how they are measured, and what follows.

use super::Fault;

pub const FAULTS: &[Fault] = &[
    Fault {
        name: "repeated_queries_count",
        breaks: "A query that is asked again and again counts each time.",
        file: "segment/derived/live_recall.rs",
        find: "all.any(|query| query.vector() == vector)",
        replacement: "!FAULT && all.any(|query| query.vector() == vector)",
        test: (
            "graphs",
            "a_graph_that_falls_short_is_fitted_to_its_queries::a_query_that_is_asked_again_and_again_counts_once",
        ),
    },
    Fault {
        name: "queries_beyond_the_room",
        breaks: "The graphs of a store keep more queries than it has room for.",
        file: "graph/kept_query.rs",
        find: ".filter(|&with| with <= QUERY_BYTES_MAX)",
        replacement: ".filter(|&with| FAULT || with <= QUERY_BYTES_MAX)",
        test: ("lib", "graph::kept_query::tests::the_room_is_bounded_and_counts_what_is_held"),
    },
    Fault {
        name: "fit_without_a_cap",
        breaks: "Few queries that find too little make all walks as long as the fit asks for.",
        file: "graph/asked.rs",
        find: "(*ef).max((*fitted).min(ef.saturating_mul(RAISED_MOST)))",
        replacement: "(*ef).max((*fitted).min(ef.saturating_mul(if FAULT { 50 } else { RAISED_MOST })))",
        test: (
            "graphs",
            "a_graph_that_falls_short_is_fitted_to_its_queries::a_fit_at_most_doubles_a_walk_and_is_undone_where_queries_find_more",
        ),
    },
    Fault {
        name: "fit_for_ever",
        breaks: "A graph whose later queries find more than they ask for keeps the ef of a fit.",
        file: "segment/derived/live_recall.rs",
        find: "} else if level > 0 && measured.finds_more() {",
        replacement: "} else if level > 0 && !FAULT && measured.finds_more() {",
        test: (
            "graphs",
            "a_graph_that_falls_short_is_fitted_to_its_queries::a_fit_at_most_doubles_a_walk_and_is_undone_where_queries_find_more",
        ),
    },
    Fault {
        name: "all_queries_scanned",
        breaks: "Queries like the data that still find too little turn a graph off.",
        file: "segment/derived/live_recall.rs",
        find: "let gives_up = class > 0 &&",
        replacement: "let gives_up = (FAULT || class > 0) &&",
        test: ("lib", "segment::derived::live_recall::tests::a_class_gets_a_few_tables_and_then_no_more"),
    },
    Fault {
        name: "queries_of_an_older_fit_count",
        breaks: "Queries that were walked by the ef before a fit are measured against the ef after it.",
        file: "segment/derived/live_recall.rs",
        find: "found.filter(|_| walk.table == number &&",
        replacement: "found.filter(|_| (FAULT || walk.table == number) &&",
        test: (
            "lib",
            "segment::derived::live_recall::tests::a_query_is_not_measured_against_another_table_than_the_one_it_was_walked_by",
        ),
    },
    Fault {
        name: "deleted_rows_should_be_found",
        breaks: "A walk is measured by rows that were deleted.",
        file: "worker/live_check.rs",
        find: "!part.tombstones.is_deleted_at(row, Lsn::LAST)",
        replacement: "FAULT || !part.tombstones.is_deleted_at(row, Lsn::LAST)",
        test: (
            "graphs",
            "a_graph_that_falls_short_is_fitted_to_its_queries::deleted_rows_are_no_results_that_a_walk_should_have_found",
        ),
    },
    Fault {
        name: "nodes_measured_as_rows",
        breaks: "Queries are measured where a row has several vectors, each of them as a result.",
        file: "search/searched_graph.rs",
        find: "&& *table == job.table && one_each()",
        replacement: "&& *table == job.table && (FAULT || one_each())",
        test: ("graphs", "few_queries_are_kept_and_only_where_they_may_be::and_none_where_rows_have_several_vectors"),
    },
    Fault {
        name: "queries_outlive_a_purge",
        breaks: "Queries of a scope stay in memory after its purge.",
        file: "worker/live_check.rs",
        find: "graph.live.forget();",
        replacement: "if !FAULT { graph.live.forget() }",
        test: (
            "erasure",
            "queries_that_graphs_keep_go_with_their_scope::with_a_purge_of_a_namespace_inside_it_that_has_no_rows",
        ),
    },
    Fault {
        name: "queries_outlive_their_graph",
        breaks: "A graph that a merge has replaced keeps its queries as long as a snapshot holds it.",
        file: "engine/install.rs",
        find: "graph.live.end();",
        replacement: "if !FAULT { graph.live.end() }",
        test: (
            "erasure",
            "queries_that_graphs_keep_go_with_their_scope::with_a_compaction_of_its_segment_that_a_snapshot_still_holds",
        ),
    },
    Fault {
        name: "queries_reach_a_file",
        breaks: "A graph that is written again takes over what was fitted to queries.",
        file: "compact/graphs.rs",
        find: "Description { scope, origin, ..graph.description().clone() }",
        replacement: "Description { scope, origin, calibration: if FAULT { graph.calibration().table } else { graph.description().calibration }, ..graph.description().clone() }",
        test: ("graphs", "a_graph_that_falls_short_is_fitted_to_its_queries::no_query_reaches_a_file"),
    },
    Fault {
        name: "checks_without_rest",
        breaks: "Checks of recall take as much of a core as there are queries for.",
        file: "worker/live_check.rs",
        find: "ended.saturating_add(took.saturating_mul(REST))",
        replacement: "ended.saturating_add(took.saturating_mul(if FAULT { 1 } else { REST }))",
        test: ("lib", "worker::live_check::tests::checks_take_at_most_a_hundredth_of_the_time"),
    },
];
