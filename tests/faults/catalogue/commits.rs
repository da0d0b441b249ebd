//! Faults of commits: conditions, groups, operation ids, the clock.

use super::Fault;

pub const FAULTS: &[Fault] = &[
    Fault {
        name: "ack_before_sync",
        breaks: "A write returns before its group is synced.",
        file: "commit/mod.rs",
        find: "let sync = self.engine.durability == Durability::Sync;",
        replacement: "let sync = self.engine.durability == Durability::Sync && !FAULT;",
        test: ("recovery", "a_short_history_survives_a_power_loss_at_every_sync::with_a_sync_for_each_write"),
    },
    Fault {
        name: "failed_sync_is_not_final",
        breaks: "After a failed sync of the log the store is not poisoned.",
        file: "commit/mod.rs",
        find: r"Err(error) => Err(self.engine.poison(&error)),
            Ok(()) => {",
        replacement: r"Err(error) => if FAULT { Err(error) } else { Err(self.engine.poison(&error)) },
            Ok(()) => {",
        test: ("recovery", "a_log_is_believed_as_far_as_it_is_proven::a_frame_whose_sync_failed_is_written_again"),
    },
    Fault {
        name: "refusal_before_its_cause_is_published",
        breaks: "A condition fails because of a write that no reader sees, and the refusal does not wait for it.",
        file: "commit/join.rs",
        find: "if self.unpublished.is_empty() { None } else { self.newest_group.clone() }",
        replacement: "if self.unpublished.is_empty() || FAULT { None } else { self.newest_group.clone() }",
        test: (
            "races",
            "a_condition_is_answered_from_what_readers_will_see::a_refusal_returns_when_readers_see_its_cause",
        ),
    },
    Fault {
        name: "pending_write_forgotten_although_replaced",
        breaks: "A published group removes the pending entry of a later write.",
        file: "commit/pending.rs",
        find: "if self.pending.get(&address).is_some_and(|pending| pending.lsn == lsn) {",
        replacement: "if self.pending.get(&address).is_some_and(|pending| pending.lsn == lsn || FAULT) {",
        test: (
            "races",
            "a_condition_is_answered_from_what_readers_will_see::a_write_that_replaced_a_published_one_is_remembered",
        ),
    },
    Fault {
        name: "pending_ranges_ignored",
        breaks: "A condition does not see a range delete that is not published yet.",
        file: "commit/pending.rs",
        find: "self.pending_ranges.iter().filter(|(_, interval)| interval.contains(namespace.encoded()));",
        replacement: "self.pending_ranges.iter().filter(|(_, interval)| interval.contains(namespace.encoded()) && !FAULT);",
        test: ("races", "a_condition_is_answered_from_what_readers_will_see::a_range_delete_counts_at_once"),
    },
    Fault {
        name: "forgotten_write_after_a_range_delete",
        breaks: "A condition does not see a write that came after a range delete and is forgotten before it.",
        file: "commit/pending.rs",
        find: "Some(state) if engine.view.get().read_lsn < since => Ok(state),",
        replacement: "Some(state) if FAULT || engine.view.get().read_lsn < since => Ok(state),",
        test: (
            "races",
            "a_delete_by_filter_is_decided_on_the_state_that_it_commits_to::a_write_after_a_range_delete_is_known_although_the_delete_is_still_noted",
        ),
    },
    Fault {
        name: "changes_since_the_search_ignored",
        breaks: "A delete by filter does not look at what was written since its search.",
        file: "commit/resolved.rs",
        find: "let settled = if changes.is_empty() {",
        replacement: "let settled = if changes.is_empty() || FAULT {",
        test: (
            "races",
            "a_delete_by_filter_is_decided_on_the_state_that_it_commits_to::an_item_that_was_written_meanwhile_is_tested_again",
        ),
    },
    Fault {
        name: "ranges_since_the_search_ignored",
        breaks: "A delete by filter does not look at imports and deletes of many keys since its search.",
        file: "commit/resolved.rs",
        find: "if conflicts.has_many() ||",
        replacement: "if (conflicts.has_many() && !FAULT) ||",
        test: (
            "races",
            "a_delete_by_filter_is_decided_on_the_state_that_it_commits_to::what_was_written_in_one_go_is_searched_again",
        ),
    },
    Fault {
        name: "quota_count_survives_a_range_delete",
        breaks: "The count of a scope stays although a range inside of it was deleted.",
        file: "commit/quotas.rs",
        find: "(Self::Known(_), Event::Unknown) => return false,",
        replacement: "(Self::Known(_), Event::Unknown) => return FAULT,",
        test: ("quotas", "quotas_follow_a_plain_model::quotas_follow_a_plain_model"),
    },
    Fault {
        name: "listed_deletes_not_replayed",
        breaks: "A group applies no keys that were listed before its commit.",
        file: "shard/apply.rs",
        find: "if let Some(deleted) = &logged.deleted {",
        replacement: "if let Some(deleted) = logged.deleted.as_ref().filter(|_| !FAULT) {",
        test: (
            "races",
            "a_delete_by_filter_is_decided_on_the_state_that_it_commits_to::an_item_that_was_written_meanwhile_is_tested_again",
        ),
    },
    Fault {
        name: "group_published_by_half",
        breaks: "Readers see a batch without its last operation for a moment.",
        file: "engine/mod.rs",
        find: r"            view.read_lsn = logged.last_lsn();
        }
",
        replacement: r"            view.read_lsn = logged.last_lsn();
        }
        if FAULT && frames.iter().any(|logged| logged.operations.len() > 1) {
            self.publish(ReadView { read_lsn: view.read_lsn.previous(), ..view.clone() }, false);
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
",
        test: ("writes", "batches_are_never_seen_half::batches_are_never_seen_half"),
    },
    Fault {
        name: "close_does_not_wait_for_calls",
        breaks: "A close ends the store beside running calls.",
        file: "store/mod.rs",
        find: "let _alone = self.calls.write();",
        replacement: "let _alone = if FAULT { None } else { Some(self.calls.write()) };",
        test: ("races", "a_close_waits_for_running_calls::a_close_waits_for_running_calls"),
    },
    Fault {
        name: "touch_revives_an_expired_item",
        breaks: "A refresh that is written too late makes an expired item live again.",
        file: "commit/decide.rs",
        find: "let Some(current) = current.filter(|current| current.lsn == *version && current.ttl > 0) else {",
        replacement: r"let seen = if FAULT { newest } else { current };
            let Some(current) = seen.filter(|current| current.lsn == *version && current.ttl > 0) else {",
        test: (
            "expiry",
            "a_refresh_that_comes_too_late_revives_nothing::a_refresh_that_comes_too_late_revives_nothing",
        ),
    },
    Fault {
        name: "sweep_does_not_look_again",
        breaks: "A sweep deletes what was listed, although it was put again since.",
        file: "commit/decide.rs",
        find: "if !newest.is_some_and(has_expired) {",
        replacement: "if !newest.is_some_and(|newest| has_expired(newest) || FAULT) {",
        test: ("races", "a_sweep_looks_again_before_it_deletes::what_was_put_again_since_it_was_listed_stays"),
    },
    Fault {
        name: "range_delete_spares_frozen_memtables",
        breaks: "A range delete does not reach rows that wait for their flush.",
        file: "shard/apply.rs",
        find: "for part in self.parts().filter(|part| !part.is_lost()) {",
        replacement: r"let is_frozen = |part: &crate::shard::PartRef<'_>| match part {
                    crate::shard::PartRef::Memtable(memtable) => !Arc::ptr_eq(memtable, &self.memtable),
                    crate::shard::PartRef::Segment(_) => false,
                };
                for part in self.parts().filter(|part| !part.is_lost() && !(FAULT && is_frozen(part))) {",
        test: ("races", "what_happens_while_a_job_is_installed_is_carried_over::by_a_flush"),
    },
    Fault {
        name: "condition_ignored",
        breaks: "A put whose condition fails is written.",
        file: "commit/decide.rs",
        find: "(Condition::Always, _) | (Condition::IfAbsent, None) => return Ok(()),",
        replacement: r"_ if FAULT => return Ok(()),
        (Condition::Always, _) | (Condition::IfAbsent, None) => return Ok(()),",
        test: ("writes", "a_failed_condition_writes_nothing::a_failed_condition_writes_nothing"),
    },
    Fault {
        name: "operation_ids_in_the_log_forgotten",
        breaks: "A replay forgets which batches it has applied.",
        file: "engine/recover.rs",
        find: "if let Some(bytes) = body.extensions.get(OPERATION_ID) {",
        replacement: "if let Some(bytes) = body.extensions.get(OPERATION_ID).filter(|_| !FAULT) {",
        test: ("writes", "a_repeated_operation_is_applied_once::at_once_after_a_crash_and_after_checkpoints"),
    },
    Fault {
        name: "operation_ids_in_files_forgotten",
        breaks: "An open does not read the operation ids that files hold.",
        file: "engine/operation_ids.rs",
        find: "Ok(entries) => entries.into_iter().for_each(|applied| table.note(applied)),",
        replacement: "Ok(entries) => entries.into_iter().filter(|_| !FAULT).for_each(|applied| table.note(applied)),",
        test: ("writes", "a_repeated_operation_is_applied_once::at_once_after_a_crash_and_after_checkpoints"),
    },
    Fault {
        name: "repeated_operation_written_again",
        breaks: "A batch whose operation id is known is written again.",
        file: "commit/join.rs",
        find: "Ok(lsn.map(|lsn| vec![",
        replacement: "Ok(lsn.filter(|_| !FAULT).map(|lsn| vec![",
        test: ("writes", "a_repeated_operation_is_applied_once::at_once_after_a_crash_and_after_checkpoints"),
    },
    Fault {
        name: "clock_guard_off",
        breaks: "A sweep trusts a wall clock that has jumped.",
        file: "engine/clock/mod.rs",
        find: "            ClockVerdict::Trusted => return Ok(self.query_time),",
        replacement: r"            _ if FAULT => return Ok(self.query_time),
            ClockVerdict::Trusted => return Ok(self.query_time),",
        test: (
            "expiry",
            "expired_items_are_gone_and_touches_keep_them::the_sweep_works_in_batches_and_stops_when_the_clock_has_jumped",
        ),
    },
];
