//! What one tenant is told does not depend on what another tenant does.

#[path = "../common/mod.rs"]
mod common;

mod a_neighbour_changes_no_answer;
mod a_neighbour_changes_no_answer_of_a_graph;

mod answers;
mod neighbour;
mod reads;
mod tenant;
mod world;
