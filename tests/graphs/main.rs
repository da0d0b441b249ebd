//! Graphs and searches of them.

#[path = "../common/mod.rs"]
mod common;

mod a_graph_that_falls_short_is_fitted_to_its_queries;
mod a_graph_that_was_asked_for_stays;
mod few_queries_are_kept_and_only_where_they_may_be;
mod filters_that_repeat_earn_a_graph;
mod graph_searches_do_not_depend_on_threads;
mod graph_searches_find_what_was_asked_of_them;
mod graph_searches_keep_their_recall_on_any_data;
mod graph_searches_return_exactly_k;
mod graph_searches_stay_inside_their_scope;
mod graphs_are_checked_beside_searches;
mod graphs_come_when_they_pay;
mod queries_outside_of_a_filter_find_what_passes_it;
mod queries_unlike_the_data_are_noticed;
mod rewriting_costs_no_recall;
mod statistics_name_the_scopes_that_a_graph_would_serve;
